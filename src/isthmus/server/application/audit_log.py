"""Reading the audit log: pages that look at a bounded part of it, whatever they filter."""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.server.audit_ports import AuditFilter, Link, LinkedRow, OwnSeal
from isthmus.server.ports import Store, Transaction

SCANNED = 20_000
"""How many rows one page looks at: a filter that matches nothing costs no more than that."""
ENDS = 2**62


@dataclass(frozen=True, slots=True)
class Chain:
    """How far the log and its chain are at one moment. `domain` is what seals are made for, empty before there is one;
    `last` is the number that a row was given last, `sealed` that of the last seal."""

    domain: str
    last: int
    head: Link
    sealed: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`next` is where the following page begins; None at the end. A page may be empty before the end."""

    rows: Sequence[LinkedRow]
    next: int | None


class AuditLogService:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def newest(self, limit: int, before: int | None, wanted: AuditFilter) -> AuditPage:
        """The newest first; `before` is the `next` of the page before."""
        async with self._store.reading() as tx:
            up_to = ENDS if before is None else before - 1
            behind = min(up_to, await tx.chain.last_number()) - SCANNED
            behind = behind if behind > 0 else -ENDS
            rows = await tx.chain.rows_back(behind, up_to, limit, wanted)
        return AuditPage(rows, _next(rows, limit, behind + 1 if behind > 0 else None))

    async def oldest(self, limit: int, after: int, wanted: AuditFilter) -> AuditPage:
        """In order, from the row behind `after` on; 0 begins with all that there is."""
        async with self._store.reading() as tx:
            up_to = after + SCANNED
            is_end = up_to >= await tx.chain.last_number()
            rows = await tx.chain.rows(after or -ENDS, ENDS if is_end else up_to, limit, wanted)
        return AuditPage(rows, _next(rows, limit, None if is_end else up_to))

    async def seals(self, limit: int, after: int) -> list[OwnSeal]:
        async with self._store.reading() as tx:
            return await tx.chain.seals(after, limit)

    async def chain(self) -> Chain:
        async with self._store.reading() as tx:
            return await _chain(tx)


async def _chain(tx: Transaction) -> Chain:
    facts, last = await tx.federation.get(), await tx.chain.last_seal()
    domain = "" if facts is None else facts.domain
    return Chain(domain, await tx.chain.last_number(), await tx.chain.head(), 0 if last is None else last.seal.number)


def _next(rows: Sequence[LinkedRow], limit: int, end: int | None) -> int | None:
    return rows[-1].row.number if len(rows) == limit else end
