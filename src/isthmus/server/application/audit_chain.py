"""Linking the audit log: new rows get their place in the chain soon after their commit, and seals vouch for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.domain.audit import MICROSECOND, SEALED_AFTER, SEALED_ROWS, Seal, linked
from isthmus.protocol.audit import signed
from isthmus.protocol.audit_row import content
from isthmus.protocol.message_key import MessageKey
from isthmus.server.audit_ports import Link, OwnSeal
from isthmus.server.certificate_ports import MaterialUnusable
from isthmus.server.ports import Clock, Store, Transaction
from isthmus.server.records import AuditRow

LINK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Stand:
    """How far the chain has come. `sealed` is the number of the last seal, 0 before the first."""

    head: Link
    last: OwnSeal | None

    @property
    def sealed(self) -> int:
        return 0 if self.last is None else self.last.seal.number

    def wants_seal(self, now: datetime) -> bool:
        unsealed = self.head.number - self.sealed
        waited = self.last is None or now - self.last.seal.at >= SEALED_AFTER
        return unsealed > 0 and (waited or unsealed >= SEALED_ROWS)

    @property
    def batch(self) -> int:
        """How many rows are linked at once: as many as the next seal covers."""
        return SEALED_ROWS - (self.head.number - self.sealed) % SEALED_ROWS


async def _stand(tx: Transaction) -> _Stand:
    return _Stand(await tx.chain.head(), await tx.chain.last_seal())


class ChainService:
    """`key` gives the message key in use, None where there is none yet; it reads a file."""

    def __init__(self, store: Store, clock: Clock, key: Callable[[], MessageKey | None]) -> None:
        self._store = store
        self._clock = clock
        self._key = key

    async def work(self) -> None:
        """Link all rows that were committed until now, in bounded steps, and seal what is due."""
        is_behind = True
        while is_behind:
            is_behind = await self._step()
            # Others have their turn between the steps.
            await asyncio.sleep(0)

    async def _step(self) -> bool:
        """Whether there is more to do."""
        async with self._store.reading() as tx:
            stand, last_number = await _stand(tx), await tx.chain.last_number()
            facts = await tx.federation.get()
        signing = facts is not None and (stand.wants_seal(self._clock.now()) or last_number > stand.head.number)
        key = await self._signing_key() if signing else None
        if last_number <= stand.head.number and key is None:
            return False
        async with self._store.transaction() as tx:
            await tx.chain.lock()
            stand = await _stand(tx)
            rows = await tx.chain.unlinked(stand.head.number, stand.batch)
            stand = await _link(tx, stand, rows)
            if facts is not None and key is not None and stand.wants_seal(self._clock.now()):
                await self._seal(tx, stand, facts.domain, key)
            return bool(rows) and stand.head.number < await tx.chain.last_number()

    async def _signing_key(self) -> MessageKey | None:
        try:
            return await asyncio.to_thread(self._key)
        except MaterialUnusable:
            # Whoever keeps certificates up says so; rows are linked all the same.
            return None

    async def _seal(self, tx: Transaction, stand: _Stand, domain: str, key: MessageKey) -> None:
        seal = Seal(stand.head.number, stand.head.hash, self._clock.now(), key.id)
        if stand.last is not None:
            before = stand.last.seal
            # Seals grow in time even where the clock was set back: witnesses go by that.
            at = max(seal.at, before.at + MICROSECOND)
            seal = replace(seal, at=at, previous=before.number, previous_hash=before.hash)
        await tx.chain.seal(OwnSeal(signed(seal, domain, key), key.public))


async def _link(tx: Transaction, stand: _Stand, rows: list[AuditRow]) -> _Stand:
    head, links = stand.head, []
    for row in rows:
        head = Link(row.number, linked(head.hash, row.number, content(row.entry)))
        links.append(head)
    if links:
        await tx.chain.link(links)
    return _Stand(head, stand.last)
