"""What must arrive: each message once and in order, revocations first, whatever dies on the way."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec import Struct

from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import State
from isthmus.protocol import handshake as wire
from isthmus.protocol.problem import Nested, Stage, problem
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.outbox import OutboxService, enqueue, notice, wait_after
from isthmus.server.federation_records import Lane, LaneState
from isthmus.server.outward_ports import Errand, RemoteRefused
from isthmus.server.ports import Store
from tests.application.backend import ADA, BOTH_DATABASES, TurnedClock
from tests.application.pair import Side, federated, refused
from tests.builders import NOON
from tests.contract.test_federation import a_remote

A, B = BackendDomain("a.example"), BackendDomain("b.example")
Pair = tuple[Side, Side]
T = TypeVar("T", bound=Struct)


@dataclass
class Receiver:
    """A remote that keeps what it got and refuses what it is told to."""

    got: list[tuple[str, str, int]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    refuses: dict[tuple[str, int], str] = field(default_factory=dict)
    is_down: bool = False

    async def call(self, errand: Errand, body: Struct, response: type[T]) -> T:
        await asyncio.sleep(0)
        if self.is_down:
            raise refused("remote_refused", errand)
        said: Any = msgspec.to_builtins(body)
        if (code := self.refuses.get((said["lane"], said["number"]))) is not None:
            raise refused("remote_error", errand, Nested(422, code))
        assert errand.idempotency_key is not None
        self.keys.append(errand.idempotency_key)
        self.got.append((errand.domain, said["lane"], said["number"]))
        return msgspec.convert({"state": "active", "acknowledged": said["number"]}, response)


async def queue(store: Store, count: int, *whats: str, remote: int = 1) -> None:
    async with store.transaction() as tx:
        for _ in range(count):
            for what in whats:
                await enqueue(tx, a_remote(remote), notice(what), NOON)


async def drained(outbox: OutboxService) -> None:
    while await outbox.turn():
        pass


@pytest.mark.case("FAULT-003")
@BOTH_DATABASES
async def test_after_two_days_everything_arrives_once_and_in_order_and_revocations_first(store: Store) -> None:
    receiver, clock = Receiver(is_down=True), TurnedClock()
    outbox = OutboxService(FederationChanges(store), clock, receiver)
    async with store.transaction() as tx:
        await tx.remotes.add(a_remote(1))
    await queue(store, 495, "suspended", "resumed")
    await queue(store, 10, "revoked")
    for _ in range(20):
        await outbox.turn()
        clock.turn(timedelta(hours=2.4))
    receiver.is_down = False
    await drained(outbox)
    assert [number for _, lane, number in receiver.got if lane == "state"] == list(range(1, 991))
    assert [number for _, lane, number in receiver.got if lane == "revocation"] == list(range(1, 11))
    first = [lane for _, lane, _ in receiver.got[:20]]
    assert first.index("revocation") == 0
    assert len(set(receiver.keys)) == len(receiver.keys) == 1000
    async with store.reading() as tx:
        assert await tx.outbox.of(UUID(int=1)) == []
        assert await tx.outbox.lane(UUID(int=1), Lane.STATE) == LaneState(UUID(int=1), Lane.STATE, 990, 990)


@pytest.mark.case("FAULT-003")
async def test_what_is_refused_for_ever_parks_its_lane_and_nothing_else(store: Store) -> None:
    receiver = Receiver(refuses={("state", 2): "validation_failed"})
    outbox = OutboxService(FederationChanges(store), TurnedClock(), receiver)
    async with store.transaction() as tx:
        await tx.remotes.add(a_remote(1))
        await tx.remotes.add(a_remote(2, "c.example"))
    await queue(store, 2, "suspended", "resumed")
    await queue(store, 1, "revoked")
    await queue(store, 1, "suspended", remote=2)
    await drained(outbox)
    assert sorted(receiver.got) == [(B, "revocation", 1), (B, "state", 1), ("c.example", "state", 1)]
    async with store.reading() as tx:
        waiting = await tx.outbox.of(UUID(int=1))
    assert [(each.number, each.parked) for each in waiting] == [(2, "validation_failed"), (3, ""), (4, "")]
    assert not await outbox.turn()


@BOTH_DATABASES
async def test_a_message_whose_answer_was_lost_is_sent_again_and_has_one_effect(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.lost = lambda errand: errand.rpc == "notice"
    await a.services.remotes.suspend(ADA, B)
    await a.work()
    assert (await b.remote(A)).state_there is State.SUSPENDED
    assert len((await a.services.remotes.details(B)).waiting) == 1
    a.wire.lost = lambda errand: False
    a.clock.turn(timedelta(minutes=5))
    await a.work()
    assert (await a.services.remotes.details(B)).waiting == []
    assert len(a.wire.calls("notice", B)) == 2
    assert (await b.actions()).count("remote.suspended-there") == 1


async def test_a_number_that_skips_one_is_refused_with_the_one_that_is_expected(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    errand = Errand(A, "handshake", "notice", str(uuid4()))

    async def sent(number: int, key: str) -> Any:
        body = wire.Notice("suspended", "state", number)
        return await a.answer(a.context(errand, body, remote=B, origin=B, generation=1), body, key)

    rows = len(await a.audit())
    skipped = await sent(2, "key-1")
    assert (skipped.status_code, skipped.json()["code"], skipped.json()["expected"]) == (409, "sequence_gap", 1)
    assert len(await a.audit()) == rows + 1
    assert (await a.remote(B)).state_there is not State.SUSPENDED
    assert (await sent(1, "key-2")).json() == {"state": "active", "acknowledged": 1}
    # Under another key it is the number that tells that it came before.
    version = (await a.remote(B)).version
    assert (await sent(1, "key-3")).json() == {"state": "active", "acknowledged": 1}
    assert (await a.remote(B)).version == version


async def test_numbers_follow_again_after_one_side_was_restored_from_a_backup(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    for _ in range(2):
        await a.services.remotes.suspend(ADA, B)
        await a.services.remotes.resume(ADA, B)
    await a.work()
    theirs = await b.remote(A)
    async with b.store.transaction() as tx:  # b forgets what it has received
        state = await tx.outbox.lane(theirs.id, Lane.STATE)
        assert state.received == 4
        await tx.outbox.save_lane(replace(state, received=1))
    a.clock.turn(timedelta(seconds=1))
    await a.services.remotes.suspend(ADA, B)
    await a.work()
    a.clock.turn(timedelta(minutes=5))
    await a.work()
    assert (await b.remote(A)).state_there is State.SUSPENDED
    assert (await a.services.remotes.details(B)).waiting == []

    ours = await a.remote(B)
    async with a.store.transaction() as tx:  # a forgets what it has sent
        state = await tx.outbox.lane(ours.id, Lane.STATE)
        await tx.outbox.save_lane(replace(state, sent=0, acknowledged=0))
    a.clock.turn(timedelta(seconds=1))
    await a.services.remotes.resume(ADA, B)
    await a.beat()
    await a.work()
    assert (await b.remote(A)).state_there is State.ACTIVE


async def test_contact_wakes_what_waits(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    await a.services.remotes.suspend(ADA, B)
    for _ in range(8):
        await a.work()
        a.clock.turn(timedelta(minutes=5))
    a.wire.down.clear()
    await a.work()  # the attempt after the last wait may have been made already
    async with a.store.transaction() as tx:
        await tx.outbox.wake(B, a.clock.now())
    await a.work()
    assert (await b.remote(A)).state_there is State.SUSPENDED


def test_waits_grow_to_a_bound_and_obey_the_remote() -> None:
    down = problem("remote_refused", Stage.FEDERATOR_OUT, "r")
    assert max(wait_after(1, down) for _ in range(200)) <= 2
    assert max(wait_after(40, down) for _ in range(200)) <= 300
    assert min(wait_after(40, down) for _ in range(200)) >= 0.2
    asked = problem("remote_error", Stage.FEDERATOR_OUT, "r", retry_after=17)
    assert min(wait_after(1, asked) for _ in range(200)) == 17
    away = problem("upstream_unavailable", Stage.FEDERATOR_OUT, "r")
    assert max(wait_after(40, away) for _ in range(200)) <= 5


def test_a_refusal_says_what_the_remote_said() -> None:
    failure = refused("remote_error", Errand(B, "handshake", "notice", "r"), Nested(409, "sequence_gap"))
    assert isinstance(failure, RemoteRefused)
    with pytest.raises(RemoteRefused):
        raise failure
