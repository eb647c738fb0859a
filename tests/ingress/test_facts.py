"""Facts that cannot be rendered are refused, with words that say what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.ingress.facts import decode
from isthmus.ingress.refused import FactsRefused
from tests.ingress.authority import Ca
from tests.ingress.conftest import OVERLAY

Change = Callable[[dict[str, Any]], None]


def facts(tmp_path: Path) -> dict[str, Any]:
    listeners = [{"id": "wan", "address": "192.0.2.1", "port": 443}]
    return {
        "generation": 1,
        "infra_domains": ["infra.b.example"],
        "listeners": listeners,
        "anchors": [Ca(tmp_path, "a").pem],
        "networks": {OVERLAY: "office", OTHER: "lab"},
    }


OTHER = "0d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d11"


def overlays(*more: tuple[str, str]) -> Change:
    """With listeners of overlays at these addresses."""
    return lambda found: found["listeners"].extend(
        {"id": f"vip-{number}", "address": address, "port": 8443 + number, "network": network}
        for number, (address, network) in enumerate(more)
    )


def listener(**changes: Any) -> Change:
    return lambda found: found["listeners"][0].update(changes)


def value(name: str, new: Any) -> Change:
    return lambda found: found.update({name: new})


REFUSED: dict[str, Change] = {
    "a name with syntax in it": value("infra_domains", ["infra.b.example; include /etc/passwd"]),
    "a wildcard": value("infra_domains", ["*.b.example"]),
    "no name": value("infra_domains", []),
    "an address with syntax in it": listener(address="192.0.2.1; return 200"),
    "a host name for an address": listener(address="localhost"),
    "a zone": listener(address="fe80::1%eth0"),
    "port 0": listener(port=0),
    "a port that is none": listener(port=70_000),
    "an id with syntax in it": listener(id='wan"}'),
    "a network that is none": listener(network="$http_x"),
    "an overlay on all addresses": listener(network=OVERLAY, address="::"),
    "no listener": value("listeners", []),
    "no anchors": value("anchors", []),
    "an anchor that is no certificate": value("anchors", ["anchor"]),
    "an anchor with text beside it": lambda found: found["anchors"].append(found["anchors"][0] + "beside"),
    "an empty anchor": value("anchors", [""]),
    "no depth": value("verify_depth", 0),
    "no end of bodies": value("most_body", 10**12),
    "a number for a text": value("infra_domains", [1]),
}


SHARED: dict[str, Change] = {
    "a VIP of two networks": overlays(("fd00::1", OVERLAY), ("fd00:0::1", OTHER)),
    "the address of the WAN": overlays(("192.0.2.1", OVERLAY)),
    "a network at two addresses of one family": overlays(("fd00::1", OVERLAY), ("fd00::2", OVERLAY)),
    "a network that was deleted": overlays(("fd00::1", "9d3f5a0e-3a57-4b61-8f0f-3f1a5f1d7d19")),
}


@pytest.mark.case("SEED-130")
@pytest.mark.parametrize("what", SHARED)
def test_an_overlay_shares_its_listener_with_nobody(tmp_path: Path, what: str) -> None:
    found = facts(tmp_path)
    overlays(("fd00::1", OVERLAY), ("10.7.0.1", OVERLAY), ("fd00::2", OTHER))(found)
    listeners = decode(json.dumps(found).encode(), "a file").listeners
    assert [each.network for each in listeners] == ["wan", OVERLAY, OVERLAY, OTHER]
    found = facts(tmp_path)
    SHARED[what](found)
    with pytest.raises(FactsRefused):
        decode(json.dumps(found).encode(), "a file")


@pytest.mark.parametrize("what", REFUSED)
def test_facts_that_cannot_be_rendered_are_refused(tmp_path: Path, what: str) -> None:
    found = facts(tmp_path)
    assert decode(json.dumps(found).encode(), "a file").generation == 1
    REFUSED[what](found)
    with pytest.raises(FactsRefused):
        decode(json.dumps(found).encode(), "a file")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_json_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(FactsRefused, match=r"facts\.json holds no facts"):
        decode(raw, "facts.json")
