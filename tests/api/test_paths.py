"""Direct paths as the server's part in them is seen from outside: who is told of which endpoint, and what is shown."""

import asyncio
import time
from typing import Any

import httpx2
import pytest

from isthmus.protocol import agent as wire
from tests.api.agent import Agent, a_network, a_peer, a_public_key
from tests.api.follower import Follower, following
from tests.server import Server

SETTLED = 2.5  # seconds within which what counts would have been told


def seen(agent: Agent, endpoint: str, **fields: Any) -> wire.PeerReport:
    return wire.PeerReport(agent.public_key, endpoint, **{"latest_handshake": int(time.time())} | fields)


def candidates_of(follower: Follower, other: Agent) -> tuple[str, ...]:
    neighbour = follower.neighbour(other)
    return () if neighbour is None else neighbour.candidates


def revision_of(admin: httpx2.Client, network: Any) -> int:
    return int(admin.get(f"/networks/{network['id']}").json()["revision"])


def paths_of(admin: httpx2.Client, agent: Agent) -> dict[str, Any]:
    """The ways from a peer to others, by the id of the other one."""
    items = admin.get(f"/peers/{agent.peer_id}/paths").raise_for_status().json()["items"]
    return {item["other"]["id"]: item for item in items}


@pytest.mark.case("SEED-064")
async def test_observed_endpoints_reach_those_who_need_them_and_a_stranger_changes_nothing(
    server: Server, admin: httpx2.Client
) -> None:
    network, elsewhere = a_network(admin), a_network(admin)
    gw, spy = [Agent.enrolled(server, a_peer(admin, each, kind="jump")) for each in (network, elsewhere)]
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    lone = Agent.enrolled(server, a_peer(admin, network, isolated=True))
    outsider = Agent.enrolled(server, a_peer(admin, elsewhere))
    async with following(gw, laptop, desk, lone, spy, outsider) as (hub, one, other, isolated, far_hub, far):
        await hub.beat(peers=(seen(laptop, "203.0.113.9:40000"), seen(desk, "203.0.113.10:40001")))
        await other.until(lambda each: candidates_of(each, laptop) == ("203.0.113.9:40000",))
        await one.until(lambda each: candidates_of(each, desk) == ("203.0.113.10:40001",))
        before = revision_of(admin, network)
        # The two may be told one after the other.
        for each in (other, one):
            await each.until(lambda follower: follower.revision == before)

        for liar, endpoint in ((far_hub, "203.0.113.66:1"), (far, "203.0.113.67:1"), (other, "203.0.113.68:1")):
            await liar.beat(peers=(seen(laptop, endpoint),))
        await asyncio.sleep(SETTLED)
        assert revision_of(admin, network) == before
        assert candidates_of(other, laptop) == ("203.0.113.9:40000",)

        await hub.beat(peers=(seen(laptop, "203.0.113.77:41000"),))
        await other.until(lambda each: candidates_of(each, laptop) == ("203.0.113.77:41000",))
        assert other.revision == revision_of(admin, network) == before + 1
        for unentitled in (isolated, far):
            assert unentitled.neighbour(laptop) is None
        assert far.revisions == [far.revision]


async def test_candidates_are_told_with_what_the_jump_peer_sees_after_them(
    server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, cidr_v4="10.207.0.0/24")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    async with following(gw, laptop, desk) as (hub, one, other):
        await one.beat(candidates=("192.168.7.5:40000", "127.0.0.1:40000", "10.207.0.2:40000", "nonsense"))
        await hub.beat(peers=(seen(laptop, "203.0.113.9:40000"),))
        await other.until(lambda each: candidates_of(each, laptop) == ("192.168.7.5:40000", "203.0.113.9:40000"))
        # Both reports came within the time in which news settles.
        assert len(other.revisions) == 2
        admin.patch(f"/networks/{network['id']}", json={"direct_paths": "off"}).raise_for_status()
        await other.until(lambda each: each.neighbour(laptop) is None)
        before = revision_of(admin, network)
        await one.beat(candidates=("192.168.7.6:40000",))
        await asyncio.sleep(SETTLED)
        assert revision_of(admin, network) == before
        admin.patch(f"/networks/{network['id']}", json={"direct_paths": "on"}).raise_for_status()
        await other.until(lambda each: candidates_of(each, laptop) == ("192.168.7.6:40000", "203.0.113.9:40000"))


