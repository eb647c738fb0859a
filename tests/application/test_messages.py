"""Messages that do not arrive, in the hands of an operator, and lanes that grow too long."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import State
from isthmus.server.application import outbox as rules
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.outbox import OutboxService, enqueue, notice
from isthmus.server.federation_records import Lane, Message
from isthmus.server.ports import Store
from tests.application.backend import ADA, BOTH_DATABASES, TurnedClock
from tests.application.pair import Side, federated
from tests.application.test_outbox import Receiver, drained, queue
from tests.builders import NOON
from tests.contract.test_federation import a_remote

A, B = BackendDomain("a.example"), BackendDomain("b.example")
Pair = tuple[Side, Side]


async def parked_at(side: Side, remote: UUID, number: int) -> None:
    async with side.store.transaction() as tx:
        message = await tx.outbox.get(remote, Lane.STATE, number)
        assert message is not None
        await tx.outbox.save(replace(message, parked="validation_failed", attempts=1))


async def waiting(side: Side) -> list[Message]:
    return await side.services.messages.of(B)


@BOTH_DATABASES
async def test_what_was_parked_is_tried_again_when_an_operator_says_so(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await a.services.remotes.suspend(ADA, B)
    await parked_at(a, (await a.remote(B)).id, 1)
    await a.work()
    assert [each.parked for each in await waiting(a)] == ["validation_failed"]
    assert await a.services.messages.retry(ADA, B) == 1
    await a.work()
    assert await waiting(a) == []
    assert (await b.remote(A)).state_there is State.SUSPENDED
    (row,) = [row for row in await a.audit() if row.action == "remote.retry-messages"]
    assert (row.subject, row.facts["messages"], row.facts["parked"]) == (B, 1, 1)


@BOTH_DATABASES
async def test_a_dropped_message_leaves_no_gap_and_those_behind_it_arrive(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await a.services.remotes.suspend(ADA, B)
    await a.services.remotes.resume(ADA, B)
    await a.services.remotes.suspend(ADA, B)
    await parked_at(a, (await a.remote(B)).id, 1)
    await a.work()
    assert len(await waiting(a)) == 3
    instead = await a.services.messages.drop(ADA, B, Lane.STATE, 1, "it takes no such thing")
    assert instead is not None
    assert (instead.number, instead.body["what"], instead.parked) == (1, "suspended", "")
    await a.work()
    assert await waiting(a) == []
    assert (await b.remote(A)).state_there is State.SUSPENDED
    (row,) = [row for row in await a.audit() if row.action == "remote.drop-message"]
    assert (row.facts["reason"], row.facts["refused_with"]) == ("it takes no such thing", "validation_failed")
    for number, reason, refusal in ((9, "x", NotFound), (1, " ", InvalidValue)):
        with pytest.raises(refusal):
            await a.services.messages.drop(ADA, B, Lane.STATE, number, reason)


async def test_the_news_of_an_end_can_be_dropped_and_is_looked_at_after_a_removal(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    await a.services.remotes.remove(ADA, B)
    await a.work()
    (message,) = await waiting(a)
    assert (message.lane, message.number, message.attempts) == (Lane.REVOCATION, 1, 1)
    assert await a.services.messages.drop(ADA, B, Lane.REVOCATION, 1, "its host is gone for good") is None
    assert await waiting(a) == []


async def test_what_was_dropped_while_it_was_under_way_is_not_brought_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(refuses={("state", 1): "validation_failed"})
    outbox = OutboxService(FederationChanges(store), TurnedClock(), receiver)
    async with store.transaction() as tx:
        await tx.remotes.add(a_remote(1))
    await queue(store, 1, "suspended")
    call = receiver.call

    async def dropping(*arguments: Any) -> Any:
        async with store.transaction() as tx:
            message = await tx.outbox.get(UUID(int=1), Lane.STATE, 1)
            assert message is not None
            later = message.created_at + timedelta(seconds=1)
            await tx.outbox.save(replace(message, created_at=later, next_at=NOON + timedelta(days=1)))
        return await call(*arguments)

    monkeypatch.setattr(receiver, "call", dropping)
    await outbox.turn()
    async with store.reading() as tx:
        (left,) = await tx.outbox.of(UUID(int=1))
    assert (left.parked, left.attempts) == ("", 0)


@BOTH_DATABASES
async def test_a_lane_at_its_bound_keeps_its_head_and_how_things_are_and_every_revocation(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_IN_LANE", 10)
    receiver = Receiver(is_down=True)
    outbox = OutboxService(FederationChanges(store), TurnedClock(), receiver)
    async with store.transaction() as tx:
        await tx.remotes.add(a_remote(1))
    await queue(store, 2, "suspended", "resumed")
    async with store.transaction() as tx:
        await enqueue(tx, a_remote(1), notice("bundle", "a.b.c"), NOON)
    await queue(store, 1, "revoked")
    await queue(store, 30, "suspended", "resumed")
    async with store.reading() as tx:
        left = await tx.outbox.of_lane(UUID(int=1), Lane.STATE)
        state = await tx.outbox.lane(UUID(int=1), Lane.STATE)
        assert len(await tx.outbox.of_lane(UUID(int=1), Lane.REVOCATION)) == 1
    assert len(left) <= 10
    assert [each.number for each in left] == list(range(1, len(left) + 1))
    assert [each.body["number"] for each in left] == [each.number for each in left]
    assert (left[0].body["what"], left[-1].body["what"]) == ("suspended", "resumed")
    assert [each.body["bundle"] for each in left if each.body["bundle"]] == ["a.b.c"]
    assert (state.sent, state.acknowledged) == (len(left), 0)
    receiver.is_down = False
    await drained(outbox)
    assert [number for _, lane, number in receiver.got if lane == "state"] == [each.number for each in left]
    await queue(store, 1, "suspended")
    await drained(outbox)
    assert receiver.got[-1][2] == len(left) + 1


async def test_the_head_of_a_thinned_lane_is_not_sent_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_IN_LANE", 4)
    async with store.transaction() as tx:
        await tx.remotes.add(a_remote(1))
        await enqueue(tx, a_remote(1), notice("bundle", "a.b.c"), NOON)
    await queue(store, 2, "suspended", "resumed")
    async with store.reading() as tx:
        left = await tx.outbox.of_lane(UUID(int=1), Lane.STATE)
    assert [(each.number, each.body["what"]) for each in left] == [(1, "bundle"), (2, "suspended"), (3, "resumed")]
