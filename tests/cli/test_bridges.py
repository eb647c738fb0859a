"""The verbs of `isthmus bridge`, against a server that answers as told."""

from typing import Any

from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, a_network, page

BRIDGE_ID = "01890000-0000-7000-8000-000000000009"
ONE = f"/api/v1/bridges/{BRIDGE_ID}"
WITH_B = "GET /api/v1/bridges?remote=b.example&limit=500"


def terms(network: str, prefix: str) -> dict[str, Any]:
    gateway = {"public_key": "K" * 44, "endpoints": ["203.0.113.1:51820"]}
    given = {"network": network, "prefixes": [prefix], "gateways": [gateway], "vip": None, "port": None}
    return given | {"instances": {}}


def a_bridge(**changes: Any) -> dict[str, Any]:
    return {
        "id": BRIDGE_ID,
        "remote": "b.example",
        "remote_state": "active",
        "generation": 1,
        "network": {"id": NETWORK_ID, "name": "office"},
        "proposed_by": "ours",
        "state": "active",
        "state_there": "active",
        "effective": True,
        "obstacles": [],
        "holds": [],
        "ours": terms("office", "fd12:3456:789a:1::/64"),
        "theirs": terms("plant", "fd99:1:2:1::/64"),
        "accepted": ["fd99:1:2:1::/64"],
        "reason": "",
        "reason_there": "",
        "created_at": "2026-11-23T20:00:00Z",
        "changed_at": "2026-11-23T20:00:00Z",
        "version": 3,
    } | changes


SUSPENDED = {
    "state": "suspended",
    "effective": False,
    "obstacles": ["suspended by our operator", "suspended by the other side"],
    "state_there": "suspended",
    "reason": "maintenance",
    "reason_there": "odd traffic",
}


def test_propose_says_what_comes_next(isthmus: Run, server: Script) -> None:
    made = a_bridge(state="proposed", effective=False, obstacles=["waits for the acceptance of the other side"])
    server.on("GET /api/v1/networks?name=office&limit=500", page(a_network()))
    server.on("POST /api/v1/bridges", made, status=201)
    out = isthmus("bridge", "propose", "b.example", "--network", "office", "--reason", "for the wiki").out
    assert "is proposed; nothing passes: waits for the acceptance of the other side" in out


def test_list_shows_both_sides_and_leaves_out_what_is_revoked(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/bridges?limit=500", page(a_bridge(), a_bridge(state="revoked")))
    lines = isthmus("bridge", "list").out.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:8] == [BRIDGE_ID, "b.example", "office", "-", "plant", "active", "active", "yes"]
    assert len(isthmus("bridge", "list", "--all").out.splitlines()) == 3


def test_show_says_why_nothing_passes(isthmus: Run, server: Script) -> None:
    server.on(f"GET {ONE}", a_bridge(**SUSPENDED))
    out = isthmus("bridge", "show", BRIDGE_ID).out
    assert "nothing: suspended by our operator; suspended by the other side" in out
    assert "suspended (maintenance)" in out
    assert "suspended (odd traffic)" in out
    assert "network plant" in out


def test_a_bridge_is_named_by_its_remote(isthmus: Run, server: Script) -> None:
    server.on(WITH_B, page(a_bridge(), a_bridge(id="x", state="revoked")))
    server.on(f"POST {ONE}/resume", a_bridge())
    assert "it is effective: grants decide what passes" in isthmus("bridge", "resume", "b.example").out


def test_an_incident_holds_a_bridge_with_a_reason(isthmus: Run, server: Script) -> None:
    held = a_bridge(state="suspended", effective=False, holds=["incident"], obstacles=["suspended by an incident here"])
    server.on(f"POST {ONE}/hold", held)
    out = isthmus("bridge", "hold", BRIDGE_ID, "--reason", "it scans").out
    assert "is held; nothing passes: suspended by an incident here" in out
    assert server.bodies_of("POST") == [{"reason": "it scans"}]
    assert "--reason" in isthmus("bridge", "hold", BRIDGE_ID).err
    server.on(f"POST {ONE}/release", a_bridge())
    assert "is released; it is effective" in isthmus("bridge", "release", BRIDGE_ID).out


def test_a_remote_with_several_bridges_is_no_name(isthmus: Run, server: Script) -> None:
    server.on(WITH_B, page(a_bridge(), a_bridge()))
    assert "several bridges with b.example" in isthmus("bridge", "suspend", "b.example").err


def test_what_is_not_let_in_yet_is_shown(isthmus: Run, server: Script) -> None:
    server.on(f"GET {ONE}", a_bridge(accepted=[]))
    assert "fd99:1:2:1::/64: isthmus bridge accept-prefixes" in isthmus("bridge", "show", BRIDGE_ID).out
    server.on(f"POST {ONE}/accept-prefixes", a_bridge())
    assert "lets in fd99:1:2:1::/64" in isthmus("bridge", "accept-prefixes", BRIDGE_ID).out
