"""The revision log and the audit log in the database."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Audience
from isthmus.server.adapters.db.statements import AnyRow, Statements
from isthmus.server.adapters.db.tables import audit_log, backend, revision_log
from isthmus.server.records import AuditEntry, AuditRow, Change, Outcome

APPEND = insert(revision_log)
CHANGES = (
    select(revision_log)
    .where(revision_log.c.network_id == bindparam("of_network"), revision_log.c.revision > bindparam("after"))
    .order_by(revision_log.c.revision)
    .limit(bindparam("most"))
)
NUMBER = update(backend).values(audited=backend.c.audited + bindparam("more")).returning(backend.c.audited)
AUDIT = insert(audit_log)
NEWEST = select(audit_log).order_by(audit_log.c.number.desc()).limit(bindparam("most"))
OLDER = NEWEST.where(audit_log.c.number < bindparam("before"))


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
        return [Change(**{**row._mapping, "audience": Audience(row.audience), "keys": tuple(row.keys)}) for row in rows]

    async def audit(self, entries: Iterable[AuditEntry]) -> None:
        new = list(entries)
        if not new:
            return
        row = await self._statements.row(NUMBER, {"more": len(new)})
        if row is None:
            raise RuntimeError("the database lost the row of its backend: restore it from a backup")
        first = row.audited - len(new) + 1
        await self._statements.write(AUDIT, [audit_fields(number, entry) for number, entry in enumerate(new, first)])

    async def audit_page(self, limit: int, after: int | None = None) -> list[AuditRow]:
        if after is None:
            rows = await self._statements.rows(NEWEST, {"most": limit})
        else:
            rows = await self._statements.rows(OLDER, {"most": limit, "before": after})
        return [audit_row(row) for row in rows]


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
