"""Bridges as agents and operators see them, by a real server: what ends is closed, what passed is shown.

The rows are put into the store while the server is away, which finds them when it comes back.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Gateway, State, Statement, Terms
from isthmus.domain.federation.grant import Grant, Scope
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.domain.mesh.crossing import INGRESSES
from isthmus.protocol import agent as wire
from isthmus.server.adapters.db import open_store
from lab.waiting import wait_until
from tests.api.agent import Agent, a_network, a_peer, a_public_key
from tests.api.follower import Follower, following
from tests.server import Server
from tests.stores import POSTGRES, PostgresServer
from tests.trusting import B, a_bridge, an_active_remote

PREFIX = IPv4Network("10.99.0.0/16")
LIFE = timedelta(seconds=5)  # of the remote, which ends while the test looks on
PATIENCE = 60.0


@dataclass
class Joined:
    """A server with one network, whose bridge with B is active, and grants of the service "wiki"."""

    server: Server
    url: str
    gateway: Agent
    laptop: Agent
    network: dict[str, Any]
    key: PublicKey
    bridge: UUID
    lasting: UUID


@pytest.fixture(params=["sqlite", POSTGRES])
def joined(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Joined]:
    settings, name = {}, "bridge_status"
    if request.param == POSTGRES:
        database: PostgresServer = request.getfixturevalue("postgres")
        settings["database_url"] = database.create(name)
    server = Server(tmp_path, settings)
    server.start()
    with server.client(server.token("read", "write", "admin")) as admin:
        network = a_network(admin, cidr_v4="10.207.0.0/24")
        gateway = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
        laptop = Agent.enrolled(server, a_peer(admin, network))
    server.stop()
    url = settings.get("database_url", f"sqlite:///{server.data / 'isthmus.db'}")
    made = Joined(server, url, gateway, laptop, network, PublicKey(a_public_key()), uuid4(), uuid4())
    asyncio.run(fill(made))
    server.start()
    yield made
    server.stop()
    if request.param == POSTGRES:
        database.drop(name)


async def fill(joined: Joined) -> None:
    now, network_id = datetime.now(UTC), NetworkId(UUID(joined.network["id"]))
    cidr = IPv6Network(joined.network["cidr_v6"])
    terms = Terms("plant", (PREFIX,), (Gateway(joined.key, (Endpoint("203.0.113.1", 51_820),)),), PREFIX[1], 8443)
    statement = Statement(joined.bridge, 1, 1, State.ACTIVE, terms)
    service = Service(uuid4(), "wiki", network_id, "tcp", IPv4Network(joined.network["cidr_v4"])[9], ((443, 443),), now)
    offered = (IPv4Network(joined.network["cidr_v4"]), cidr)
    bridge = a_bridge(network_id=network_id, state=State.ACTIVE, accepted=(PREFIX,), theirs=statement)
    bridge = replace(bridge, id=joined.bridge, offered=offered, ours=Terms("office", offered))
    grant = Grant(
        joined.lasting,
        B,
        1,
        "bob@b.example",
        "user:ada",
        "service",
        str(service.id),
        frozenset({Scope.CONNECT}),
        now,
        now + timedelta(days=30),
    )
    store = await open_store(joined.url)
    async with store.transaction() as tx:
        await tx.remotes.add(an_active_remote())
        await tx.bridges.add(bridge)
        await tx.services.add(service)
        await tx.grants.add(grant)
    await store.close()


def flows(each: Follower) -> set[str]:
    bridged = None if each.config is None else each.config.bridged
    crossings = () if bridged is None else bridged.crossings
    return {flow.id for crossing in crossings for flow in crossing.flows if flow.id not in INGRESSES}


def bridged_of(each: Follower) -> wire.Bridged | None:
    return None if each.config is None else each.config.bridged


async def test_everybody_is_told_when_a_remote_ends_and_an_operator_sees_what_has_passed(joined: Joined) -> None:
    lasting = str(joined.lasting)
    with joined.server.client(joined.server.token("read", "write", "admin")) as admin:
        async with following(joined.gateway, joined.laptop) as (gateway, laptop):
            await gateway.until(lambda each: lasting in flows(each), PATIENCE)
            await laptop.until(lambda each: bridged_of(each) == wire.Bridged(60, (str(PREFIX),)), PATIENCE)
            passed = (wire.FlowReport(str(joined.bridge), lasting, 12, 3456),)
            tunnel = wire.PeerReport(joined.key, "203.0.113.1:51820", int(time.time()), 5000, 6000)
            await gateway.beat(peers=(tunnel,), flows=(*passed, wire.FlowReport(str(uuid4()), "nothing", 1, 1)))

            seen = status_of(admin, joined)
            assert (seen["effective"], seen["state"], seen["state_there"]) == (True, "active", "active")
            assert seen["gateway"]["desired_revision"] == gateway.revision
            assert seen["tunnel"]["up"]
            assert (seen["tunnel"]["rx"], seen["tunnel"]["endpoint"]) == (5000, "203.0.113.1:51820")
            assert seen["lease_until"]
            rule = next(each for each in seen["rules"] if each["grant"] and each["grant"]["id"] == lasting)
            assert (rule["packets"], rule["bytes"], rule["direction"], rule["service"]) == (12, 3456, "in", "wiki")
            # What a gateway says first may be old; what is more later has just passed.
            assert admin.get(f"/grants/{lasting}").json()["last_used_at"] is None
            await gateway.beat(peers=(tunnel,), flows=(wire.FlowReport(str(joined.bridge), lasting, 13, 3500),))

            def used() -> object:
                return admin.get(f"/grants/{lasting}").json()["last_used_at"]

            await asyncio.to_thread(wait_until, used, within=PATIENCE, what="the use of the grant to be noted")
            seen = status_of(admin, joined)
            assert admin.get(f"/bridge-status?network_id={joined.network['id']}").json()["items"] == [seen]
            drawn = admin.get(f"/networks/{joined.network['id']}/topology").json()["bridges"]
            shown = {
                "network_there": "plant",
                "state": "active",
                "state_there": "active",
                "effective": True,
                "up": True,
            }
            assert drawn == [shown | {"id": seen["id"], "remote": B, "gateway": joined.gateway.peer_id}]

            admin.post(f"/remotes/{B}/suspend").raise_for_status()
            await closed_for(gateway, laptop)
            admin.post(f"/remotes/{B}/resume").raise_for_status()
            await gateway.until(lambda each: lasting in flows(each), PATIENCE)
            end = datetime.now(UTC) + LIFE
            admin.patch(f"/remotes/{B}", json={"expires_at": end.isoformat()}).raise_for_status()
            await closed_for(gateway, laptop)
            assert datetime.now(UTC) >= end
            closed = status_of(admin, joined)
            assert (closed["effective"], closed["rules"], closed["prefixes"]) == (False, [], [])


async def closed_for(*followers: Follower) -> None:
    """All of it is taken away from everybody by one revision."""
    for each in followers:
        await each.until(lambda one: bridged_of(one) is None, PATIENCE)
    assert len({each.revision for each in followers}) == 1


def status_of(admin: httpx2.Client, joined: Joined) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"/bridges/{joined.bridge}/status").raise_for_status().json()
    return found
