"""The revision log and the audit log in the database."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from isthmus.domain.errors import network_not_found
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Audience
from isthmus.server.adapters.db.statements import AnyRow, Statements
from isthmus.server.adapters.db.tables import audit_log, backend, networks, revision_log
from isthmus.server.records import AuditEntry, AuditRow, Change, Outcome

APPEND = insert(revision_log)
CHANGES = (
    select(revision_log)
    .where(revision_log.c.network_id == bindparam("of_network"), revision_log.c.revision > bindparam("after"))
    .order_by(revision_log.c.revision)
    .limit(bindparam("most"))
)
# The same table under other names: conditions inside of conditions.
earlier, gone, checkpoint, needless = (
    revision_log.alias(name) for name in ("earlier", "gone", "checkpoint", "needless")
)


def up_to(table: FromClause) -> ColumnElement[bool]:
    return and_(table.c.network_id == bindparam("of_network"), table.c.revision <= bindparam("up_to"))


# Events of the network itself say different things, so each of them counts; of a peer the last one says all.
EVENT = case((earlier.c.subject == earlier.c.network_id, earlier.c.event), else_="")
LAST = select(func.max(earlier.c.revision)).where(up_to(earlier)).group_by(earlier.c.subject, EVENT)
LATEST = (
    select(revision_log)
    .where(revision_log.c.network_id == bindparam("of_network"), revision_log.c.revision.in_(LAST))
    .order_by(revision_log.c.revision)
)
# A checkpoint names all peers that there were: of those it takes their end to know that they are gone.
GONE = select(gone.c.subject).where(
    up_to(gone),
    gone.c.event == "peer.deleted",
    ~exists().where(up_to(checkpoint), checkpoint.c.event == "network.checkpoint"),
)
NEEDLESS = (
    select(needless.c.revision)
    .where(up_to(needless), or_(needless.c.revision.not_in(LAST), needless.c.subject.in_(GONE)))
    .order_by(needless.c.revision)
    .limit(bindparam("most"))
)
FORGET = delete(revision_log).where(
    revision_log.c.network_id == bindparam("of_network"), revision_log.c.revision.in_(NEEDLESS)
)
BEGINS = select(networks.c.history_begins).where(networks.c.id == bindparam("of_network"))
SET_BEGINS = update(networks).where(networks.c.id == bindparam("of_network")).values(history_begins=bindparam("begins"))
NUMBER = update(backend).values(audited=backend.c.audited + bindparam("more")).returning(backend.c.audited)
AUDIT = insert(audit_log)
NEWEST = select(audit_log).order_by(audit_log.c.number.desc()).limit(bindparam("most"))
OLDER = NEWEST.where(audit_log.c.number < bindparam("before"))
OF_REQUEST = (
    select(audit_log)
    .where(audit_log.c.request_id == bindparam("of_request"))
    .order_by(audit_log.c.number.desc())
    .limit(16)
)


class SqlJournal:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def append(self, change: Change) -> None:
        values = {
            "network_id": change.network_id,
            "revision": change.revision,
            "event": change.event,
            "subject": change.subject,
            "audience": change.audience.value,
            "keys": list(change.keys),
            "state": change.state,
            "at": change.at,
        }
        await self._statements.write(APPEND, values)

    async def changes(self, network_id: NetworkId, after: int, limit: int = 100) -> list[Change]:
        values = {"of_network": network_id, "after": after, "most": limit}
        rows = await self._statements.rows(CHANGES, values)
        return [change_of(row) for row in rows]

    async def latest(self, network_id: NetworkId, revision: int) -> list[Change]:
        rows = await self._statements.rows(LATEST, {"of_network": network_id, "up_to": revision})
        return [change_of(row) for row in rows]

    async def history_begins(self, network_id: NetworkId) -> int:
        row = await self._statements.row(BEGINS, {"of_network": network_id})
        if row is None:
            raise network_not_found(network_id)
        return int(row.history_begins)

    async def set_history_begins(self, network_id: NetworkId, revision: int) -> None:
        await self._statements.write(SET_BEGINS, {"of_network": network_id, "begins": revision})

    async def forget(self, network_id: NetworkId, revision: int, most: int) -> int:
        return await self._statements.write(FORGET, {"of_network": network_id, "up_to": revision, "most": most})

    async def audit(self, entries: Iterable[AuditEntry]) -> None:
        new = list(entries)
        if not new:
            return
        row = await self._statements.row(NUMBER, {"more": len(new)})
        if row is None:
            raise RuntimeError("the database lost the row of its backend: restore it from a backup")
        first = row.audited - len(new) + 1
        await self._statements.write(AUDIT, [audit_fields(number, entry) for number, entry in enumerate(new, first)])

    async def audit_of_request(self, request_id: str) -> list[AuditRow]:
        return [audit_row(row) for row in await self._statements.rows(OF_REQUEST, {"of_request": request_id})]

    async def audit_page(self, limit: int, after: int | None = None) -> list[AuditRow]:
        if after is None:
            rows = await self._statements.rows(NEWEST, {"most": limit})
        else:
            rows = await self._statements.rows(OLDER, {"most": limit, "before": after})
        return [audit_row(row) for row in rows]


def change_of(row: AnyRow) -> Change:
    return Change(**{**row._mapping, "audience": Audience(row.audience), "keys": tuple(row.keys)})


def audit_fields(number: int, entry: AuditEntry) -> dict[str, Any]:
    return {
        "number": number,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": entry.outcome.value,
        "request_id": entry.request_id,
        "reason": entry.reason,
        "facts": entry.facts,
    }


def audit_row(row: AnyRow) -> AuditRow:
    entry = AuditEntry(
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        outcome=Outcome(row.outcome),
        request_id=row.request_id,
        reason=row.reason,
        facts=row.facts,
    )
    return AuditRow(row.number, entry)
