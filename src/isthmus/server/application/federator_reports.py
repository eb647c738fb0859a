"""What the own Federator reports: audit rows, who called, what looks wrong, and nonces to be remembered."""

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.protocol.federator import MOST_ROWS, Nonce, Report, Row, Suspicion
from isthmus.server.application.tally import UNPROVEN, Tally, domain_of
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.server.records import AuditEntry, Outcome

REMEMBERED = timedelta(hours=24)
"""How long a Federator may take until it repeats a report whose answer it did not see."""

INSTANCES_KEPT = timedelta(days=90)


class ReportService:
    """`on_contact` hears which domains have called."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, tally: Tally) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._tally = tally
        self.on_contact: list[Callable[[Sequence[BackendDomain]], None]] = []

    async def take(self, report: Report) -> None:
        """All of it or nothing; rows that were reported before count once. Raises `InvalidValue`."""
        if max(len(report.rows), len(report.sightings), len(report.suspicions), len(report.cleared)) > MOST_ROWS:
            raise InvalidValue("/rows", f"are more than {MOST_ROWS}", "send them in parts")
        now = self._clock.now()
        sightings = [
            (BackendDomain(each.domain), InstanceId(_uuid(each.instance)), _moment(each.at))
            for each in report.sightings
        ]
        called = sorted({domain for domain, _, _ in sightings})
        async with self._store.transaction() as tx:
            new = await tx.nonces.unreported([row.id for row in report.rows], now + REMEMBERED)
            rows = _once(report.rows, new)
            await tx.journal.audit([_entry(row) for row in rows])
            entries = await _entries(tx, rows)
            await tx.remote_instances.seen(sightings)
            for suspicion in report.suspicions:
                await tx.findings.put(self._finding(suspicion))
            for each in report.cleared:
                await tx.findings.clear(each.kind, each.domain, now)
            for domain in called:
                await tx.outbox.wake(domain, now)
        for row in rows:
            if row.outcome == "denied":
                self._tally.kept_out(entries.get(row.actor, UNPROVEN), row.reason, row.left_out or 1)
        if called:
            for heard in self.on_contact:
                heard(called)

    async def remember(self, nonce: Nonce) -> None:
        """Raises `NonceSeen` when it was used before."""
        async with self._store.transaction() as tx:
            await tx.nonces.remember(nonce.domain, nonce.nonce, _moment(nonce.expires_at))

    async def prune(self) -> None:
        """Forget what no repetition can bring up any more."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await tx.nonces.prune(now)
            await tx.remote_instances.prune(now - INSTANCES_KEPT)

    def _finding(self, suspicion: Suspicion) -> RemoteFinding:
        at = _moment(suspicion.at)
        return RemoteFinding(self._ids.new(), suspicion.kind, suspicion.domain, at, at, 1, suspicion.evidence)


async def _entries(tx: Transaction, rows: Sequence[Row]) -> dict[str, str]:
    """The remotes that actors of `rows` are, if there is an entry of them: under shared roots anybody may come."""
    entries: dict[str, str] = {}
    for actor in {row.actor for row in rows}:
        if (domain := domain_of(actor)) is not None:
            with contextlib.suppress(NotFound):
                entries[actor] = (await tx.remotes.get(BackendDomain(domain))).domain
    return entries


def _once(rows: Sequence[Row], new: set[str]) -> list[Row]:
    """The rows whose ids are new, one of each."""
    return list({row.id: row for row in rows if row.id in new}.values())


def _entry(row: Row) -> AuditEntry:
    facts = row.facts | ({"left_out": row.left_out} if row.left_out else {})
    return AuditEntry(
        at=_moment(row.at),
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        outcome=Outcome(row.outcome),
        request_id=row.request_id,
        reason=row.reason or None,
        facts=facts,
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidValue("/at", "is no time", "Unix seconds") from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidValue("/sightings", "name an instance that is none") from None
