"""Keys of agents: asked for by people or by age, made once, told in an order that keeps traffic going."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from isthmus.domain.errors import EnrollmentTokenInvalid, InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks
from isthmus.server.application.keys import MOMENT, PATIENCE
from tests.application.backend import ADA, ANYONE, BOTH_DATABASES, Backend, a_public_key

AGE = timedelta(days=30)
SECOND = timedelta(seconds=1)


@dataclass
class Connected:
    """Whose agents are there."""

    peers: set[PeerId] = field(default_factory=set)

    def is_connected(self, peer_id: PeerId) -> bool:
        return peer_id in self.peers


@dataclass
class Office:
    """A jump peer and two members, all connected."""

    backend: Backend
    network: Network
    gw: Peer
    laptop: Peer
    desk: Peer
    connected: Connected

    async def is_wanted(self, peer: Peer) -> bool:
        return await self.backend.keys.is_wanted(peer.id, self.connected)

    async def rekey(self, peer: Peer, key: str | None = None) -> str:
        key = key or a_public_key()
        await self.backend.keys.rekey(ANYONE, peer.id, key)
        return key

    async def seen(self, peer: Peer) -> None:
        """Its agent reports at this moment."""
        await self.backend.agents.applied(peer.id, wire.Applied(1, 1))


@pytest.fixture
async def office(backend: Backend) -> Office:
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    laptop, desk = [await backend.enrolled(network, name) for name in ("laptop", "desk")]
    connected = Connected({gw.id, laptop.id, desk.id})
    return Office(backend, network, gw, laptop, desk, connected)


async def with_age(office: Office, age: timedelta = AGE) -> None:
    update = networks.Update(key_max_age=int(age.total_seconds()))
    await office.backend.networks.update(ADA, office.network.id, update, None)


@BOTH_DATABASES
async def test_a_key_that_was_asked_for_is_taken_over_once(office: Office) -> None:
    backend, laptop = office.backend, office.laptop
    assert not await office.is_wanted(laptop)
    asked = await backend.keys.ask(ADA, laptop.id)
    assert asked.peer.rekey_asked_at == backend.clock.now()
    assert await office.is_wanted(laptop)

    backend.clock.turn(SECOND)
    key = await office.rekey(laptop)
    present = await backend.peer_now(laptop.id)
    assert (present.public_key, present.key_changed_at, present.rekey_asked_at) == (key, backend.clock.now(), None)
    assert not await office.is_wanted(laptop)
    # An answer that was lost is asked for again, and changes nothing.
    changes = await backend.changes(office.network.id)
    await office.rekey(laptop, key)
    assert await backend.changes(office.network.id) == changes
    with pytest.raises(TransitionNotAllowed):
        await office.rekey(laptop)


async def test_all_configs_name_the_new_key_and_none_the_old(office: Office) -> None:
    backend, laptop = office.backend, office.laptop
    await backend.agents.news(office.gw.id, None)
    await backend.keys.ask(ADA, laptop.id)
    key = await office.rekey(laptop)
    config = (await backend.agents.news(office.gw.id, None)).config
    own = (await backend.agents.news(laptop.id, None)).config
    assert config is not None
    assert own is not None
    assert own.public_key == key
    text = wire.encode(config).decode()
    assert key in text
    assert str(laptop.public_key) not in text


async def test_a_session_alone_is_not_enough_to_change_a_key(office: Office) -> None:
    backend = office.backend
    before, audit = await backend.peers_of(office.network.id), await backend.audit()
    with pytest.raises(TransitionNotAllowed, match="was not asked"):
        await office.rekey(office.laptop)
    assert await backend.peers_of(office.network.id) == before
    assert await backend.audit() == audit


@pytest.mark.parametrize("key", ["", "x" * 44, "A" * 43 + "="])
async def test_what_is_no_key_is_refused(office: Office, key: str) -> None:
    await office.backend.keys.ask(ADA, office.laptop.id)
    with pytest.raises(InvalidValue):
        await office.backend.keys.rekey(ANYONE, office.laptop.id, key)
    assert await office.is_wanted(office.laptop)


async def test_the_key_of_another_peer_is_refused(office: Office) -> None:
    await office.backend.keys.ask(ADA, office.laptop.id)
    with pytest.raises(InvalidValue, match="key of another peer"):
        await office.rekey(office.laptop, str(office.desk.public_key))
    assert (await office.backend.peer_now(office.laptop.id)).public_key == office.laptop.public_key


async def test_only_agents_can_be_asked(office: Office) -> None:
    backend = office.backend
    phone = await backend.peer(office.network, "phone", Kind.STATIC)
    waiting = await backend.peer(office.network, "waiting")
    for peer in (phone, waiting):
        with pytest.raises(TransitionNotAllowed):
            await backend.keys.ask(ADA, peer.id)
    with pytest.raises(NotFound):
        await backend.keys.ask(ADA, PeerId(backend.ids.new()))


async def test_a_jump_peer_under_static_peers_changes_its_key_by_force_alone(office: Office) -> None:
    backend = office.backend
    phone = await backend.peer(office.network, "phone", Kind.STATIC)
    with pytest.raises(TransitionNotAllowed, match="1 static peers"):
        await backend.keys.ask(ADA, office.gw.id)
    await with_age(office)
    backend.clock.turn(2 * AGE)
    assert not await office.is_wanted(office.gw)
    with pytest.raises(TransitionNotAllowed):
        await office.rekey(office.gw)
    assert await office.is_wanted(office.laptop)
    asked = await backend.keys.ask(ADA, office.gw.id, force=True)
    assert [peer.id for peer in asked.reissue] == [phone.id]
    assert await office.is_wanted(office.gw)


async def test_keys_that_are_too_old_are_wanted_until_they_have_changed(office: Office) -> None:
    backend, laptop = office.backend, office.laptop
    await with_age(office)
    assert not await office.is_wanted(laptop)
    backend.clock.turn(AGE)
    assert await office.is_wanted(laptop)
    await office.rekey(laptop)
    assert not await office.is_wanted(laptop)
    backend.clock.turn(AGE)
    assert await office.is_wanted(laptop)
    await with_age(office, timedelta())
    assert not await office.is_wanted(laptop)


@pytest.mark.parametrize("seconds", [-1, 1, 3599, 400_000_000])
async def test_an_age_below_an_hour_is_refused(office: Office, seconds: int) -> None:
    with pytest.raises(InvalidValue, match="key_max_age"):
        await with_age(office, timedelta(seconds=seconds))


async def test_no_key_changes_while_the_jump_peer_could_not_hear_of_it(office: Office) -> None:
    backend, connected = office.backend, office.connected
    await backend.keys.ask(ADA, office.laptop.id)
    connected.peers.remove(office.gw.id)
    assert await backend.keys.waits_for(office.laptop.id, connected) == "jump_peer"
    backend.clock.turn(10 * PATIENCE)
    assert not await office.is_wanted(office.laptop)
    connected.peers.add(office.gw.id)
    assert await office.is_wanted(office.laptop)
    connected.peers.remove(office.laptop.id)
    assert await backend.keys.waits_for(office.laptop.id, connected) == "agent"


async def test_a_jump_peer_waits_a_while_for_members_that_were_there_a_moment_ago(office: Office) -> None:
    backend, connected, clock = office.backend, office.connected, office.backend.clock
    connected.peers.remove(office.desk.id)
    await backend.keys.ask(ADA, office.gw.id)
    assert not await office.is_wanted(office.gw), "desk has just enrolled"
    clock.turn(MOMENT)
    assert await office.is_wanted(office.gw), "desk was never there"
    await office.rekey(office.gw)

    await office.seen(office.desk)
    await backend.keys.ask(ADA, office.gw.id)
    assert await backend.keys.waits_for(office.gw.id, connected) == "others"
    clock.turn(PATIENCE - SECOND)
    assert not await office.is_wanted(office.gw)
    connected.peers.add(office.desk.id)
    assert await office.is_wanted(office.gw)
    connected.peers.remove(office.desk.id)
    clock.turn(SECOND)
    assert await office.is_wanted(office.gw)
    await office.rekey(office.gw)

    await office.seen(office.desk)
    clock.turn(MOMENT)
    await backend.keys.ask(ADA, office.gw.id)
    assert await office.is_wanted(office.gw), "desk has been away for long"


async def test_the_jump_peer_hears_of_a_key_first_and_of_its_own_before_all_others(office: Office) -> None:
    backend = office.backend
    for peer in (office.laptop, office.gw):
        await backend.keys.ask(ADA, peer.id)
        backend.heard.commits.clear()
        await office.rekey(peer)
        (commit,) = backend.heard.commits
        assert [changed.id for changed in commit.changed] == [peer.id]
        assert commit.first == office.gw.id


async def test_an_enrollment_cannot_be_repeated_with_a_key_that_was_changed(backend: Backend) -> None:
    created = await backend.created(await backend.network(), "laptop")
    assert created.token is not None
    old = a_public_key()
    enrolled = await backend.enrollment.enroll(ANYONE, created.token.text, old, "host")
    await backend.keys.ask(ADA, enrolled.peer.id)
    await backend.keys.rekey(ANYONE, enrolled.peer.id, a_public_key())
    with pytest.raises(EnrollmentTokenInvalid):
        await backend.enrollment.enroll(ANYONE, created.token.text, old, "host")


async def test_the_agent_is_the_actor_of_its_new_key(office: Office) -> None:
    await office.backend.keys.ask(ADA, office.laptop.id)
    await office.backend.keys.rekey(replace(ANYONE, actor="whoever"), office.laptop.id, a_public_key())
    asked, made = (await office.backend.audit())[-2:]
    assert (asked.actor, asked.action) == ("user:ada", "peer.rotate_key")
    assert (made.actor, made.action) == (f"agent:{office.laptop.id}", "agent.rekey")
