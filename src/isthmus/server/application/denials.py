"""Denials go to the audit log too: those of known callers always, those of strangers up to a bound, with counts."""

from datetime import datetime, timedelta
from typing import Any

from isthmus.server.application.caller import Caller
from isthmus.server.application.tally import Tally
from isthmus.server.ports import Clock, Store
from isthmus.server.records import AuditEntry, Outcome

STRANGERS_PER_WINDOW = 1_000
WINDOW = timedelta(minutes=1)


class DenialService:
    def __init__(self, store: Store, clock: Clock, tally: Tally) -> None:
        self._store = store
        self._clock = clock
        self._tally = tally
        self._window_start: datetime | None = None
        self._strangers = 0

    async def record(self, caller: Caller, action: str, subject: str, code: str, left_out: int = 0) -> None:
        """One row for one denial. Strangers above the bound are counted and summed up in one row a minute.

        A row with `left_out` stands for so many denials that had no row of their own; who sums up writes few of them.
        """
        now = self._clock.now()
        self._tally.denied(caller.actor, code, left_out or 1)
        entries = self._summary(now)
        is_one_of_many = caller.actor == "anyone" and not left_out
        if is_one_of_many:
            self._strangers += 1
        if not is_one_of_many or self._strangers <= STRANGERS_PER_WINDOW:
            facts: dict[str, Any] = {} if caller.source is None else {"source": caller.source}
            if left_out:
                facts["left_out"] = left_out
            entries.append(
                AuditEntry(now, caller.actor, action, subject, Outcome.DENIED, caller.request_id, code, facts)
            )
        if entries:
            async with self._store.transaction() as tx:
                await tx.journal.audit(entries)

    def _summary(self, now: datetime) -> list[AuditEntry]:
        """Start a new window when the old one is over; what it left out becomes one row."""
        start = self._window_start
        if start is not None and now < start + WINDOW:
            return []
        left_out = self._strangers - STRANGERS_PER_WINDOW
        self._window_start, self._strangers = now, 0
        if start is None or left_out <= 0:
            return []
        facts = {"left_out": left_out, "since": start.isoformat()}
        return [AuditEntry(now, "anyone", "any", "any", Outcome.DENIED, "", "sampled", facts)]
