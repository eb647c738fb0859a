"""From a decoded call to its answer: the gate, one transaction, and one effect for each idempotency key."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec
from msgspec import Struct

from isthmus.domain.federation.denial import Denied
from isthmus.server.application.calls import (
    Call,
    Component,
    Outside,
    Reading,
    Writing,
)
from isthmus.server.application.gate import Gatekeeper
from isthmus.server.directory_ports import AnswerKey, KeptAnswer
from isthmus.server.ports import Clock, Conflict, Store, Transaction

KEPT_FOR = timedelta(hours=24)
MOST_FORGOTTEN = 1_000
MOST_ROUNDS = 100


class Effects:
    """Every endpoint of every component, behind the one gate."""

    def __init__(self, store: Store, components: Mapping[str, Component], gatekeeper: Gatekeeper) -> None:
        self._store = store
        self._gatekeeper = gatekeeper
        self._components = components
        self._running: set[AnswerKey] = set()

    def calls_of(self, component: str) -> frozenset[str]:
        """The names of the calls that have an endpoint."""
        return frozenset(self._components[component])

    async def of(self, call: Call) -> bytes:
        """The answer as JSON. Raises `Denied`, or what the endpoint or the store raised."""
        endpoint = self._components[call.component][call.rpc]
        match endpoint:
            case Outside():
                async with self._store.reading() as tx:
                    call.permitted = await self._gatekeeper.authorize(call, tx, hold=False)
                return encoded(await endpoint.answer(call))
            case Reading():
                async with self._store.reading() as tx:
                    call.permitted = await self._gatekeeper.authorize(call, tx, hold=False)
                    return encoded(await endpoint.answer(call, tx))
            case Writing():
                return await self._once(call, endpoint)

    async def _once(self, call: Call, endpoint: Writing) -> bytes:
        """Of several with the same key one has the effect; who comes while it lasts is told so."""
        key = key_of(call)
        if key is None:
            return await self._written(call, endpoint, None)
        if key in self._running:
            raise in_progress()
        self._running.add(key)
        try:
            return await self._written(call, endpoint, key)
        finally:
            self._running.discard(key)

    async def _written(self, call: Call, endpoint: Writing, key: AnswerKey | None) -> bytes:
        async with self._store.transaction() as tx:
            call.permitted = await self._gatekeeper.authorize(call, tx, hold=True)
            if key is not None and (kept := await tx.answers.get(key)) is not None:
                return same_as(kept, call)
            answer = encoded(await endpoint.answer(call, tx))
            await tx.journal.audit([call.row()])
            if key is not None:
                await keep(tx, KeptAnswer(key, bytes.fromhex(call.context.body), answer, call.at))
        for tell in call.afterwards:
            tell()
        return answer


async def keep(tx: Transaction, answer: KeptAnswer) -> None:
    try:
        await tx.answers.add(answer)
    except Conflict:
        # Another server process has just had the effect: this one's is rolled back with the transaction.
        raise in_progress() from None


async def forget_answers(store: Store, clock: Clock) -> None:
    """Delete what was answered too long ago to be asked again."""
    before = clock.now() - KEPT_FOR
    for _ in range(MOST_ROUNDS):
        # Others write in between.
        async with store.transaction() as tx:
            if await tx.answers.forget(before, MOST_FORGOTTEN) < MOST_FORGOTTEN:
                return


def key_of(call: Call) -> AnswerKey | None:
    if call.idempotency_key is None:
        return None
    context = call.context
    caller = context.remote or f"invitation:{context.invitation}"
    return AnswerKey(caller, context.generation, call.component, call.rpc, call.idempotency_key)


def same_as(kept: KeptAnswer, call: Call) -> bytes:
    if kept.body != bytes.fromhex(call.context.body):
        raise Denied("idempotency_conflict", detail="this Idempotency-Key was used with another body")
    return kept.answer


def in_progress() -> Denied:
    return Denied("idempotency_in_progress", detail="a call with this Idempotency-Key is under way; ask again")


def encoded(answer: Struct) -> bytes:
    return msgspec.json.encode(answer)
