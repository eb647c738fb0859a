"""Remotes that are federated: what they may do, how they part, and what each side learns of it."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from isthmus.domain.errors import InvalidValue, NotFound, PreconditionFailed, TransitionNotAllowed
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Direction, State, Strategy, Trust
from isthmus.protocol import handshake as wire
from isthmus.protocol.heartbeat import GetVersions
from isthmus.server.application import federation_facts as facts
from isthmus.server.application.federation_facts import srv_records
from isthmus.server.application.remotes import Named, Update
from isthmus.server.federation_records import Lane
from isthmus.server.outward_ports import Errand
from isthmus.x509.authority import make_authority, pem_of
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.pair import INSTANCE, Side, federated, introduced
from tests.builders import NOON

A, B, C = (BackendDomain(f"{name}.example") for name in "abc")
Pair = tuple[Side, Side]


async def called(caller: Side, target: Side) -> int:
    """The status of a call that only active and pending remotes get an answer to."""
    body, errand = GetVersions(), Errand(target.domain, "heartbeat", "get-versions", str(uuid4()))
    known = next(each for each in (await target.snapshot()).entries if each.domain == caller.domain)
    context = target.context(errand, body, remote=caller.domain, origin=caller.domain, generation=known.generation)
    return (await target.answer(context, body, None)).status_code


@BOTH_DATABASES
async def test_a_suspended_remote_is_cut_at_once_and_told_and_goes_on_when_resumed(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    assert await called(b, a) == 200
    await a.services.remotes.suspend(ADA, B)
    assert await called(b, a) == 403
    assert (await a.snapshot()).entries[0].state == "suspended"
    await a.work()
    theirs = await b.remote(A)
    assert (theirs.state, theirs.state_there) == (State.ACTIVE, State.SUSPENDED)
    with pytest.raises(TransitionNotAllowed):
        await a.services.remotes.suspend(ADA, B)
    await a.services.remotes.resume(ADA, B)
    assert await called(b, a) == 200
    await a.work()
    assert (await b.remote(A)).state_there is State.ACTIVE
    assert [action for action in await a.actions() if "remote." in action][-2:] == ["remote.suspend", "remote.resume"]
    assert (await b.actions())[-2:] == ["remote.suspended-there", "remote.resumed-there"]


@BOTH_DATABASES
async def test_a_revoked_remote_is_cut_on_both_sides_and_nothing_of_it_is_revived(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await a.services.remotes.suspend(ADA, B)
    await a.services.remotes.revoke(ADA, B)
    assert await called(b, a) == 403
    assert (await a.federation.snapshots.current()) is not None
    # What was queued before is gone: the revocation alone is delivered.
    assert [each.lane for each in (await a.services.remotes.details(B)).waiting] == [Lane.REVOCATION]
    await a.work()
    ended = await b.remote(A)
    assert (ended.state, ended.state_there) == (State.REVOKED, State.REVOKED)
    for attempt in (a.services.remotes.resume(ADA, B), a.services.remotes.confirm(ADA, B, ended.short_code)):
        with pytest.raises(TransitionNotAllowed):
            await attempt
    with pytest.raises(TransitionNotAllowed):
        await a.services.remotes.update(ADA, B, Update(notes="x"), None)

    first = await a.remote(B)
    await introduced(a, b)
    second = await a.remote(B)
    assert (second.state, second.generation, second.id != first.id) == (State.PENDING, 2, True)
    assert (second.confirmed_here, second.confirmed_there, second.state_there) == (False, False, None)
    assert [each.generation for each in (await a.services.remotes.details(B)).earlier] == [1]
    # A call that was admitted by the entry before is not answered under the new one.
    body, errand = GetVersions(), Errand(A, "heartbeat", "get-versions", str(uuid4()))
    old = a.context(errand, body, remote=B, origin=B, generation=1)
    assert (await a.answer(old, body, None)).status_code == 403


@BOTH_DATABASES
async def test_a_removed_remote_is_a_stranger_is_told_of_its_end_and_nothing_of_it_is_revived(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    first = await a.remote(B)
    await a.services.remotes.remove(ADA, B)
    assert await called(b, a) == 403
    assert await a.services.remotes.page(10) == []
    for attempt in (
        a.services.remotes.details(B),
        a.services.remotes.remove(ADA, B),
        a.services.remotes.resume(ADA, B),
        a.services.remotes.update(ADA, B, Update(notes="x"), None),
        a.services.remotes.revoke_leaf(ADA, B, Named("x", serial=1)),
    ):
        with pytest.raises(NotFound):
            await attempt
    (entry,) = (await a.snapshot()).entries
    assert (entry.state, entry.listed) == ("revoked", False)
    (row,) = [row for row in await a.audit() if row.reason == "not_listed"]
    assert row.facts["code"] == "federation_denied"
    await a.work()
    ended = await b.remote(A)
    assert (ended.state, ended.state_there) == (State.REVOKED, State.REVOKED)
    async with a.store.reading() as tx:
        assert await tx.outbox.of(first.id) == []
    (removal,) = [row for row in await a.audit() if row.action == "remote.remove"]
    assert (removal.subject, removal.facts["before"], removal.facts["generation"]) == (B, "active", 1)

    await introduced(a, b)
    second = await a.remote(B)
    assert (second.state, second.generation, second.removed_at) == (State.PENDING, 2, None)
    assert (await a.snapshot()).entries[0].listed
    body, errand = GetVersions(), Errand(A, "heartbeat", "get-versions", str(uuid4()))
    old = a.context(errand, body, remote=B, origin=B, generation=1)
    assert (await a.answer(old, body, None)).status_code == 403
    assert [each.generation for each in (await a.services.remotes.details(B)).earlier] == [1]


async def test_one_that_is_revoked_is_removed_later_and_told_once(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await a.services.remotes.revoke(ADA, B)
    revoked = await a.remote(B)
    await a.services.remotes.remove(ADA, B)
    async with a.store.reading() as tx:
        removed = await tx.remotes.get(B)
        assert len(await tx.outbox.of(removed.id)) == 1
    assert (removed.changed_at, removed.version) == (revoked.changed_at, revoked.version + 1)


async def test_a_remote_that_is_down_when_it_is_revoked_learns_it_later(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    await a.services.remotes.revoke(ADA, B)
    await a.work()
    assert await b.state(A) is State.ACTIVE
    (waiting,) = (await a.services.remotes.details(B)).waiting
    assert (waiting.attempts, waiting.parked) == (1, "")
    assert waiting.error.startswith("remote_refused")
    a.wire.down.clear()
    a.clock.turn(timedelta(minutes=5))
    await a.work()
    assert await b.state(A) is State.REVOKED
    assert (await a.services.remotes.details(B)).waiting == []


async def test_both_sides_revoke_at_the_same_moment_and_neither_waits_for_ever(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await a.services.remotes.revoke(ADA, B)
    await b.services.remotes.revoke(ADA, A)
    for _ in range(3):
        await a.work()
        await b.work()
        for side in pair:
            side.clock.turn(timedelta(minutes=5))
    assert (await a.services.remotes.details(B)).waiting == []
    assert (await b.services.remotes.details(A)).waiting == []


async def test_what_a_remote_may_do_changes_live(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    before = await a.remote(B)
    expires = NOON + timedelta(days=30)
    update = Update(
        direction=Direction.IN,
        components=["directory"],
        limits={"requests": 5, "parallel": 2},
        expires_at=expires,
        contact="ops@b.example",
        notes="π",
        needs_dnssec=True,
        needs_tlsa=True,
        infra_domains=["infra.b.example", "infra2.b.example"],
    )
    generation = (await a.snapshot()).generation
    after = await a.services.remotes.update(ADA, B, update, before.version)
    entry = (await a.snapshot()).entries[0]
    assert (await a.snapshot()).generation == generation + 1
    assert (entry.direction, entry.components, entry.expires_at) == ("in", ["directory"], expires.timestamp())
    assert (entry.limits.requests, entry.limits.parallel, entry.limits.mutations) == (5, 2, 10)
    assert (entry.needs_dnssec, entry.needs_tlsa) == (True, True)
    assert entry.infra_domains == ["infra.b.example", "infra2.b.example"]
    assert (after.contact, after.notes, after.version) == ("ops@b.example", "π", before.version + 1)
    with pytest.raises(PreconditionFailed):
        await a.services.remotes.update(ADA, B, Update(notes="late"), before.version)
    again = await a.services.remotes.update(ADA, B, Update(components=None, expires_at=None), after.version)
    assert (again.components, again.expires_at) == (None, None)


WRONG = {
    "a component that is none": (Update(components=["nothing"]), "/components"),
    "no infra domain": (Update(infra_domains=[]), "/infra_domains"),
    "an address for an infra domain": (Update(infra_domains=["192.0.2.1"]), "/infra_domains/0"),
    "no calls at a time": (Update(limits={"parallel": 0}), "/limits/parallel"),
    "fewer than none": (Update(limits={"requests": -1}), "/limits/requests"),
    "no burst": (Update(limits={"mutations_burst": 0}), "/limits/mutations_burst"),
    "notes of two lines": (Update(notes="a\nb"), "/notes"),
}


@pytest.mark.parametrize(("update", "field"), WRONG.values(), ids=WRONG)
async def test_what_makes_no_sense_is_refused_and_names_its_field(pair: Pair, update: Update, field: str) -> None:
    a, b = pair
    await introduced(a, b)
    before = await a.remote(B)
    with pytest.raises(InvalidValue) as refusal:
        await a.services.remotes.update(ADA, B, update, None)
    assert refusal.value.field == field
    assert await a.remote(B) == before


async def test_leaves_and_instances_count_no_more_once_revoked(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    instance = InstanceId(UUID(int=7))
    for named in (
        Named("lost", fingerprint=b"\x01" * 32),
        Named("lost", serial=0xABC),
        Named("lost", key=b"\x02" * 32),
        Named("lost", instance=instance),
    ):
        await a.services.remotes.revoke_leaf(ADA, B, named)
    entry = (await a.snapshot()).entries[0]
    assert (entry.revoked_serials, entry.revoked_instances) == (["abc"], [str(instance)])
    assert len(entry.revoked_leaves) == len(entry.revoked_keys) == 1
    assert (await a.actions()).count("remote.revoke-leaf") == 4
    for bad in (Named("x"), Named("x", serial=1, key=b"1"), Named("x", serial=0), Named(" ", serial=1)):
        with pytest.raises(InvalidValue):
            await a.services.remotes.revoke_leaf(ADA, B, bad)
    with pytest.raises(NotFound):
        await a.services.remotes.revoke_leaf(ADA, C, Named("x", serial=1))


async def test_a_blocked_instance_is_refused_until_it_is_unblocked(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    instance = InstanceId(UUID(INSTANCE))
    await a.services.remotes.block(ADA, B, instance, "acts odd")
    assert (await a.snapshot()).entries[0].blocked_instances == [INSTANCE]
    assert await called(b, a) == 403
    (known,) = (await a.services.remotes.details(B)).instances
    assert (known.blocked_at, known.reason) == (NOON, "acts odd")
    await a.services.remotes.block(ADA, B, instance, None)
    assert await called(b, a) == 200


async def test_only_known_instances_are_listed_once_an_operator_says_so(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    one, two = InstanceId(UUID(int=1)), InstanceId(UUID(int=2))
    await a.services.remotes.block(ADA, B, one, "odd")
    assert (await a.snapshot()).entries[0].instances is None
    await a.services.remotes.update(ADA, B, Update(known_instances_only=True), None)
    entry = (await a.snapshot()).entries[0]
    assert (entry.instances, entry.blocked_instances) == ([str(one)], [str(one)])
    await a.services.remotes.block(ADA, B, two, None)
    entry = (await a.snapshot()).entries[0]
    assert (entry.instances, entry.blocked_instances) == ([str(one), str(two)], [str(one)])


async def test_a_new_bundle_reaches_the_remotes_that_go_by_it(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    before = await b.remote(A)
    a.clock.turn(timedelta(seconds=1))
    await a.services.facts.update(ADA, facts.Update(infra_domains=["infra.a.example", "infra2.a.example"]), None)
    await a.work()
    after = await b.remote(A)
    assert after.bundle_sequence > before.bundle_sequence
    assert after.bundle_digest != before.bundle_digest
    # DNS names are pinned: another one waits for an operator here, and is told to one.
    assert after.infra_domains == ("infra.a.example",)
    (found,) = await b.services.findings.page(10, None)
    assert (found.kind, found.domain) == ("infra_domain_changed", A)
    assert found.evidence["announced"] == ["infra.a.example", "infra2.a.example"]
    await b.services.findings.work()
    assert len(await b.services.findings.page(10, None)) == 1
    await b.services.remotes.update(ADA, A, Update(infra_domains=["infra.a.example", "infra2.a.example"]), None)
    await b.services.findings.work()
    assert await b.services.findings.page(10, None) == []
    (cleared,) = await b.services.findings.page(10, None, cleared=True)
    assert (cleared.id, cleared.cleared_at) == (found.id, b.clock.now())


async def test_a_bundle_that_its_owner_did_not_sign_changes_nothing(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    before = await a.remote(B)
    from tests.application.test_handshake import bundle_of

    for number, forged in enumerate((bundle_of(B), "nothing", "")):
        body = wire.Notice("bundle", "state", 1, forged)
        errand = Errand(A, "handshake", "notice", str(uuid4()))
        answer = await a.answer(a.context(errand, body, remote=B, origin=B, generation=1), body, f"key-{number}")
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert await a.remote(B) == before


async def test_a_heartbeat_tells_how_the_other_side_stands_and_brings_what_it_missed(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.clock.turn(timedelta(seconds=1))
    await a.services.facts.update(ADA, facts.Update(infra_domains=["infra.a.example", "infra2.a.example"]), None)
    async with a.store.transaction() as tx:  # a queue that lost its content
        remote = await tx.remotes.get(B)
        await tx.outbox.clear(remote.id, [Lane.STATE])
        await tx.outbox.save_lane(replace(await tx.outbox.lane(remote.id, Lane.STATE), sent=0))
    before = await b.remote(A)
    await a.beat()
    await a.work()
    assert (await b.remote(A)).bundle_sequence > before.bundle_sequence
    await b.services.remotes.suspend(ADA, A)
    await a.beat()
    assert (await a.remote(B)).state_there is State.SUSPENDED


async def test_shared_roots_vouch_for_remotes_without_a_handshake(pair: Pair) -> None:
    a, _ = pair
    with pytest.raises(TransitionNotAllowed, match="no shared roots"):
        await a.services.remotes.add_shared(ADA, C, ["infra.c.example"])
    root = make_authority("root.example", NOON).certificates
    update = facts.Update(strategy=Strategy.ALL, shared_roots="# the root\n" + "".join(pem_of(root)))
    await a.services.facts.update(ADA, update, None)
    made = await a.services.remotes.add_shared(ADA, C, ["infra.c.example"])
    assert (made.state, made.trust, made.generation) == (State.ACTIVE, Trust.SHARED, 1)
    snapshot = await a.snapshot()
    assert (snapshot.strategy, len(snapshot.shared_roots), snapshot.entries[0].trust) == ("all", 1, "shared")
    with pytest.raises(TransitionNotAllowed, match="there already"):
        await a.services.remotes.add_shared(ADA, C, ["infra.c.example"])
    await a.services.remotes.revoke(ADA, C)
    assert (await a.services.remotes.add_shared(ADA, C, ["infra.c.example"])).generation == 2
    # Nobody is told: such a remote has never heard of us.
    assert (await a.services.remotes.details(C)).waiting == []


BAD_FACTS = {
    "no infra domain": (facts.Update(infra_domains=[]), "/infra_domains"),
    "a service with an underscore": (facts.Update(service="_x"), "/service"),
    "a listener without a port": (facts.Update(listen="192.0.2.1"), "/listen"),
    "a listener with a name": (facts.Update(listen="localhost:8443"), "/listen"),
    "no ports": (facts.Update(ports=[]), "/ports"),
    "a port that is none": (facts.Update(ports=[0]), "/ports"),
    "roots that are no PEM": (facts.Update(shared_roots="nothing"), "/shared_roots"),
}


@pytest.mark.parametrize(("update", "field"), BAD_FACTS.values(), ids=BAD_FACTS)
async def test_facts_that_make_no_sense_are_refused(pair: Pair, update: facts.Update, field: str) -> None:
    a, _ = pair
    before = await a.services.facts.get()
    with pytest.raises(InvalidValue) as refusal:
        await a.services.facts.update(ADA, update, None)
    assert refusal.value.field == field
    assert await a.services.facts.get() == before


async def test_facts_change_live_and_say_what_to_publish(pair: Pair) -> None:
    a, _ = pair
    before = await a.services.facts.get()
    update = facts.Update(
        service="wire-server-federator", listen="[2001:db8::1]:443", ports=[443, 443], shared_roots=""
    )
    after = await a.services.facts.update(ADA, update, before.version)
    assert srv_records(after) == ["_wire-server-federator._tcp.a.example. 300 IN SRV 0 10 443 infra.a.example."]
    assert (after.ports, after.shared_roots, after.version) == ((443,), (), before.version + 1)
    assert after.generation > before.generation
    with pytest.raises(PreconditionFailed):
        await a.services.facts.update(ADA, facts.Update(strategy=Strategy.NONE), before.version)
    with pytest.raises(TransitionNotAllowed, match="set up already"):
        await a.services.facts.init(ADA, facts.Draft("c.example", ["infra.c.example"]))
