"""A network as a map, by a real server: who is there, which tunnels the configs hold, and which way each takes now."""

import time
from typing import Any

import httpx2
import pytest

from isthmus.protocol import agent as wire
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.api.follower import following
from tests.api.test_incidents import steal
from tests.server import Server

SECONDS = 1.0
SINCE = 1_770_000_000


def topology_of(admin: httpx2.Client, network: Any) -> Any:
    return admin.get(f"/networks/{network['id']}/topology").raise_for_status().json()


def pairs_of(found: Any) -> list[frozenset[str]]:
    return [frozenset((edge["one"], edge["other"])) for edge in found["edges"]]


def pairs_in_configs(*agents: Agent) -> set[frozenset[str]]:
    """Every two peers of which one's agent is told of the other."""
    by_key = {agent.public_key: agent.peer_id for agent in agents}
    configs = {agent.peer_id: agent.config().config for agent in agents}
    return {
        frozenset((me, by_key[each.public_key]))
        for me, config in configs.items()
        for each in (config.neighbours if config else ())
        if by_key[each.public_key] != me
    }


def states_of(found: Any) -> dict[str, str]:
    return {node["id"]: node["state"] for node in found["nodes"]}


async def test_its_edges_are_the_pairs_of_the_configs_and_say_which_way_each_takes(
    server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin)
    gw, second = [Agent.enrolled(server, a_peer(admin, network, kind="jump")) for _ in range(2)]
    laptop, desk, phone = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(3)]
    lone = Agent.enrolled(server, a_peer(admin, network, isolated=True))
    everybody = (gw, second, laptop, desk, phone, lone)
    async with following(gw, laptop, desk) as (hub, one, other):
        await hub.beat()
        way = wire.PathReport(desk.public_key, SINCE, round_trip=1_250)
        await one.beat(paths=(way, wire.PathReport(second.public_key, SINCE)))
        await other.beat()
        found = topology_of(admin, network)
    assert len(pairs_of(found)) == len(set(pairs_of(found)))
    assert set(pairs_of(found)) == pairs_in_configs(*everybody)
    by_pair = dict(zip(pairs_of(found), found["edges"], strict=True))
    direct = by_pair[frozenset((laptop.peer_id, desk.peer_id))]
    assert (direct["way"], direct["via"]) == ("direct", None)
    assert (direct["since"], direct["round_trip_us"]) == ("2026-02-02T02:40:00Z", 1_250)
    relayed = by_pair[frozenset((laptop.peer_id, phone.peer_id))]
    assert (relayed["way"], relayed["via"]) == ("relayed", second.peer_id)
    assert by_pair[frozenset((gw.peer_id, lone.peer_id))]["way"] == "direct"
    assert [(node["id"], node["role"]) for node in found["nodes"][:2]] == [
        (gw.peer_id, "primary"),
        (second.peer_id, "standby"),
    ]
    assert {node["role"] for node in found["nodes"][2:]} == {None}
    assert (found["network"]["id"], found["nodes_left_out"], found["edges_left_out"]) == (network["id"], 0, 0)
    assert [node["isolated"] for node in found["nodes"]] == [False] * 5 + [True]


async def test_who_is_blocked_or_not_there_yet_is_shown_and_has_no_tunnel(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw, laptop, desk = [
        Agent.enrolled(server, a_peer(admin, network, kind=kind)) for kind in ("jump", *["dynamic"] * 2)
    ]
    waiting = a_peer(admin, network)["peer"]["id"]
    steal(laptop)
    async with following(gw) as (hub,):
        await hub.beat()
        found = topology_of(admin, network)
    expected = {gw.peer_id: "online", laptop.peer_id: "blocked", waiting: "pending"}
    assert states_of(found).items() >= expected.items()
    assert pairs_of(found) == [frozenset((gw.peer_id, desk.peer_id))]
    assert found["edges"][0]["way"] == "direct"


@pytest.mark.case("SEED-101")
def test_between_agents_that_said_nothing_no_way_is_known(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    one, other = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    (edge,) = topology_of(admin, network)["edges"]
    assert {edge["one"], edge["other"]} == {one.peer_id, other.peer_id}
    assert (edge["way"], edge["via"], edge["round_trip_us"]) == ("unknown", None, None)
    admin.patch(f"/networks/{network['id']}", json={"direct_paths": "off"}).raise_for_status()
    assert topology_of(admin, network)["edges"] == []


def test_a_network_that_is_not_there_has_no_topology(admin: httpx2.Client) -> None:
    answer = admin.get("/networks/01890000-0000-7000-8000-000000000404/topology")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert admin.get("/networks/office/topology").status_code == 422
    empty = topology_of(admin, a_network(admin))
    assert (empty["nodes"], empty["edges"], empty["bridges"]) == ([], [], [])


def test_a_thousand_peers_are_told_in_one_answer(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin, cidr_v4="10.132.0.0/16")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    operations = [{"action": "create", "name": a_name("phone"), "kind": "static"} for _ in range(1000)]
    body = {"operations": operations}
    admin.post(f"/networks/{network['id']}/peers/bulk", json=body, timeout=120).raise_for_status()
    found, took = topology_of(admin, network), []
    for _ in range(5):
        begun = time.monotonic()
        topology_of(admin, network)
        took.append(time.monotonic() - begun)
    assert len(found["nodes"]) == 1001
    assert len(found["edges"]) == 1000
    assert all(gw.peer_id in pair for pair in pairs_of(found))
    assert min(took) < SECONDS
    admin.delete(f"/networks/{network['id']}", params={"force": True}, timeout=120).raise_for_status()
