"""The arrival guard, loaded by a real nft in a namespace of its own."""

import subprocess

import pytest

from isthmus.ingress.arrival import render
from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import IngressFacts, Listener
from tests.ingress.conftest import OVERLAY

OTHER = "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11"
LISTENERS = [
    Listener("wan", "192.0.2.1", 443),
    Listener("overlay-1", "10.7.0.1", 8443, OVERLAY),
    Listener("overlay-2", "fd00::1", 8443, OTHER),
]
FACTS = IngressFacts(1, ["infra.b.example"], LISTENERS)
TUNNELS = {OVERLAY: "wg-office", OTHER: "wg0"}


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
    rules = loaded(render(FACTS, TUNNELS))
    assert 'ip daddr 10.7.0.1 iifname != "wg-office" drop' in rules
    assert 'ip6 daddr fd00::1 iifname != "wg0" drop' in rules
    assert "hook prerouting priority raw" in rules
    assert "192.0.2.1" not in rules


def test_rules_are_replaced_as_a_whole_and_go_with_the_last_overlay() -> None:
    twice = loaded(render(FACTS, TUNNELS), render(FACTS, TUNNELS))
    assert twice.count("10.7.0.1") == 1
    assert loaded(render(FACTS, TUNNELS), render(IngressFacts(2, [], LISTENERS[:1]), {})) == ""


@pytest.mark.parametrize("name", ["", 'wg0" accept', "wg0; accept", "a" * 16])
def test_a_name_that_is_no_interface_is_refused(name: str) -> None:
    with pytest.raises(FactsRefused, match="is on no interface"):
        render(FACTS, {OVERLAY: name, OTHER: "wg0"})
