"""What agents are told of bridges, as of the revision that says so, and until when."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from isthmus.domain.federation.bridge import Bridge, State
from isthmus.domain.mesh.crossing import INGRESSES
from isthmus.domain.mesh.peer import Audience, Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks
from isthmus.server.records import Commit
from tests.application.backend import ADA, BOTH_DATABASES, Backend
from tests.application.bridging import REMOTES, Bridging, an_active_bridge, their_prefix

PREFIX = str(their_prefix(0))


class Office:
    """A network with a gateway, a standby jump peer and a laptop, whose only bridge is not there yet."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def filled(self) -> "Office":
        self.network = await self.backend.network()
        self.gateway = await self.backend.enrolled(self.network, "gw", Kind.JUMP)
        self.standby = await self.backend.enrolled(self.network, "standby", Kind.JUMP, endpoint="198.51.100.8:51820")
        self.laptop = await self.backend.enrolled(self.network, "laptop")
        self.bridging = Bridging(self.backend, self.network)
        return self

    @property
    def bridge(self) -> Bridge:
        return an_active_bridge(self.network)

    async def told(self, peer: Peer) -> wire.Config:
        """The config of a peer as its agent reads it."""
        memory, known = await self.backend.mesh.around(peer.id)
        return msgspec.json.decode(wire.encode(memory.config(known)), type=wire.Config)

    async def flows(self) -> list[wire.Flow]:
        bridged = (await self.told(self.gateway)).bridged
        return [] if bridged is None else [flow for crossing in bridged.crossings for flow in crossing.flows]

    async def granted(self) -> list[str]:
        return [flow.id for flow in await self.flows() if flow.id not in INGRESSES]

    async def revision(self) -> int:
        return (await self.backend.network_now(self.network.id)).revision

    def commits(self) -> list[Commit]:
        return [commit for commit in self.backend.heard.commits if commit.event == "bridge.changed"]


@pytest.fixture
async def office(backend: Backend) -> Office:
    return await Office(backend).filled()


@BOTH_DATABASES
async def test_an_active_bridge_is_a_tunnel_of_the_gateway_and_a_way_for_the_others(office: Office) -> None:
    isolated = await office.backend.enrolled(office.network, "kiosk", isolated=True)
    enclosed = await office.backend.enrolled(office.network, "roamer", full_encapsulation=True)
    await office.bridging.change(0, office.bridge)
    gateway = await office.told(office.gateway)
    assert gateway.bridged is not None
    (crossing,) = gateway.bridged.crossings
    assert (crossing.id, crossing.name, crossing.prefixes) == (str(office.bridge.id), "b.example", (PREFIX,))
    assert gateway.bridged.prefixes == (PREFIX,)
    assert (gateway.bridged.lease, crossing.keepalive) == (60, office.network.keepalive)
    assert "bridges" in gateway.requires
    laptop = await office.told(office.laptop)
    assert laptop.bridged == wire.Bridged(60, (PREFIX,))
    assert "bridges" not in laptop.requires
    assert all(PREFIX not in neighbour.allowed_ips for neighbour in laptop.neighbours)
    for peer in (office.standby, isolated, enclosed):
        assert (await office.told(peer)).bridged is None, peer.name


async def test_a_static_peers_config_leads_to_the_prefixes(office: Office) -> None:
    phone = await office.backend.peer(office.network, "phone", Kind.STATIC, keep_private_key=True)
    assert PREFIX not in await office.backend.static_text(phone.id)
    await office.bridging.change(0, office.bridge)
    assert PREFIX in await office.backend.static_text(phone.id)


@pytest.mark.case("DATA-003")
async def test_suspending_takes_everything_out_in_one_revision(office: Office) -> None:
    service = await office.bridging.service()
    await office.bridging.change(0, office.bridge, office.bridging.a_grant(0, service))
    before, revision = await office.told(office.gateway), await office.revision()
    assert await office.granted()
    assert await office.bridging.change(0, replace(office.bridge, state=State.SUSPENDED)) == 1
    after = await office.told(office.gateway)
    assert await office.revision() == revision + 1
    assert (after.bridged, after.requires) == (None, tuple(each for each in before.requires if each != "bridges"))
    # One delta takes it away from an agent that had it, and leaves all the rest as it was.
    news = await office.backend.agents.news(office.gateway.id, revision)
    delta = wire.decode_from_server(news.delta or "")
    assert isinstance(delta, wire.Delta)
    assert (delta.to, delta.frame.bridged, delta.upsert, delta.remove) == (revision + 1, None, (), ())
    assert (await office.told(office.laptop)).bridged is None


async def test_a_grant_is_news_for_jump_peers_alone_and_costs_no_neighbour(office: Office) -> None:
    service = await office.bridging.service()
    await office.bridging.change(0, office.bridge)
    has = await office.revision()
    office.backend.heard.commits.clear()
    grant = office.bridging.a_grant(0, service)
    await office.bridging.change(0, grant)
    (commit,) = office.commits()
    assert (commit.audience, commit.subject) == (Audience.JUMPS, office.bridge.id)
    assert await office.granted() == [str(grant.id)]
    assert (await office.backend.agents.news(office.laptop.id, has)).delta is None
    for peer, told in ((office.gateway, True), (office.standby, False)):
        delta = wire.decode_from_server((await office.backend.agents.news(peer.id, has)).delta or "")
        assert isinstance(delta, wire.Delta)
        assert bool(delta.frame.bridged) is told
        assert (delta.upsert, delta.frame.routes) == ((), msgspec.UNSET)


