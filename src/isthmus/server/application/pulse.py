"""Heartbeats to remotes: they find what a queue has lost, carry new bundles, and tell how the other side stands."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog

from isthmus.domain.federation.finding import REMOTE_UNREACHABLE
from isthmus.domain.federation.remote import Remote, State
from isthmus.protocol import heartbeat as wire
from isthmus.protocol.problem import Problem
from isthmus.server.application.audit_witness import Heads, heads_for
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.outbox import (
    AS_NOTICE,
    MOST_AT_ONCE,
    NUMBERED,
    enqueue,
    note_state_there,
    notice,
    renumbered,
    said_by,
)
from isthmus.server.federation_ports import OwnCertificates
from isthmus.server.federation_records import Lane, LaneState, RemoteFinding
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, Ids, Transaction

log = structlog.get_logger()

MOST_QUEUED = 100_000
SILENT = timedelta(minutes=5)
SAID: Mapping[str, State] = {"remote_suspended": State.SUSPENDED, "remote_revoked": State.REVOKED}
IN_TOUCH = frozenset({State.PENDING, State.ACTIVE})


class PulseService:
    """`on_heads` hears what a remote's answer says of audit logs; `on_answer` see all of what a remote answered, in a
    transaction that has locked its entry; `on_grants` get what it says of its grants once that is committed."""

    def __init__(
        self, changes: FederationChanges, clock: Clock, ids: Ids, certificates: OwnCertificates, outward: Outward
    ) -> None:
        self._changes = changes
        self._store = changes.store
        self._clock = clock
        self._ids = ids
        self.on_heads: list[Callable[[Remote, Heads], None]] = []
        self._silent_since: dict[UUID, datetime] = {}
        self._certificates = certificates
        self._outward = outward
        self.on_answer: list[Callable[[Transaction, Remote, wire.BeatAnswer, datetime], Awaitable[None]]] = []
        self.on_grants: list[Callable[[Remote, str], Awaitable[None]]] = []

    async def work(self) -> None:
        """Say to every remote that may be called that we are there."""
        async with self._store.reading() as tx:
            waiting = {each.remote_id for each in await tx.remotes.acceptances()}
            remotes = [each for each in await tx.remotes.all() if each.id not in waiting and each.state in IN_TOUCH]
        gate = asyncio.Semaphore(MOST_AT_ONCE)

        async def beat(remote: Remote) -> None:
            async with gate:
                await self.beat(remote)

        await asyncio.gather(*map(beat, remotes))

    async def beat(self, remote: Remote) -> bool:
        """One heartbeat, and what follows from its answer; whether it was answered."""
        trust = await self._certificates.trust()
        async with self._store.reading() as tx:
            sent = {state.lane.value: state.sent for state in await tx.outbox.lanes(remote.id)}
            heads = await heads_for(tx, remote)
        state = remote.state.value
        body = wire.Beat(trust.bundle_sequence, remote.bundle_sequence, state, sent, heads.own, heads.held)
        errand = Errand(remote.domain, "heartbeat", "beat", str(uuid4()))
        try:
            answer = await self._outward.call(errand, body, wire.BeatAnswer)
        except RemoteRefused as refusal:
            log.info("a remote does not answer", remote=remote.domain, code=refusal.problem.code)
            await self._not_heard(remote, refusal.problem)
            said = SAID.get(said_by(refusal.problem))
            if said is not None:
                async with self._store.transaction() as tx:
                    present = await tx.remotes.lock(remote.domain)
                    afterwards = await note_state_there(tx, self._changes, present, said.value)
                for each in afterwards:
                    each()
            return False
        for hear in self.on_heads:
            hear(remote, Heads(answer.audit_head, answer.audit_held))
        bundle = await self._certificates.bundle() if answer.known_sequence < trust.bundle_sequence else ""
        await self._follow(remote, answer, bundle)
        for compare in self.on_grants:
            await compare(remote, answer.grants)
        return True

    async def _not_heard(self, remote: Remote, problem: Problem) -> None:
        """A finding, once nothing was heard of a remote for a while; a refusal of its own is an answer."""
        now = self._clock.now()
        if said_by(problem):
            self._silent_since.pop(remote.id, None)
        elif problem.code != "upstream_unavailable":
            since = self._silent_since.setdefault(remote.id, now)
            if now - since >= SILENT:
                evidence = {"since": since.isoformat(), "code": problem.code, "detail": problem.detail[:300]}
                async with self._store.transaction() as tx:
                    found = RemoteFinding(self._ids.new(), REMOTE_UNREACHABLE, remote.domain, now, now, 1, evidence)
                    await tx.findings.put(found)

    async def repair(self, remote: Remote) -> None:
        """Ask what a remote has received, and have the numbers of the queue follow that."""
        await self.beat(remote)

    async def _follow(self, remote: Remote, answer: wire.BeatAnswer, bundle: str) -> None:
        now = self._clock.now()
        self._silent_since.pop(remote.id, None)
        async with self._store.transaction() as tx:
            present = await tx.remotes.lock(remote.domain)
            if present.id != remote.id or present.state is State.REVOKED:
                return
            afterwards = await note_state_there(tx, self._changes, present, answer.state)
            await tx.findings.clear(REMOTE_UNREACHABLE, remote.domain, now)
            for lane in sorted(NUMBERED):
                await _mend(tx, present, lane, answer.received.get(lane.value, 0), now)
            if bundle and not await _is_queued(tx, present, bundle):
                await enqueue(tx, present, notice("bundle", bundle), now)
            for follow in self.on_answer:
                await follow(tx, present, answer, now)
            await tx.outbox.wake(present.domain, now)
        for each in afterwards:
            each()


async def _is_queued(tx: Transaction, remote: Remote, bundle: str) -> bool:
    return any(message.body.get("bundle") == bundle for message in await tx.outbox.of(remote.id, MOST_QUEUED))


async def _mend(tx: Transaction, remote: Remote, lane: Lane, received: int, now: datetime) -> None:
    """Where one side was restored from a backup, numbers do not follow: the queue continues where the other side is."""
    state = await tx.outbox.lane(remote.id, lane)
    queued = [message for message in await tx.outbox.of(remote.id, MOST_QUEUED) if message.lane is lane]
    first = queued[0].number if queued else state.sent + 1
    # The message under way may have arrived without its answer: then the other side is one ahead of us.
    if received + 1 == first or (queued and received == first):
        return
    log.warning("numbers of messages were repaired", remote=remote.domain, lane=lane.value, received=received)
    await tx.outbox.clear(remote.id, [lane])
    for number, message in enumerate(queued, received + 1):
        await tx.outbox.add(replace(renumbered(message, number), next_at=now))
    after = LaneState(remote.id, lane, received + len(queued), received, state.received)
    await tx.outbox.save_lane(after)
    if lane is Lane.STATE and not queued and remote.state in AS_NOTICE:
        await enqueue(tx, remote, notice(AS_NOTICE[remote.state]), now)
