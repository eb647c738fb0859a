"""`isthmus network topology`: a map as lines."""

from datetime import UTC, datetime
from typing import Any

from isthmus.cli import topology_text
from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, PEER_ID, a_network, page

NOW = datetime(2026, 11, 23, 20, 10, tzinfo=UTC)
JUMP = "01890000-0000-7000-8000-000000000009"


def a_node(id_: str, name: str, **changes: Any) -> dict[str, Any]:
    node = {"id": id_, "name": name, "kind": "dynamic", "role": None, "state": "online", "isolated": False}
    return node | {"since": "2026-11-23T20:05:00Z", "addresses": ["10.20.0.2"]} | changes


def a_topology(**changes: Any) -> dict[str, Any]:
    edge = {"one": JUMP, "other": PEER_ID, "way": "direct", "via": None, "since": None, "round_trip_us": None}
    bridge = {"id": PEER_ID, "remote": "b.example", "network_there": "plant", "state": "active", "gateway": JUMP}
    return {
        "network": {"id": NETWORK_ID, "name": "office"},
        "nodes": [a_node(JUMP, "gw", kind="jump", role="primary"), a_node(PEER_ID, "laptop", state="stale")],
        "edges": [edge],
        "bridges": [bridge | {"state_there": None, "effective": False, "up": False}],
        "nodes_left_out": 0,
        "edges_left_out": 0,
    } | changes


def test_there_is_a_line_for_each_peer_with_its_ways_and_one_for_each_bridge() -> None:
    lines = [line.split() for line in topology_text.overview(a_topology(), NOW, 120).splitlines()]
    assert lines[:3] == [
        ["network", "office"],
        ["peers", "1", "online,", "1", "stale"],
        ["tunnels", "1", "direct"],
    ]
    assert ["gw", "jump,", "primary", "online", "5m", "ago", "1", "0", "0"] in lines
    assert ["laptop", "dynamic", "stale", "5m", "ago", "1", "0", "0"] in lines
    assert lines[-1] == ["b.example", "plant", "active", "here,", "nothing", "said", "there", "no", "down"]


def test_what_was_too_much_is_counted() -> None:
    shown = topology_text.overview(a_topology(nodes_left_out=7, edges_left_out=120), NOW, 120)
    assert "1 online, 1 stale, 7 more" in shown
    assert "1 direct, 120 more between regular peers" in shown


def test_an_empty_network_has_no_tables() -> None:
    shown = topology_text.overview(a_topology(nodes=[], edges=[], bridges=[]), NOW, 120)
    assert len(shown.splitlines()) == 3


def test_the_topology_is_that_of_the_network_that_was_named(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/networks?name=office&limit=500", page(a_network()))
    server.on(f"GET /api/v1/networks/{NETWORK_ID}/topology", a_topology())
    assert isthmus("network", "topology", "office", "--json").json == a_topology()
    assert "laptop" in isthmus("network", "topology", "office").out