async def test_what_changes_nothing_makes_no_revision(office: Office) -> None:
    await office.bridging.change(0, office.bridge)
    revision = await office.revision()
    assert await office.bridging.change(0, office.bridging.a_grant(0, None)) == 0
    assert await office.bridging.change(1, office.bridging.a_grant(1, None)) == 0
    assert await office.revision() == revision


@BOTH_DATABASES
async def test_a_grant_that_expires_is_closed_at_that_moment(office: Office) -> None:
    backend, service = office.backend, await office.bridging.service()
    now = backend.clock.now()
    first = office.bridging.a_grant(0, service, expires_at=now + timedelta(minutes=2))
    second = office.bridging.a_grant(0, service, expires_at=now + timedelta(minutes=3))
    await office.bridging.change(0, office.bridge, first, second)
    await backend.crossings.turn()
    for grants, after in (
        ([first, second], timedelta(seconds=119, milliseconds=999)),
        ([second], timedelta(seconds=120)),
        ([second], timedelta(seconds=179, milliseconds=999)),
        ([], timedelta(seconds=180)),
    ):
        backend.clock.time = now + after
        await backend.crossings.turn()
        assert await office.granted() == [str(grant.id) for grant in grants]


async def test_a_remote_that_expires_loses_its_bridge_at_that_moment(office: Office) -> None:
    backend = office.backend
    await office.bridging.change(0, office.bridge)
    async with backend.store.transaction() as tx:
        remote = await tx.remotes.lock(REMOTES[0])
        await tx.remotes.save(replace(remote, expires_at=backend.clock.now() + timedelta(minutes=1)))
    await backend.crossings.turn()
    assert (await office.told(office.gateway)).bridged
    backend.clock.turn(timedelta(minutes=1))
    await backend.crossings.turn()
    assert (await office.told(office.gateway)).bridged is None


async def test_what_ended_while_no_server_ran_is_closed_at_the_first_look(office: Office) -> None:
    backend, service = office.backend, await office.bridging.service()
    await office.bridging.change(0, office.bridge, office.bridging.a_grant(0, service))
    assert await office.granted()
    backend.clock.turn(timedelta(hours=1))
    await backend.crossings.turn()
    assert await office.granted() == []


async def test_the_bridges_follow_the_primary_jump_peer(office: Office) -> None:
    await office.bridging.change(0, office.bridge)
    revision = await office.revision()
    await office.backend.networks.update(ADA, office.network.id, networks.Update(primary_id=office.standby.id), None)
    await office.backend.crossings.turn()
    assert (await office.told(office.gateway)).bridged is None
    bridged = (await office.told(office.standby)).bridged
    assert bridged is not None
    assert bridged.crossings
    assert await office.revision() == revision + 1


async def test_another_cidr_closes_what_led_to_the_old_one(office: Office) -> None:
    service = await office.bridging.service()
    await office.bridging.change(0, office.bridge, office.bridging.a_grant(0, service))
    update = networks.Update(cidr_v4=str(their_prefix(0)), force=True)
    await office.backend.networks.update(ADA, office.network.id, update, None)
    await office.backend.crossings.turn()
    # What the network has itself is no remote's any more.
    assert (await office.told(office.gateway)).bridged is None


async def test_several_bridges_of_a_network_stand_side_by_side(office: Office) -> None:
    service = await office.bridging.service()
    for number in range(3):
        await office.bridging.change(
            number, an_active_bridge(office.network, number), office.bridging.a_grant(number, service)
        )
    assert len(await office.granted()) == 3
    async with office.backend.store.reading() as tx:
        grants = await tx.grants.of_remote(REMOTES[1])
    await office.bridging.change(1, replace(grants[0], revoked_at=office.backend.clock.now()))
    bridged = (await office.told(office.gateway)).bridged
    assert bridged is not None
    assert [len(crossing.flows) for crossing in bridged.crossings] == [2, 1, 2]


async def test_history_knows_what_the_gateway_was_told_of_bridges(office: Office) -> None:
    backend = office.backend
    await office.bridging.change(0, office.bridge)
    joined = await office.revision()
    await office.bridging.change(0, replace(office.bridge, state=State.SUSPENDED))
    assert PREFIX in (await backend.history.at(office.gateway.id, joined)).text
    assert PREFIX not in (await backend.history.at(office.gateway.id)).text
    listed: dict[str, list[Any]] = {}
    for peer in (office.gateway, office.standby, office.laptop):
        found = await backend.history.revisions(peer.id, 2)
        listed[peer.name] = [item.event for item in found.items if item.event == "bridge.changed"]
    assert listed == {"gw": ["bridge.changed"] * 2, "standby": [], "laptop": ["bridge.changed"] * 2}


async def test_a_server_that_comes_back_sends_a_delta_over_the_change_of_a_bridge(office: Office) -> None:
    await office.bridging.change(0, office.bridge)
    has = await office.revision()
    await office.bridging.change(0, office.bridging.a_held_grant(0))
    office.backend.mesh.changed(
        Commit(office.network.id, await office.backend.network_now(office.network.id), reload=True)
    )
    await office.backend.mesh.around(office.gateway.id)
    delta = wire.decode_from_server((await office.backend.agents.news(office.gateway.id, has)).delta or "")
    assert isinstance(delta, wire.Delta)
    assert delta.frame.bridged


async def test_a_cancellation_is_not_lost_when_it_comes_with_the_wake(office: Office) -> None:
    await office.bridging.change(0, office.bridge)
    watch = office.backend.crossings
    await watch.work()
    working = asyncio.create_task(watch.work())
    for _ in range(3):
        await asyncio.sleep(0)
    watch.look_at(office.network.id)
    await asyncio.sleep(0)
    is_cancelled = working.cancel()
    await asyncio.wait([working])
    assert working.cancelled() is is_cancelled