async def test_ways_are_shown_as_agents_report_them(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw, second = [Agent.enrolled(server, a_peer(admin, network, kind="jump")) for _ in range(2)]
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    names = {
        item["id"]: item["name"] for item in admin.get("/peers", params={"network": network["id"]}).json()["items"]
    }
    assert paths_of(admin, laptop)[desk.peer_id]["direct"] is None
    async with following(laptop) as (one,):
        await one.beat()
        shown = paths_of(admin, laptop)[desk.peer_id]
        assert (shown["direct"], shown["via"]) == (False, names[gw.peer_id])

        way = wire.PathReport(desk.public_key, 1_770_000_000, round_trip=1_250)
        await one.beat(
            paths=(way,), peers=(seen(desk, "192.168.7.6:40000", latest_handshake=1_770_000_001, rx=5, tx=7),)
        )
        expected = {
            "direct": True,
            "via": None,
            "since": "2026-02-02T02:40:00Z",
            "round_trip_us": 1_250,
            "latest_handshake": "2026-02-02T02:40:01Z",
        }
        assert paths_of(admin, laptop)[desk.peer_id] == expected | {
            "other": {"id": desk.peer_id, "name": names[desk.peer_id]},
            "rx": 5,
            "tx": 7,
        }
        assert paths_of(admin, desk)[laptop.peer_id] == expected | {
            "other": {"id": laptop.peer_id, "name": names[laptop.peer_id]},
            "rx": 7,
            "tx": 5,
        }

        nonsense = wire.PathReport(a_public_key(), 1_770_000_000)
        await one.beat(paths=(nonsense, wire.PathReport(desk.public_key, 1_770_000_100, via=second.public_key)))
        shown = paths_of(admin, laptop)[desk.peer_id]
        assert (shown["direct"], shown["via"], shown["since"]) == (False, names[second.peer_id], "2026-02-02T02:41:40Z")
    for unknown in (admin.get("/peers/01890000-0000-7000-8000-000000000404/paths"), admin.get("/peers/x/paths")):
        assert unknown.status_code in (404, 422)


async def test_an_operator_chooses_the_primary_jump_peer_and_all_follow(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw, second = [Agent.enrolled(server, a_peer(admin, network, kind="jump")) for _ in range(2)]
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]

    def primary(follower: Follower) -> list[str]:
        neighbours = follower.config.neighbours if follower.config else ()
        return [each.public_key for each in neighbours if each.role == "primary"]

    def roles() -> list[Any]:
        return [admin.get(f"/peers/{agent.peer_id}").json()["role"] for agent in (gw, second, laptop)]

    url = f"/networks/{network['id']}"
    async with following(laptop, desk) as followers:
        assert (admin.get(url).json()["primary"]["id"], roles()) == (gw.peer_id, ["primary", "standby", None])
        for chosen, expected in ((second.peer_id, second), (None, gw)):
            admin.patch(url, json={"primary_id": chosen}).raise_for_status()
            for follower in followers:
                await follower.until(lambda each, key=expected.public_key: primary(each) == [key])  # type: ignore[misc]
                assert follower.config is not None
                assert [each.role for each in follower.config.neighbours if each.role != "direct"] == [
                    "primary",
                    "standby",
                ]
            assert admin.get(url).json()["primary"]["id"] == expected.peer_id
        for wrong in (laptop.peer_id, "01890000-0000-7000-8000-000000000404"):
            refused = admin.patch(url, json={"primary_id": wrong})
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/primary_id")


def test_direct_paths_are_set_per_network(admin: httpx2.Client) -> None:
    network = a_network(admin)
    assert (network["direct_paths"], network["has_direct_paths"]) == ("auto", True)
    off = a_network(admin, direct_paths="off")
    assert (off["direct_paths"], off["has_direct_paths"]) == ("off", False)
    changed = admin.patch(f"/networks/{off['id']}", json={"direct_paths": "on"}).json()
    assert (changed["direct_paths"], changed["has_direct_paths"]) == ("on", True)
    for body in ({"direct_paths": "perhaps"}, {"direct_paths": None}, {"primary_id": 7}):
        assert admin.patch(f"/networks/{off['id']}", json=body).status_code == 422
