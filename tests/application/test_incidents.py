"""Incidents: what opens them, what a block commits with, how agents are told, and how they end."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from isthmus.domain.errors import (
    AgentBlocked,
    AgentSessionConflict,
    EnrollmentTokenInvalid,
    InvalidValue,
    NotFound,
    ReplayDetected,
    TransitionNotAllowed,
)
from isthmus.domain.mesh.incident import EnrollmentReuse, Finding, Incident, SessionConflict, SharedConfig, State, Type
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import networks
from isthmus.server.application.incidents import MOST_PENDING, PEER_DELETED
from isthmus.server.application.notices import notices_of
from isthmus.server.ports import StoreUnavailable
from isthmus.server.records import IncidentFilter
from tests.application.backend import ADA, ALL, ANYONE, BOTH_DATABASES, Backend, a_public_key
from tests.application.speaking import Voice, a_host, saw
from tests.builders import a_peer

COPY = a_host("thief", "boot-9", 1_700_000_500)


async def an_office(backend: Backend) -> tuple[Network, Peer, Peer, Peer]:
    """A network with a jump peer and two members, all enrolled."""
    network = await backend.network()
    gw = await backend.enrolled(network, "gw", Kind.JUMP)
    return network, gw, await backend.enrolled(network, "laptop"), await backend.enrolled(network, "desk")


async def config_text(backend: Backend, peer: Peer) -> str:
    """The whole config of a peer, as it is sent."""
    return wire.encode((await backend.agents.news(peer.id, None)).config).decode()


async def incidents_of(backend: Backend, **fields: Any) -> list[Incident]:
    return [incident for incident, _ in await backend.incidents.page(ALL, IncidentFilter(**fields))]


def a_finding(peer: Peer, kind: Type = Type.SESSION_CONFLICT, *, blocks: bool = True) -> Finding:
    evidence = SharedConfig(()) if kind is Type.SHARED_CONFIG else SessionConflict(())
    return Finding(peer.id, kind, evidence, blocks, peer.created_at)


@pytest.mark.case("SEED-065")
@BOTH_DATABASES
async def test_two_agents_with_one_identity_are_a_session_conflict(backend: Backend) -> None:
    _, _, laptop, desk = await an_office(backend)
    first, second = Voice(backend, laptop.id), Voice(backend, laptop.id, "203.0.113.77", COPY)
    await first.beat()
    backend.clock.turn(timedelta(minutes=4))
    await first.beat()
    await second.beat()  # from here on it could be the same host, moved
    backend.clock.turn(timedelta(seconds=15))
    with pytest.raises(AgentSessionConflict) as refused:
        await first.beat()
    (incident,) = await incidents_of(backend)
    assert refused.value.incident == str(incident.id)
    assert (incident.type, incident.peer_id, incident.state, incident.blocks) == (
        Type.SESSION_CONFLICT,
        laptop.id,
        State.OPEN,
        True,
    )
    assert isinstance(incident.evidence, SessionConflict)
    assert {voice.source for voice in incident.evidence.voices} == {"198.51.100.9", "203.0.113.77"}
    assert (await backend.peer_now(laptop.id)).blocked
    rows = [entry for entry in await backend.audit() if entry.subject == str(incident.id)]
    assert [(row.actor, row.action, row.facts["peer"]) for row in rows] == [("server", "incident.open", str(laptop.id))]
    for voice in (first, second):
        with pytest.raises(AgentBlocked):
            await voice.beat()

    moving = Voice(backend, desk.id)
    await moving.beat()
    backend.clock.turn(timedelta(minutes=4))
    for _ in range(20):
        await replace(moving, source="203.0.113.77").beat()
        backend.clock.turn(timedelta(seconds=15))
    assert len(await incidents_of(backend)) == 1
    assert not (await backend.peer_now(desk.id)).blocked


async def test_a_lost_acknowledgement_a_restart_and_a_reboot_are_no_conflict(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    voice = Voice(backend, laptop.id)
    nonce = await voice.beat()
    await voice.beat(nonce=nonce)
    with pytest.raises(ReplayDetected) as stale:
        await voice.beat(nonce=nonce)
    await voice.beat(nonce=stale.value.nonce)
    for host in (a_host(started_at=1_700_000_900), a_host(boot="boot-2", started_at=5)):
        backend.clock.turn(timedelta(seconds=5))
        await replace(voice, host=host).beat()
        await replace(voice, host=host).beat()
    assert await incidents_of(backend) == []


@pytest.mark.case("SEED-066")
@BOTH_DATABASES
async def test_a_key_that_returns_is_a_shared_config_and_blocks_once_a_second_sign_confirms_it(
    backend: Backend,
) -> None:
    network, gw, _, _ = await an_office(backend)
    second_gw = await backend.enrolled(network, "gw-2", Kind.JUMP)
    phone, tablet, router = [
        await backend.peer(network, name, Kind.STATIC, public_key=a_public_key()) for name in ("phone", "tablet", "cpe")
    ]
    here, there = "198.51.100.20:4000", "203.0.113.9:4000"
    jumps = {"gw": Voice(backend, gw.id), "gw-2": Voice(backend, second_gw.id, "198.51.100.8", a_host("gw-2"))}
    for endpoint in (here, there, here):
        await jumps["gw"].beat(saw(phone, endpoint), saw(tablet, endpoint))
        await jumps["gw-2"].beat(saw(tablet, endpoint))
        backend.clock.turn(timedelta(seconds=60))
    for port in range(4000, 4004):
        await jumps["gw"].beat(saw(router, f"198.51.100.20:{port}"))
    await backend.incidents.drain()
    found = {incident.peer_name: incident for incident in await incidents_of(backend)}
    assert {name: (each.type, each.blocks) for name, each in found.items()} == {
        "phone": (Type.SHARED_CONFIG, False),
        "tablet": (Type.SHARED_CONFIG, True),
    }
    for name, names in (("phone", {"gw"}), ("tablet", {"gw", "gw-2"})):
        evidence: Any = found[name].evidence
        assert {observation.name for observation in evidence.observations} == names
        for observation in evidence.observations:
            assert [sighting.place for sighting in observation.sightings] == [here, there, here]
    assert not (await backend.peer_now(phone.id)).blocked
    assert (await backend.peer_now(tablet.id)).blocked
    assert not (await backend.peer_now(router.id)).blocked


@pytest.mark.case("SEED-067")
@pytest.mark.parametrize("changes", [9, 10])
async def test_ten_addresses_in_a_day_are_suspicious_and_block(backend: Backend, changes: int) -> None:
    _, gw, laptop, _ = await an_office(backend)
    jump = Voice(backend, gw.id)
    for number in range(changes + 1):
        address = f"198.51.100.{number + 20}"
        await jump.beat(saw(laptop, f"{address}:4000"))
        await Voice(backend, laptop.id, address).beat()
        backend.clock.turn(timedelta(hours=2))
    await backend.incidents.drain()
    found = await incidents_of(backend)
    if changes < 10:
        assert found == []
        return
    (incident,) = found
    assert (incident.type, incident.blocks) == (Type.SUSPICIOUS_ACTIVITY, True)
    evidence: Any = incident.evidence
    for observation in evidence.observations:
        assert [sighting.place.partition(":")[0] for sighting in observation.sightings] == [
            f"198.51.100.{number + 21}" for number in range(10)
        ]
    assert (await backend.peer_now(laptop.id)).blocked


@pytest.mark.case("SEED-067")
@pytest.mark.parametrize("changes", [5, 6])
async def test_six_ports_in_five_minutes_are_suspicious_and_do_not_block(backend: Backend, changes: int) -> None:
    _, gw, laptop, _ = await an_office(backend)
    jump = Voice(backend, gw.id)
    for number in range(changes + 1):
        await jump.beat(saw(laptop, f"198.51.100.20:{4000 + number}"))
        backend.clock.turn(timedelta(seconds=45))
    await backend.incidents.drain()
    assert [(each.type, each.blocks) for each in await incidents_of(backend)] == (
        [(Type.SUSPICIOUS_ACTIVITY, False)] if changes == 6 else []
    )
    assert not (await backend.peer_now(laptop.id)).blocked


@pytest.mark.case("SEED-068")
@BOTH_DATABASES
async def test_incident_block_audit_row_and_event_commit_together_and_the_others_are_told(backend: Backend) -> None:
    network, _, laptop, desk = await an_office(backend)
    before, entries = await backend.network_now(network.id), len(await backend.audit())
    backend.heard.commits.clear()
    incident = await backend.incidents.open(a_finding(laptop))
    assert incident is not None
    assert await incidents_of(backend) == [incident]
    async with backend.store.reading() as tx:
        assert await tx.incidents.blocking([laptop.id, desk.id]) == {laptop.id: (incident.id,)}
    (row,) = (await backend.audit())[entries:]
    assert (row.action, row.subject) == ("incident.open", str(incident.id))
    event = (await backend.changes(network.id))[-1]
    assert (event.event, event.subject, event.revision) == ("incident.opened", laptop.id, before.revision + 1)
    (told,) = backend.heard.commits
    assert (told.audience, told.blocked, told.incidents) == (Audience.EVERYONE, {laptop.id: incident.id}, (incident,))
    said = {(notice.event, notice.subject) for notice in notices_of(told, backend.clock.now())}
    assert said == {("peer.changed", str(laptop.id)), ("incident.opened", str(incident.id))}
    for peer in await backend.peers_of(network.id):
        if peer.id != laptop.id:
            assert str(laptop.public_key) not in await config_text(backend, peer)


@BOTH_DATABASES
@pytest.mark.case("SEED-068")
async def test_an_incident_that_cannot_be_stored_blocks_nobody_and_is_opened_later(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _, laptop, _ = await an_office(backend)
    before, entries = await backend.network_now(network.id), len(await backend.audit())
    backend.heard.commits.clear()
    ids = backend.ids.new

    def broken() -> Any:
        raise StoreUnavailable("on purpose")

    monkeypatch.setattr(backend.ids, "new", broken)
    backend.incidents.report(a_finding(laptop))
    with pytest.raises(StoreUnavailable):
        await backend.incidents.drain()
    assert await incidents_of(backend) == []
    assert await backend.network_now(network.id) == before
    assert len(await backend.audit()) == entries
    assert backend.heard.commits == []
    monkeypatch.setattr(backend.ids, "new", ids)
    await backend.incidents.drain()
    assert (await backend.peer_now(laptop.id)).blocked


@BOTH_DATABASES
async def test_findings_at_the_same_moment_are_folded_into_one_incident(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    opened = await asyncio.gather(*(backend.incidents.open(a_finding(laptop)) for _ in range(10)))
    assert len({incident.id for incident in opened if incident}) == len(await incidents_of(backend)) == 1
    assert [entry.action for entry in await backend.audit()].count("incident.open") == 1


async def test_a_finding_that_blocks_confirms_an_incident_that_does_not(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    backend.heard.commits.clear()
    mild = await backend.incidents.open(a_finding(laptop, blocks=False))
    (told,) = backend.heard.commits
    (said,) = notices_of(told, backend.clock.now())
    assert mild is not None
    assert (said.event, said.subject) == ("incident.opened", str(mild.id))
    assert not (await backend.peer_now(laptop.id)).blocked
    grave = await backend.incidents.open(a_finding(laptop))
    assert mild is not None
    assert grave == replace(mild, blocks=True)
    assert (await backend.peer_now(laptop.id)).blocked
    assert await backend.incidents.open(a_finding(laptop, blocks=False)) == grave


@pytest.mark.case("SEED-070")
@BOTH_DATABASES
async def test_resolving_brings_the_peer_back_and_is_on_record(backend: Backend) -> None:
    network, gw, laptop, _ = await an_office(backend)
    incident = await backend.incidents.open(a_finding(laptop))
    assert incident is not None
    backend.clock.turn(timedelta(hours=1))
    backend.heard.commits.clear()
    resolved = await backend.incidents.resolve(ADA, incident.id, "the copy is off")
    assert (resolved.state, resolved.resolved_by, resolved.resolved_at, resolved.reason) == (
        State.RESOLVED,
        "user:ada",
        backend.clock.now(),
        "the copy is off",
    )
    assert not (await backend.peer_now(laptop.id)).blocked
    async with backend.store.reading() as tx:
        assert await tx.incidents.blocking([laptop.id]) == {}
    assert str(laptop.public_key) in await config_text(backend, gw)
    await Voice(backend, laptop.id).beat()
    (told,) = backend.heard.commits
    assert told.audience is Audience.EVERYONE
    assert (await backend.changes(network.id))[-1].event == "incident.resolved"
    (row,) = [entry for entry in await backend.audit() if entry.action == "incident.resolve"]
    assert (row.actor, row.subject, row.facts["reason"], row.at) == (
        "user:ada",
        str(incident.id),
        "the copy is off",
        backend.clock.now(),
    )
    with pytest.raises(TransitionNotAllowed):
        await backend.incidents.resolve(ADA, incident.id, "again")
    with pytest.raises(InvalidValue):
        await backend.incidents.resolve(ADA, incident.id, " ")


async def test_a_peer_with_two_blocks_returns_with_the_end_of_the_second(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    one = await backend.incidents.open(a_finding(laptop))
    two = await backend.incidents.open(a_finding(laptop, Type.SHARED_CONFIG))
    assert one is not None
    assert two is not None
    await backend.incidents.resolve(ADA, one.id, "first")
    assert (await backend.peer_now(laptop.id)).blocked
    with pytest.raises(AgentBlocked) as refused:
        await Voice(backend, laptop.id).beat()
    assert refused.value.incident == str(two.id)
    await backend.incidents.resolve(ADA, two.id, "second")
    await Voice(backend, laptop.id).beat()


@BOTH_DATABASES
async def test_the_incidents_of_a_deleted_peer_are_resolved_with_it(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    await backend.incidents.open(a_finding(laptop))
    await backend.peers.delete(ADA, laptop.id, None, force=False)
    (incident,) = await incidents_of(backend, peer_id=laptop.id)
    assert (incident.state, incident.reason, incident.peer_name) == (State.RESOLVED, PEER_DELETED, "laptop")
    assert await backend.incidents.open(a_finding(laptop)) is None
    assert [entry.action for entry in await backend.audit()].count("incident.resolve") == 1


async def test_an_incident_of_a_deleted_network_is_gone(backend: Backend) -> None:
    network, _, laptop, _ = await an_office(backend)
    incident = await backend.incidents.open(a_finding(laptop))
    assert incident is not None
    await backend.networks.delete(ADA, network.id, None, force=True)
    with pytest.raises(NotFound):
        await backend.incidents.get(incident.id)


async def test_what_was_open_before_a_restart_blocks_after_it(backend: Backend, tmp_path: Any) -> None:
    _, _, laptop, _ = await an_office(backend)
    incident = await backend.incidents.open(a_finding(laptop))
    assert incident is not None
    restarted = Backend(backend.store, tmp_path)
    with pytest.raises(AgentBlocked) as refused:
        await Voice(restarted, laptop.id).beat()
    assert refused.value.incident == str(incident.id)


async def test_findings_that_wait_are_bounded(backend: Backend) -> None:
    _, _, laptop, _ = await an_office(backend)
    for number in range(MOST_PENDING + 100):
        backend.incidents.report(a_finding(a_peer(number + 10_000)))
        backend.incidents.report(a_finding(laptop, blocks=False))
    assert len(backend.incidents._pending) == MOST_PENDING


@pytest.mark.case("MESH-006")
@BOTH_DATABASES
async def test_a_jump_peer_that_lies_for_ten_minutes_gets_nobody_blocked(backend: Backend) -> None:
    network, gw, victim, other = await an_office(backend)
    second_gw = await backend.enrolled(network, "gw-2", Kind.JUMP)
    liar, honest = Voice(backend, gw.id), Voice(backend, victim.id, "198.51.100.50")
    for number in range(40):
        lie = f"{'198.51.100.50' if number % 2 else f'203.0.113.{number}'}:{4000 + number}"
        await liar.beat(saw(victim, lie, handshake=int(backend.clock.now().timestamp())))
        await honest.beat()
        backend.clock.turn(timedelta(seconds=15))
    await backend.incidents.drain()
    assert not (await backend.peer_now(victim.id)).blocked
    found = await incidents_of(backend)
    assert found
    for incident in found:
        evidence: Any = incident.evidence
        assert (incident.blocks, [observation.observer for observation in evidence.observations]) == (False, [gw.id])
    # Peers stand on the list and nothing else; nobody does.
    async with backend.store.reading() as tx:
        assert await tx.incidents.blocking([gw.id, victim.id, other.id, second_gw.id]) == {}
    for peer in (gw, other):
        assert str(victim.public_key) in await config_text(backend, peer)

    # A member is no observer at all.
    member = Voice(backend, other.id, "198.51.100.60")
    for endpoint in ("198.51.100.1:1", "198.51.100.2:1", "198.51.100.1:1"):
        await member.beat(saw(gw, endpoint), saw(victim, endpoint))
    await backend.incidents.drain()
    assert len(await incidents_of(backend)) == len(found)

    witness = Voice(backend, second_gw.id, "198.51.100.8", a_host("gw-2"))
    for number in range(3):
        report = saw(victim, f"{'198.51.100.50' if number % 2 else '203.0.113.9'}:4000")
        await witness.beat(report)
        await liar.beat(report)
        backend.clock.turn(timedelta(seconds=15))
    await backend.incidents.drain()
    assert (await backend.peer_now(victim.id)).blocked


@pytest.mark.case("ENROL-002")
@BOTH_DATABASES
async def test_another_key_on_a_spent_token_is_an_incident_and_the_same_key_is_none(backend: Backend) -> None:
    network = await backend.network()
    created = await backend.created(network, "laptop")
    assert created.token is not None
    text, key = created.token.text, a_public_key()

    async def use(with_key: str) -> Any:
        return await backend.enrollment.enroll(ANYONE, text, with_key, "host")

    first = await use(key)
    backend.clock.turn(timedelta(minutes=1))
    again = await use(key)
    assert (again.peer, again.network) == (first.peer, first.network)
    await backend.incidents.drain()
    assert await incidents_of(backend) == []

    before = await backend.peers_of(network.id), await backend.network_now(network.id)
    stranger = a_public_key()
    for _ in range(3):
        with pytest.raises(EnrollmentTokenInvalid):
            await use(stranger)
    backend.clock.turn(timedelta(minutes=10))
    with pytest.raises(EnrollmentTokenInvalid):
        await use(key)
    await backend.incidents.drain()
    (incident,) = await incidents_of(backend)
    assert (incident.type, incident.blocks) == (Type.ENROLLMENT_REUSE, False)
    assert incident.evidence == EnrollmentReuse(created.token.prefix, key, stranger, "host", ANYONE.source)
    assert (await backend.peers_of(network.id), await backend.network_now(network.id)) == before
    assert await backend.agents.authenticate(again.session_token) == first.peer.id


async def test_reports_that_cannot_be_true_change_nothing(backend: Backend) -> None:
    _, gw, laptop, _ = await an_office(backend)
    elsewhere = await backend.enrolled(await backend.network("attic", None), "stranger")
    jump = Voice(backend, gw.id)
    await jump.beat(saw(laptop, "198.51.100.20:1"))
    before = await backend.agents.statuses([gw.id, laptop.id, elsewhere.id])
    future = int((backend.clock.now() + timedelta(days=2)).timestamp())
    backend.clock.turn(timedelta(seconds=15))
    for refused in (
        jump.beat(saw(laptop, "203.0.113.66:1", handshake=future)),
        replace(jump, host=a_host(started_at=future)).beat(saw(laptop, "203.0.113.66:1")),
        jump.beat(saw(laptop, "203.0.113.66:1"), saw(elsewhere, "203.0.113.66:1")),
    ):
        with pytest.raises(InvalidValue):
            await refused
    assert await backend.agents.statuses([gw.id, laptop.id, elsewhere.id]) == before
    fast = int((backend.clock.now() + timedelta(hours=2)).timestamp())
    await jump.beat(saw(laptop, "198.51.100.20:1", handshake=fast))
    status = (await backend.agents.statuses([laptop.id]))[laptop.id]
    assert status.latest_handshake == backend.clock.now(), "a clock that is ahead does not make a peer younger"


async def test_limits_of_a_network_are_its_own_and_change(backend: Backend) -> None:
    network, _, laptop, _ = await an_office(backend)
    await backend.networks.update(ADA, network.id, networks.Update(limits={"address_changes": 3}), None)
    assert (await backend.network_now(network.id)).limits.address_changes == 3
    assert (await backend.network_now(network.id)).limits.port_changes == 6
    for number in range(4):
        await Voice(backend, laptop.id, f"198.51.100.{number + 1}").beat()
    await backend.incidents.drain()
    assert (await backend.peer_now(laptop.id)).blocked
    with pytest.raises(InvalidValue):
        await backend.networks.update(ADA, network.id, networks.Update(limits={"address_changes": 1}), None)
