"""Messages that a remote has not acknowledged, in the hands of an operator: looked at, tried again, given up."""

from collections.abc import Callable
from dataclasses import replace

import msgspec

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote
from isthmus.server.application.caller import Caller
from isthmus.server.application.outbox import AS_NOTICE, notice
from isthmus.server.application.remotes import parse_reason
from isthmus.server.federation_records import Lane, Message
from isthmus.server.ports import Clock, Store, Transaction

MOST = 100_000


class MessageService:
    """`wake` is called when there may be something to send."""

    def __init__(self, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def of(self, domain: BackendDomain) -> list[Message]:
        """All that wait for the last entry of `domain`, removed or not, in the order of sending."""
        async with self._store.reading() as tx:
            remote = await tx.remotes.get(domain)
            return await tx.outbox.of(remote.id, MOST)

    async def retry(self, caller: Caller, domain: BackendDomain) -> int:
        """Try all of them again at once, also those that the remote refused for ever; returns how many there are."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            remote = await tx.remotes.lock(domain)
            waiting = await tx.outbox.of(remote.id, MOST)
            for message in waiting:
                if message.parked or message.next_at > now:
                    await tx.outbox.save(replace(message, next_at=now, parked=""))
            parked = sum(bool(message.parked) for message in waiting)
            facts = {"messages": len(waiting), "parked": parked}
            await tx.journal.audit([caller.did("remote.retry-messages", domain, now, **facts)])
        self._wake()
        return len(waiting)

    async def drop(self, caller: Caller, domain: BackendDomain, lane: Lane, number: int, reason: str) -> Message | None:
        """Give a message up. Returns what is sent in its place, None where nothing is. Raises `NotFound`."""
        why, now = parse_reason(reason), self._clock.now()
        async with self._store.transaction() as tx:
            remote = await tx.remotes.lock(domain)
            dropped = await tx.outbox.get(remote.id, lane, number)
            if dropped is None:
                raise NotFound("message", f"{lane}/{number} to {domain}")
            instead = await _instead(tx, remote, dropped)
            if instead is None:
                # All that waits in such a lane says the same.
                await tx.outbox.clear(remote.id, [lane])
            else:
                instead = replace(instead, created_at=now, next_at=now, attempts=0, error="", parked="")
                await tx.outbox.save(instead)
            facts = {"lane": lane.value, "number": number, "rpc": dropped.rpc, "what": dropped.body.get("what")}
            facts |= {"reason": why, "refused_with": dropped.parked or dropped.error}
            await tx.journal.audit([caller.did("remote.drop-message", domain, now, **facts)])
        self._wake()
        return instead


async def _instead(tx: Transaction, remote: Remote, dropped: Message) -> Message | None:
    """A message under its number, for numbers have no gaps: it says how things are. None where nothing is needed."""
    if dropped.lane is not Lane.STATE:
        return None
    letter = None
    if (what := AS_NOTICE.get(remote.state)) is not None:
        letter = notice(what)
    elif (bundle := await tx.own_trust.bundle()) is not None:
        letter = notice("bundle", bundle.signed)
    if letter is None:
        return None
    return replace(dropped, body=msgspec.to_builtins(letter.body) | {"number": dropped.number})
