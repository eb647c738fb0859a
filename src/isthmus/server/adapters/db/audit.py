"""The audit chain and the heads of others' logs in the database."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, select

from isthmus.domain.audit import GENESIS, Seal
from isthmus.server.adapters.db.audit_tables import audit_links, audit_seals, audit_witnesses
from isthmus.server.adapters.db.journal import audit_row
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.adapters.db.tables import audit_log, backend
from isthmus.server.audit_ports import AuditFilter, Link, LinkedRow, OwnSeal, Witness
from isthmus.server.records import AuditRow

CHAIN_LOCK = 0x15_74_6D_01
LOCK = select(func.pg_advisory_xact_lock(CHAIN_LOCK))
LAST_NUMBER = select(backend.c.audited)
HEAD = select(audit_links).order_by(audit_links.c.number.desc()).limit(1)
LINK_OF = select(audit_links).where(audit_links.c.number == bindparam("of_number"))
UNLINKED = (
    select(audit_log)
    .where(audit_log.c.number > bindparam("after"))
    .order_by(audit_log.c.number)
    .limit(bindparam("most"))
)
ADD_LINK = insert(audit_links)
ADD_SEAL = insert(audit_seals)
LAST_SEAL = select(audit_seals).order_by(audit_seals.c.number.desc()).limit(1)
SEALS = (
    select(audit_seals)
    .where(audit_seals.c.number > bindparam("after"))
    .order_by(audit_seals.c.number)
    .limit(bindparam("most"))
)
ROWS = (
    select(audit_log, audit_links.c.hash)
    .outerjoin(audit_links, audit_links.c.number == audit_log.c.number)
    .where(audit_log.c.number > bindparam("behind"), audit_log.c.number <= bindparam("up_to"))
    .limit(bindparam("most"))
)
WITNESSES = (
    select(audit_witnesses)
    .where(audit_witnesses.c.remote_id == bindparam("of_remote"))
    .order_by(audit_witnesses.c.number, audit_witnesses.c.heard_at, audit_witnesses.c.head)
)
GREATEST = (
    select(audit_witnesses)
    .where(audit_witnesses.c.remote_id == bindparam("of_remote"))
    .order_by(audit_witnesses.c.number.desc(), audit_witnesses.c.head)
    .limit(1)
)
DROP_WITNESSES = delete(audit_witnesses).where(
    audit_witnesses.c.remote_id == bindparam("of_remote"), audit_witnesses.c.head == bindparam("of_head")
)


class SqlAuditChain:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def lock(self) -> None:
        # SQLite lets one transaction write at a time; elsewhere the key of the links would stop a fork, but late.
        if self._statements.dialect == "postgresql":
            await self._statements.row(LOCK)

    async def last_number(self) -> int:
        row = await self._statements.row(LAST_NUMBER)
        return 0 if row is None else int(row.audited)

    async def head(self) -> Link:
        return link_at(await self._statements.row(HEAD)) or Link(0, GENESIS)

    async def link_of(self, number: int) -> Link | None:
        return link_at(await self._statements.row(LINK_OF, {"of_number": number}))

    async def unlinked(self, after: int, limit: int) -> list[AuditRow]:
        return [audit_row(row) for row in await self._statements.rows(UNLINKED, {"after": after, "most": limit})]

    async def link(self, links: Sequence[Link]) -> None:
        await self._statements.write(ADD_LINK, [values_of(link) for link in links])

    async def seal(self, seal: OwnSeal) -> None:
        await self._statements.write(ADD_SEAL, {**values_of(seal.seal), "public_key": seal.public_key})

    async def last_seal(self) -> OwnSeal | None:
        row = await self._statements.row(LAST_SEAL)
        return None if row is None else seal_of(row)

    async def seals(self, after: int, limit: int) -> list[OwnSeal]:
        return [seal_of(row) for row in await self._statements.rows(SEALS, {"after": after, "most": limit})]

    async def rows(self, behind: int, up_to: int, limit: int, wanted: AuditFilter) -> list[LinkedRow]:
        return await self._rows(ROWS.order_by(audit_log.c.number), behind, up_to, limit, wanted)

    async def rows_back(self, behind: int, up_to: int, limit: int, wanted: AuditFilter) -> list[LinkedRow]:
        return await self._rows(ROWS.order_by(audit_log.c.number.desc()), behind, up_to, limit, wanted)

    async def _rows(
        self, query: Select[*tuple[Any, ...]], behind: int, up_to: int, limit: int, wanted: AuditFilter
    ) -> list[LinkedRow]:
        values = {"behind": behind, "up_to": up_to, "most": limit}
        found = await self._statements.rows(query.where(*conditions(wanted)), values)
        return [LinkedRow(audit_row(row), row.hash) for row in found]


class SqlWitnesses:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def put(self, witness: Witness) -> None:
        await self._statements.write(upsert_into(audit_witnesses, self._statements.dialect), values_of(witness))

    async def of(self, remote_id: UUID) -> list[Witness]:
        return [Witness(**row._mapping) for row in await self._statements.rows(WITNESSES, {"of_remote": remote_id})]

    async def greatest(self, remote_id: UUID) -> Witness | None:
        row = await self._statements.row(GREATEST, {"of_remote": remote_id})
        return None if row is None else Witness(**row._mapping)

    async def drop(self, remote_id: UUID, heads: Sequence[str]) -> None:
        if heads:
            await self._statements.write(DROP_WITNESSES, [{"of_remote": remote_id, "of_head": head} for head in heads])


def conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    columns = audit_log.c
    texts = {
        columns.action: wanted.action,
        columns.actor: wanted.actor,
        columns.subject: wanted.subject,
        columns.outcome: wanted.outcome,
    }
    found = [like(column, text) for column, text in texts.items() if text is not None]
    if wanted.since is not None:
        found.append(columns.at >= wanted.since)
    if wanted.until is not None:
        found.append(columns.at < wanted.until)
    return found


def like(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """`text`, or with a star at its end what begins with the rest: letter by letter, without patterns."""
    if not text.endswith("*"):
        return column == text
    begin = text[:-1]
    return func.substr(column, 1, len(begin)) == begin


def link_at(row: AnyRow | None) -> Link | None:
    return None if row is None else Link(row.number, row.hash)


def seal_of(row: AnyRow) -> OwnSeal:
    fields = dict(row._mapping)
    public_key = fields.pop("public_key")
    return OwnSeal(Seal(**fields), public_key)
