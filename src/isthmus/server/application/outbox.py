"""What must arrive at a remote: numbered within lanes, kept until it is acknowledged, sent again and again."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import structlog
from msgspec import UNSET, Struct

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.remote import Remote, State, Trust
from isthmus.protocol import handshake as wire
from isthmus.protocol.federation import RPCS
from isthmus.protocol.problem import Problem
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.federation_records import TRUST_LANES, Lane, LaneState, Message
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, Transaction

log = structlog.get_logger()

LONGEST_WAIT = 300.0
LOCAL_WAIT = 5.0
"""At most so many seconds between attempts while our own Federator is away: no remote suffers from them."""
MOST_AT_ONCE = 16
MOST_IN_LANE = 1_000
"""So many messages wait in a lane at most; a longer one is thinned out, see `thin_out`."""
# The lanes whose messages carry their numbers, so that the other side sees a gap.
NUMBERED = frozenset({Lane.STATE, Lane.REVOCATION})
# What a remote says no to with these it will say no to for ever. A version that it does not speak is not among them:
# one of the two sides will be brought up to date.
FOR_EVER = frozenset(
    {
        "validation_failed", "json_invalid", "json_limits", "not_found", "transition_not_allowed", "route_not_found",
        "idempotency_conflict", "body_too_large", "method_not_allowed",
    }
)  # fmt: skip
DROPPED_AFTER = 5
"""So many refusals by the remote itself end a message of trust, so that it does not hold up those on other subjects;
heartbeats bring it up again."""
AS_NOTICE: Mapping[State, str] = {State.ACTIVE: "resumed", State.SUSPENDED: "suspended"}
GONE = frozenset({"remote_revoked", "federation_denied"})
GONE_AFTER = 3
"""So many such answers to the news of a revocation mean that the other side has ended it too."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A call that must arrive. In a numbered lane the `number` of its body is filled in. In the lanes of trust it takes
    the place of what waits on its `subject`."""

    lane: Lane
    component: str
    rpc: str
    body: Struct
    subject: str = ""


def notice(what: str, bundle: str = "") -> Letter:
    """The letter that tells how we stand; a revocation overtakes the rest."""
    lane = Lane.REVOCATION if what == "revoked" else Lane.STATE
    body = msgspec.convert({"what": what, "lane": lane.value, "number": 1, "bundle": bundle}, wire.Notice)
    return Letter(lane, "handshake", "notice", body)


async def enqueue(tx: Transaction, remote: Remote, letter: Letter, now: datetime) -> None:
    """Queue a letter for `remote`, which this transaction has locked."""
    state = await tx.outbox.lane(remote.id, letter.lane)
    if letter.lane in TRUST_LANES:
        if letter.subject:
            await tx.outbox.drop_subject(remote.id, letter.subject)
        await _make_room(tx, remote, letter.lane)
    elif state.sent - state.acknowledged >= MOST_IN_LANE:
        state = await thin_out(tx, remote, letter.lane)
    number = state.sent + 1
    await tx.outbox.save_lane(replace(state, sent=number))
    body = msgspec.to_builtins(letter.body)
    if letter.lane in NUMBERED:
        body["number"] = number
    made = Message(remote.id, letter.lane, number, letter.component, letter.rpc, body, now, now, subject=letter.subject)
    await tx.outbox.add(made)


async def _make_room(tx: Transaction, remote: Remote, lane: Lane) -> None:
    """A long lane of trust loses its oldest message: heartbeats find what was never heard."""
    queued = await tx.outbox.of_lane(remote.id, lane)
    if len(queued) >= MOST_IN_LANE:
        log.warning("a long lane lost its oldest message", remote=remote.domain, lane=lane.value)
        await tx.outbox.delete(remote.id, lane, queued[0].number)


async def thin_out(tx: Transaction, remote: Remote, lane: Lane) -> LaneState:
    """Leave of a lane its head, which may be under way, and the last message on each subject.

    A message says how things are, so what came between is news no more. `remote` is locked by this transaction.
    """
    state, queued = await tx.outbox.lane(remote.id, lane), await tx.outbox.of_lane(remote.id, lane)
    if len(queued) >= MOST_IN_LANE:
        latest = {_subject(message): message for message in queued[1:]}
        kept = sorted(latest.values(), key=lambda message: message.number)
        await tx.outbox.clear(remote.id, [lane])
        first = queued[0].number
        queued = [queued[0], *(renumbered(message, number) for number, message in enumerate(kept, first + 1))]
        for message in queued:
            await tx.outbox.add(message)
        log.warning("a long lane was thinned out", remote=remote.domain, lane=lane.value, left=len(queued))
    first = queued[0].number if queued else state.sent + 1
    after = replace(state, sent=first + len(queued) - 1, acknowledged=first - 1)
    await tx.outbox.save_lane(after)
    return after


def _subject(message: Message) -> tuple[str, str, bool, str]:
    """What a message is about; of grants, each is a subject of its own."""
    return message.component, message.rpc, bool(message.body.get("bundle")), str(message.body.get("id", ""))


def renumbered(message: Message, number: int) -> Message:
    body = {**message.body, "number": number} if message.lane in NUMBERED else message.body
    return replace(message, number=number, body=body)


async def tell_bundle(clock: Clock, tx: Transaction, bundle: str) -> None:
    """Queue our new bundle for every remote that goes by it, in the transaction that publishes it."""
    waiting = {each.remote_id for each in await tx.remotes.acceptances()}
    for known in await tx.remotes.all():
        # Whom we have not met yet gets it with our acceptance.
        if known.state is not State.REVOKED and known.trust is Trust.PINNED and known.id not in waiting:
            remote = await tx.remotes.lock(known.domain)
            await enqueue(tx, remote, notice("bundle", bundle), clock.now())


async def take(tx: Transaction, remote: Remote, lane: Lane, number: int) -> bool:
    """Note that `number` came from `remote`, which this transaction has locked; whether it is new.

    Raises `Denied` where it does not follow the one before.
    """
    state = await tx.outbox.lane(remote.id, lane)
    if number > state.received + 1:
        detail = f"message {number} of the lane {lane} came before its predecessors"
        raise Denied("sequence_gap", detail=detail, members={"expected": state.received + 1})
    if number <= state.received:
        return False
    await tx.outbox.save_lane(replace(state, received=number))
    return True


def wait_after(attempts: int, problem: Problem) -> float:
    """Seconds until the next attempt: full jitter below a bound that doubles, and never sooner than was asked for."""
    most = LOCAL_WAIT if problem.code == "upstream_unavailable" else LONGEST_WAIT
    jittered = min(most, 2.0 ** min(attempts, 16)) * secrets.randbelow(1000) / 1000
    asked = 0 if problem.retry_after is UNSET else problem.retry_after
    return max(0.2, jittered, min(asked, LONGEST_WAIT))


def said_by(problem: Problem) -> str:
    """The code that the remote itself refused with; empty where none of it was reached."""
    return "" if problem.remote is UNSET else problem.remote.code


class OutboxService:
    """Sends what is due: per remote one after the other, revocations first, remotes beside each other.

    `on_gap` are asked to find out what a remote has really received, when it says that a number does not follow.
    """

    def __init__(self, changes: FederationChanges, clock: Clock, outward: Outward) -> None:
        self._changes = changes
        self._store = changes.store
        self._clock = clock
        self._outward = outward
        self._wake = asyncio.Event()
        self.on_gap: list[Callable[[Remote], Awaitable[None]]] = []

    def wake(self, *_: object) -> None:
        """Look for what is due now rather than a moment later."""
        self._wake.set()

    async def work(self) -> None:
        """Wait until woken, a second at most, and send until nothing is due."""
        try:
            async with asyncio.timeout(1.0):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        while await self.turn():
            continue

    async def turn(self) -> bool:
        """Send the first message of each lane that is due; whether any of them is done with."""
        async with self._store.reading() as tx:
            heads = await tx.outbox.heads(self._clock.now())
        by_remote: dict[UUID, list[Message]] = {}
        for head in heads:
            by_remote.setdefault(head.remote_id, []).append(head)
        gate = asyncio.Semaphore(MOST_AT_ONCE)

        async def send_all(messages: Sequence[Message]) -> bool:
            async with gate:
                return any([await self._send(message) for message in messages])

        return any(await asyncio.gather(*map(send_all, by_remote.values())))

    async def _send(self, message: Message) -> bool:
        async with self._store.reading() as tx:
            remote = await tx.remotes.by_id(message.remote_id)
        rpc = RPCS[message.component, message.rpc]
        stamp = int(message.created_at.timestamp() * 1_000_000)
        # The same for every attempt, and another one for another message that gets this number after a repair.
        key = f"{message.remote_id}.{message.lane}.{message.number}.{stamp}"
        errand = Errand(remote.domain, message.component, message.rpc, str(uuid4()), key if rpc.changes else None)
        try:
            answer = await self._outward.call(errand, msgspec.convert(message.body, rpc.request), rpc.response)
        except RemoteRefused as refusal:
            return await self._refused(message, refusal.problem)
        await self._acknowledged(message, answer)
        return True

    async def _acknowledged(self, message: Message, answer: Struct) -> None:
        afterwards: list[Callable[[], None]] = []
        async with self._store.transaction() as tx:
            remote = await tx.remotes.lock((await tx.remotes.by_id(message.remote_id)).domain)
            await _done(tx, message)
            if isinstance(answer, wire.Standing) and remote.id == message.remote_id:
                afterwards = await note_state_there(tx, self._changes, remote, answer.state)
        for each in afterwards:
            each()

    async def _refused(self, message: Message, problem: Problem) -> bool:
        """Try again later, give up, or park; whether the message is done with."""
        code, attempts, now = said_by(problem), message.attempts + 1, self._clock.now()
        after = replace(message, attempts=attempts, error=f"{problem.code}: {problem.detail}"[:300])
        async with self._store.transaction() as tx:
            remote = await tx.remotes.by_id(message.remote_id)
            await tx.remotes.lock(remote.domain)
            present = await tx.outbox.get(message.remote_id, message.lane, message.number)
            if present is None or present.created_at != message.created_at:
                # An operator has dropped it meanwhile.
                return True
            if remote.state is State.REVOKED and code in GONE and attempts >= GONE_AFTER:
                await _done(tx, message)
                return True
            if message.lane in TRUST_LANES and (code in FOR_EVER or (code and attempts >= DROPPED_AFTER)):
                log.error("a remote refuses to hear of something", remote=remote.domain, code=code, on=message.subject)
                await _done(tx, message)
                return True
            if code in FOR_EVER:
                after = replace(after, parked=code)
                log.error("a remote refuses a message for ever", remote=remote.domain, code=code, number=message.number)
            else:
                after = replace(after, next_at=now + timedelta(seconds=wait_after(attempts, problem)))
            await tx.outbox.save(after)
        if code == "sequence_gap":
            for repair in self.on_gap:
                await repair(remote)
        return False


async def _done(tx: Transaction, message: Message) -> None:
    await tx.outbox.delete(message.remote_id, message.lane, message.number)
    state = await tx.outbox.lane(message.remote_id, message.lane)
    await tx.outbox.save_lane(replace(state, acknowledged=max(state.acknowledged, message.number)))


async def note_state_there(
    tx: Transaction, changes: FederationChanges, remote: Remote, state: str
) -> list[Callable[[], None]]:
    """Keep what the other side, locked by this transaction, says that it makes of us, if that is a state. Its bridges
    follow; what comes back is to be done after the commit."""
    afterwards: list[Callable[[], None]] = []
    if state in set(State) and remote.state_there != state:
        after = replace(remote, state_there=State(state))
        await tx.remotes.save(after)
        if after.is_shut_there is not remote.is_shut_there:
            await changes.within(tx, afterwards, remote.domain)
    return afterwards
