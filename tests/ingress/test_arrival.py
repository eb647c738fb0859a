"""The arrival guard, loaded by a real nft in a namespace of its own."""

import subprocess

import pytest

from isthmus.ingress.arrival import Guarded, render
from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import Listener
from tests.ingress.conftest import OVERLAY

OTHER = "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11"
LISTENERS = [
    Listener("overlay-1", "10.7.0.1", 8443, OVERLAY),
    Listener("overlay-2", "fd00::1", 8443, OTHER),
]
GUARDED = [Guarded(LISTENERS[0], "wg-office"), Guarded(LISTENERS[1], "wg0")]


def loaded(*scripts: str) -> str:
    """What nft lists after it has run the scripts, one after the other."""
    runs = " && ".join(f"printf '%s' '{script}' | nft -f -" for script in scripts)
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"{runs} && nft list ruleset"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_each_overlay_address_takes_packets_of_its_tunnel_alone() -> None:
    rules = loaded(render(GUARDED))
    assert 'ip daddr 10.7.0.1 iifname != { "lo", "wg-office" } counter packets 0 bytes 0 drop' in rules
    assert 'ip daddr 10.7.0.1 iifname "lo" tcp dport 8443 counter packets 0 bytes 0 drop' in rules
    assert 'ip6 daddr fd00::1 iifname != { "lo", "wg0" } counter packets 0 bytes 0 drop' in rules
    assert "hook prerouting priority raw" in rules


def test_rules_are_replaced_as_a_whole_and_go_with_the_last_overlay() -> None:
    assert loaded(render(GUARDED), render(GUARDED)) == loaded(render(GUARDED))
    assert loaded(render(GUARDED), render([])) == ""


@pytest.mark.parametrize("name", ["", 'wg0" accept', "wg0; accept", "a" * 16])
def test_a_name_that_is_no_interface_is_refused(name: str) -> None:
    with pytest.raises(FactsRefused, match="is on no interface"):
        render([Guarded(LISTENERS[0], name)])
