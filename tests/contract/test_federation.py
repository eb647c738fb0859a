"""What the federation keeps, in both databases."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.finding import Cause
from isthmus.domain.federation.invitation import Invitation
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Direction, Limits, Remote, Revocation, State, Strategy, Trust
from isthmus.protocol.ingress import Listener
from isthmus.server.federation_records import (
    Acceptance,
    Federation,
    Lane,
    LaneState,
    Message,
    RemoteFinding,
    RemoteInstance,
)
from isthmus.server.ports import Conflict, NonceSeen, RemoteExists, Store
from tests.builders import NOON, a_digest

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD = NOON.replace(microsecond=999_999)
A, B, C = (BackendDomain(f"{name}.example") for name in "abc")
FACTS = Federation(
    domain=A,
    infra_domains=(InfraDomain("infra.a.example"), InfraDomain("infra2.a.example")),
    strategy=Strategy.LIST,
    service="wire-server-federator",
    ports=(443, 8443),
    shared_roots=(b"\x30\x00root",),
    listeners=(Listener("wan", "192.0.2.1", 8443), Listener("vip", "10.20.0.1", 8443, "network")),
    generation=7,
)


def a_remote(number: int = 1, domain: str = B, **fields: Any) -> Remote:
    bare = Remote(UUID(int=number), BackendDomain(domain), 1, State.ACTIVE, NOON, (InfraDomain(f"infra.{domain}"),))
    return replace(bare, **fields)


FULL = a_remote(
    state=State.PENDING,
    changed_at=ODD,
    generation=3,
    infra_domains=(InfraDomain("infra.b.example"), InfraDomain("infra2.b.example")),
    trust=Trust.SHARED,
    authorities=(b"\x30\x01\x00", b"\x30\x02\xff"),
    message_keys={"k1": b"\x00" * 32, "k2": bytes(range(32))},
    bundle_sequence=2**40,
    direction=Direction.IN,
    components=frozenset({"directory", "bridges"}),
    limits=Limits(0.5, 1, 0.25, 2, 3),
    expires_at=ODD,
    needs_dnssec=True,
    needs_tlsa=True,
    known_instances_only=True,
    wan_permitted=False,
    confirmed_here=True,
    short_code="K7PD-9QXM-3T4W",
    bundle_digest=a_digest("bundle"),
    state_there=State.SUSPENDED,
    removed_at=ODD,
    contact="ops@b.example",
    notes="π",
    version=4,
)


async def put(store: Store, *remotes: Remote) -> None:
    async with store.transaction() as tx:
        for remote in remotes:
            await tx.remotes.add(remote)


async def test_facts_read_back_as_written_and_there_is_one_set_of_them(store: Store) -> None:
    async with store.transaction() as tx:
        assert (await tx.federation.get(), await tx.federation.generation()) == (None, 0)
        assert await tx.federation.advance() == 0
        with pytest.raises(NotFound):
            await tx.federation.lock()
        await tx.federation.add(FACTS)
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.federation.add(FACTS)
    async with store.transaction() as tx:
        assert await tx.federation.lock() == FACTS
        # Saving leaves the generation alone: it may have been raised since the facts were read.
        assert await tx.federation.advance() == 8
        await tx.federation.save(replace(FACTS, strategy=Strategy.ALL, listeners=(), version=2))
    async with store.reading() as tx:
        after = replace(FACTS, strategy=Strategy.ALL, listeners=(), version=2, generation=8)
        assert (await tx.federation.get(), await tx.federation.generation()) == (after, 8)


async def test_a_remote_reads_back_as_written(store: Store) -> None:
    await put(store, FULL, a_remote(2, C))
    async with store.transaction() as tx:
        assert [await tx.remotes.get(B), await tx.remotes.lock(C)] == [FULL, a_remote(2, C)]
        assert await tx.remotes.by_id(FULL.id) == FULL
        after = replace(FULL, components=None, expires_at=None, state_there=None, notes="", version=5)
        await tx.remotes.save(after)
        assert await tx.remotes.get(B) == after
        for attempt in (tx.remotes.get(A), tx.remotes.lock(A), tx.remotes.by_id(UUID(int=9))):
            with pytest.raises(NotFound):
                await attempt
        with pytest.raises(NotFound):
            await tx.remotes.save(a_remote(9))


async def test_one_entry_of_a_domain_is_live_and_the_last_one_is_shown(store: Store) -> None:
    first = a_remote(1, state=State.REVOKED)
    second = a_remote(2, state=State.REVOKED, generation=2)
    live = a_remote(3, generation=3)
    await put(store, first, second, live)
    with pytest.raises(RemoteExists):
        await put(store, a_remote(4, generation=4))
    with pytest.raises(Conflict, match="uq_remotes_domain_generation"):
        await put(store, a_remote(4, state=State.REVOKED, generation=2))
    async with store.reading() as tx:
        assert await tx.remotes.get(B) == live
        assert await tx.remotes.all() == [live]
        assert await tx.remotes.generations(B) == [live, second, first]
    async with store.transaction() as tx:
        await tx.remotes.save(replace(live, state=State.REVOKED))
        assert (await tx.remotes.lock(B)).id == live.id
        await tx.remotes.add(a_remote(4, generation=4))
        assert [each.generation for each in await tx.remotes.all()] == [4]


async def test_a_removed_remote_is_on_no_page(store: Store) -> None:
    removed = a_remote(1, state=State.REVOKED, removed_at=ODD)
    await put(store, removed, a_remote(2, C))
    async with store.reading() as tx:
        assert [each.domain for each in await tx.remotes.page(9)] == [C]
        assert (await tx.remotes.get(B), len(await tx.remotes.all())) == (removed, 2)


async def test_pages_of_remotes_go_by_domain(store: Store) -> None:
    await put(store, a_remote(1, C), a_remote(2, A), a_remote(3, B))
    async with store.reading() as tx:
        assert [each.domain for each in await tx.remotes.page(2)] == [A, B]
        assert [each.domain for each in await tx.remotes.page(2, B)] == [C]
        assert [each.domain for each in await tx.remotes.all()] == [A, B, C]


async def test_an_acceptance_waits_with_its_remote(store: Store) -> None:
    await put(store, a_remote())
    acceptance = Acceptance(UUID(int=1), "id", b"sealed", "chain", b"key", ODD)
    async with store.transaction() as tx:
        await tx.remotes.put_acceptance(acceptance)
        await tx.remotes.put_acceptance(replace(acceptance, chain="other"))
        assert await tx.remotes.acceptances() == [replace(acceptance, chain="other")]
        await tx.remotes.drop_acceptance(UUID(int=1))
        assert await tx.remotes.acceptances() == []


async def test_invitations_read_back_as_written_until_they_are_forgotten(store: Store) -> None:
    ends = NOON + timedelta(hours=1)
    one, two, three, four = (
        Invitation(UUID(int=number), B, a_digest(str(number)), ODD, "user:ada", ends) for number in range(1, 5)
    )
    async with store.transaction() as tx:
        for invitation in (one, two, three, replace(four, expires_at=NOON + timedelta(days=9))):
            await tx.invitations.add(invitation)
        used, withdrawn = one.used(B, NOON), two.withdrawn(NOON)
        await tx.invitations.save(used)
        await tx.invitations.save(withdrawn)
        assert await tx.invitations.lock(one.id) == used
        assert [each.id for each in await tx.invitations.all()] == [one.id, two.id, three.id, four.id]
        assert await tx.invitations.get(UUID(int=9)) is None
        assert await tx.invitations.prune(NOON) == 0
        assert await tx.invitations.prune(NOON + timedelta(seconds=1)) == 2
        assert [each.id for each in await tx.invitations.all()] == [three.id, four.id]


async def test_instances_are_registered_when_they_are_seen_and_stay_blocked(store: Store) -> None:
    one, two = (InstanceId(UUID(int=number)) for number in (1, 2))
    async with store.transaction() as tx:
        await tx.remote_instances.save(RemoteInstance(B, one, blocked_at=NOON, reason="stolen"))
        later = ODD + timedelta(hours=1)
        await tx.remote_instances.seen([(B, one, ODD), (B, two, later), (B, two, ODD), (C, one, ODD)])
        await tx.remote_instances.seen([(B, one, later)])
        await tx.remote_instances.seen([])
    async with store.reading() as tx:
        assert await tx.remote_instances.of(B) == [
            RemoteInstance(B, one, ODD, later, NOON, "stolen"),
            RemoteInstance(B, two, later, later),
        ]
        assert await tx.remote_instances.get(C, two) is None
        assert [(each.domain, each.instance) for each in await tx.remote_instances.blocked()] == [(B, one)]


async def test_a_domain_has_room_for_so_many_instances(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.server.adapters.db.remotes.MOST_INSTANCES", 3)
    ids = [InstanceId(UUID(int=number)) for number in range(1, 6)]
    async with store.transaction() as tx:
        await tx.remote_instances.seen([(B, each, NOON) for each in ids[:2]])
        await tx.remote_instances.seen([(B, each, ODD) for each in ids] + [(C, ids[4], NOON)])
        assert [(each.instance, each.last_seen) for each in await tx.remote_instances.of(B)] == [
            (each, ODD) for each in ids[:3]
        ]
        assert len(await tx.remote_instances.of(C)) == 1
        await tx.remote_instances.save(RemoteInstance(C, ids[4], NOON, NOON, NOON, "odd"))
        await tx.remote_instances.seen([(B, ids[0], ODD + timedelta(days=1))])
        assert await tx.remote_instances.prune(ODD + timedelta(hours=1)) == 2
        assert [each.instance for each in await tx.remote_instances.of(B)] == ids[:1]
        assert len(await tx.remote_instances.of(C)) == 1


async def test_revocations_keep_serials_of_any_length(store: Store) -> None:
    leaf = Revocation(B, ODD, "lost", fingerprint=b"\x01" * 32, key=b"\x02" * 32)
    serial = Revocation(B, NOON, "lost", serial=2**159 + 1)
    instance = Revocation(C, NOON, "", instance=InstanceId(UUID(int=7)))
    async with store.transaction() as tx:
        for number, revocation in enumerate((leaf, serial, instance)):
            await tx.revocations.add(revocation, UUID(int=number))
        assert await tx.revocations.of(B) == [leaf, serial]
        assert await tx.revocations.all() == [leaf, serial, instance]


async def test_a_nonce_is_taken_once_for_each_domain_until_it_expires(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.nonces.remember(B, "n" * 8, NOON)
        await tx.nonces.remember(C, "n" * 8, NOON + timedelta(seconds=1))
    for domain in (B, C):
        with pytest.raises(NonceSeen):
            async with store.transaction() as tx:
                await tx.nonces.remember(domain, "n" * 8, NOON)
    async with store.transaction() as tx:
        assert await tx.nonces.prune(NOON) == 1
        await tx.nonces.remember(B, "n" * 8, NOON)


async def test_ids_of_reported_rows_are_new_once(store: Store) -> None:
    async with store.transaction() as tx:
        assert await tx.nonces.unreported([], NOON) == set()
        assert await tx.nonces.unreported(["a", "b", "a"], NOON) == {"a", "b"}
        assert await tx.nonces.unreported(["b", "c"], NOON + timedelta(hours=1)) == {"c"}
        await tx.nonces.prune(NOON)
        assert await tx.nonces.unreported(["a", "c"], NOON) == {"a"}


def a_message(remote: int, lane: Lane, number: int, **fields: Any) -> Message:
    body = {"what": "suspended", "number": number}
    made = Message(UUID(int=remote), lane, number, "handshake", "notice", body, ODD, NOON)
    return replace(made, **fields)


async def test_the_first_message_of_each_lane_is_due_and_revocations_come_first(store: Store) -> None:
    await put(store, a_remote(1), a_remote(2, C))
    hour = timedelta(hours=1)
    state = [a_message(1, Lane.STATE, number) for number in (1, 2, 3)]
    revoked = a_message(1, Lane.REVOCATION, 1, next_at=NOON + hour)
    other = a_message(2, Lane.STATE, 5)
    async with store.transaction() as tx:
        for message in (*state, revoked, other):
            await tx.outbox.add(message)
        assert await tx.outbox.heads(NOON) == [state[0], other]
        assert await tx.outbox.heads(NOON + hour) == [revoked, state[0], other]
        assert await tx.outbox.wake(B, NOON) == 1
        assert (await tx.outbox.heads(NOON))[0].lane is Lane.REVOCATION
        await tx.outbox.delete(UUID(int=1), Lane.STATE, 2)
        parked = replace(state[2], parked="refused", attempts=3, error="validation_failed")
        await tx.outbox.save(parked)
        assert [each.number for each in await tx.outbox.heads(NOON)] == [1, 5]
        assert [(each.lane, each.number) for each in await tx.outbox.of(UUID(int=1))] == [
            ("revocation", 1),
            ("state", 3),
        ]
        assert (await tx.outbox.of(UUID(int=1)))[1] == parked
        await tx.outbox.clear(UUID(int=1), [Lane.STATE])
        assert len(await tx.outbox.of(UUID(int=1))) == 1
        with pytest.raises(NotFound):
            await tx.outbox.save(parked)


async def test_lanes_count_for_themselves(store: Store) -> None:
    await put(store, a_remote(1))
    async with store.transaction() as tx:
        assert await tx.outbox.lane(UUID(int=1), Lane.STATE) == LaneState(UUID(int=1), Lane.STATE)
        for state in (LaneState(UUID(int=1), Lane.STATE, 3, 2, 9), LaneState(UUID(int=1), Lane.REVOCATION, 1)):
            await tx.outbox.save_lane(state)
            assert await tx.outbox.lane(UUID(int=1), state.lane) == state
        await tx.outbox.save_lane(LaneState(UUID(int=1), Lane.STATE, 4, 3, 9))
        assert [(each.lane, each.sent) for each in await tx.outbox.lanes(UUID(int=1))] == [
            ("revocation", 1),
            ("state", 4),
        ]


async def test_the_same_finding_of_a_remote_is_counted(store: Store) -> None:
    later = ODD + timedelta(hours=1)
    first = RemoteFinding(UUID(int=1), "foreign_authority", B, ODD, ODD, 1, {"leaf": "a"})
    again = RemoteFinding(UUID(int=2), "foreign_authority", B, later, later, 1, {"leaf": "b"})
    other = RemoteFinding(UUID(int=3), "foreign_authority", C, NOON, NOON)
    async with store.transaction() as tx:
        for finding in (first, again, other):
            await tx.findings.put(finding)
        counted = replace(first, last_at=later, count=2, evidence={"leaf": "b"})
        assert await tx.findings.page(10) == [other, counted]
        assert await tx.findings.page(1) == [other]
        assert await tx.findings.page(1, UUID(int=3)) == [counted]


async def test_a_finding_is_cleared_unless_it_was_seen_meanwhile_and_begins_anew(store: Store) -> None:
    found = RemoteFinding(UUID(int=1), "foreign_authority", B, NOON, ODD, 3, {"leaf": "a"})
    later = ODD + timedelta(hours=1)
    async with store.transaction() as tx:
        await tx.findings.put(found)
        assert not await tx.findings.clear(found.kind, B, later, seen_until=NOON)
        assert not await tx.findings.clear(found.kind, C, later)
        assert await tx.findings.clear(found.kind, B, later, seen_until=ODD)
        assert not await tx.findings.clear(found.kind, B, later)
        assert await tx.findings.page(10) == []
        assert await tx.findings.page(10, cleared=True) == [replace(found, cleared_at=later)]
        assert await tx.findings.page(10, UUID(int=1), cleared=True) == []
        again = replace(found, id=UUID(int=2), first_at=later, last_at=later, count=1, evidence={})
        await tx.findings.put(again)
        assert await tx.findings.page(10) == [replace(again, id=found.id)]


async def test_findings_of_two_subjects_of_one_remote_are_two_and_new_evidence_counts_nothing(store: Store) -> None:
    one = RemoteFinding(UUID(int=1), "grant_axis_open", B, NOON, NOON, 1, {"axes": ["source"]}, subject="g1")
    two = replace(one, id=UUID(int=2), subject="g2")
    async with store.transaction() as tx:
        for finding in (one, two):
            await tx.findings.put(finding)
        await tx.findings.show(Cause(one.kind, B, "g1", {"axes": []}))
        assert await tx.findings.page(10) == [two, replace(one, evidence={"axes": []})]
        assert not await tx.findings.clear(one.kind, B, NOON)
        assert await tx.findings.clear(one.kind, B, NOON, subject="g1")
        assert await tx.findings.page(10) == [two]
