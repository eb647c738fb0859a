"""Audit rows on their way to the server: in batches, at least once, none of a proven remote left out."""

import asyncio
import contextlib
import itertools
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

import structlog

from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.quota import Bucket
from isthmus.federator.ports import Clock, Fact, Overloaded, ReportRefused, ServerUnavailable
from isthmus.protocol.federator import MOST_ROWS, Cleared, Report, Row, Sighting, Suspicion

log = structlog.get_logger()

BATCH_SECONDS = 0.08
LEAST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
MOST_WAITING = 20_000
MOST_UNPROVEN = 5_000
UNPROVEN_RATE = 10.0
UNPROVEN_BURST = 200
SAMPLE_SECONDS = 1.0
MOST_SUSPICIONS = 1_000
MOST_SIGHTINGS = 10_000
LAST_SECONDS = 2.0
LONGEST_SHOWN = 1_000
LONGEST_TEXT = 400
ANYONE = "anyone"

Send = Callable[[Report], Awaitable[None]]
"""Brings a report to the server. Raises `ServerUnavailable`."""


class QueuedRows:
    """Holds what the server has not acknowledged. Rows of unproven callers are sampled above a rate, what is left out
    is counted exactly; of proven ones all are kept, and where there is no room for more, `tell` refuses."""

    def __init__(self, send: Send, clock: Clock) -> None:
        self._send, self._clock = send, clock
        self._rows: deque[Row] = deque()
        self._unproven_waiting = 0
        self._left_out: Counter[tuple[str, str]] = Counter()
        self._sample = Bucket(UNPROVEN_RATE, UNPROVEN_BURST)
        self._sightings: dict[tuple[str, str], Sighting] = {}
        self._suspicions: dict[tuple[str, str], Suspicion] = {}
        self._cleared: dict[tuple[str, str], Cleared] = {}
        self._news = asyncio.Event()
        self._counted_at = float("-inf")

    @property
    def has_room(self) -> bool:
        return len(self._rows) < MOST_WAITING

    @property
    def _waits(self) -> bool:
        return bool(self._rows or self._sightings or self._suspicions or self._cleared)

    def tell(self, fact: Fact) -> bool:
        if fact.proven is None:
            return self._tell_unproven(fact)
        if not self.has_room:
            # There is no room for the row, but its number is not lost.
            self._left_out[(fact.action, fact.reason)] += 1
            raise Overloaded(f"{len(self._rows)} audit rows wait for the server")
        self._append(fact)
        return True

    def sighted(self, domain: BackendDomain, instance: InstanceId) -> None:
        key = (domain, str(instance))
        if key in self._sightings or len(self._sightings) < MOST_SIGHTINGS:
            self._sightings[key] = Sighting(domain, str(instance), self._clock.now())
            self._news.set()

    def suspect(self, kind: str, domain: str, evidence: Mapping[str, Any]) -> None:
        key = (kind, domain)
        if key in self._suspicions or len(self._suspicions) < MOST_SUSPICIONS:
            self._suspicions[key] = Suspicion(kind, domain, self._clock.now(), dict(evidence))
            self._cleared.pop(key, None)
            self._news.set()

    def cleared(self, kind: str, domain: str) -> None:
        key = (kind, domain)
        if len(self._cleared) < MOST_SUSPICIONS:
            self._suspicions.pop(key, None)
            self._cleared[key] = Cleared(kind, domain)
            self._news.set()

    async def work(self) -> None:
        """Send what there is, for ever; what could not be sent is sent again."""
        pause = LEAST_PAUSE
        while True:
            await self._wait()
            try:
                await self._flush()
                pause = LEAST_PAUSE
            except ServerUnavailable as error:
                log.warning("audit rows wait for the server", rows=len(self._rows), error=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def finish(self) -> None:
        """The last try, when the process ends."""
        self._count_left_out(at_once=True)
        with contextlib.suppress(TimeoutError, ServerUnavailable):
            async with asyncio.timeout(LAST_SECONDS):
                while self._waits:
                    await self._flush()
        if self._rows:
            log.error("audit rows could not be brought to the server", rows=len(self._rows))

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            # Counters are told even when nothing else happens.
            async with asyncio.timeout(SAMPLE_SECONDS if self._left_out else None):
                await self._news.wait()
        self._news.clear()
        await asyncio.sleep(BATCH_SECONDS)
        self._count_left_out()

    async def _flush(self) -> None:
        rows = list(itertools.islice(self._rows, MOST_ROWS))
        sightings = dict(itertools.islice(self._sightings.items(), MOST_ROWS))
        suspicions = dict(itertools.islice(self._suspicions.items(), MOST_ROWS))
        cleared = dict(itertools.islice(self._cleared.items(), MOST_ROWS))
        if not (rows or sightings or suspicions or cleared):
            return
        try:
            await self._deliver(
                Report(rows, list(sightings.values()), list(suspicions.values()), list(cleared.values()))
            )
        except ServerUnavailable:
            self._news.set()
            raise
        for row in rows:
            self._rows.popleft()
            self._unproven_waiting -= row.actor == ANYONE
        _drop(self._sightings, sightings)
        _drop(self._suspicions, suspicions)
        _drop(self._cleared, cleared)
        if self._waits:
            self._news.set()

    async def _deliver(self, report: Report) -> None:
        """One row that the server does not take must not keep all others from it."""
        try:
            await self._send(report)
        except ReportRefused as refused:
            singles = [Report(rows=[row]) for row in report.rows]
            singles += [Report(sightings=[each]) for each in report.sightings]
            singles += [Report(suspicions=[each]) for each in report.suspicions]
            singles += [Report(cleared=[each]) for each in report.cleared]
            if len(singles) == 1:
                log.error("the server does not take a report", error=str(refused), report=repr(report)[:LONGEST_SHOWN])
                return
            for single in singles:
                await self._deliver(single)

    def _tell_unproven(self, fact: Fact) -> bool:
        if self._unproven_waiting < MOST_UNPROVEN and self.has_room and self._sample.take(time.monotonic()) == 0:
            self._unproven_waiting += 1
            self._append(fact)
            return True
        self._left_out[(fact.action, fact.reason)] += 1
        self._news.set()
        return False

    def _append(self, fact: Fact, left_out: int = 0) -> None:
        self._rows.append(
            Row(
                id=str(uuid4()),
                at=self._clock.now(),
                actor=fact.actor[:LONGEST_TEXT],
                action=fact.action,
                subject=fact.subject[:LONGEST_TEXT],
                outcome=fact.outcome,
                request_id=fact.request_id,
                reason=fact.reason,
                facts=dict(fact.facts),
                left_out=left_out,
            )
        )
        self._news.set()

    def _count_left_out(self, *, at_once: bool = False) -> None:
        """One row for each reason, at most once a second. There are as many reasons as we have words for."""
        if not self._left_out or not (at_once or time.monotonic() - self._counted_at >= SAMPLE_SECONDS):
            return
        self._counted_at = time.monotonic()
        for (action, reason), count in self._left_out.items():
            self._unproven_waiting += 1
            self._append(Fact(action, ANYONE, "", "denied", "", reason, {}), count)
        self._left_out.clear()


def _drop(waiting: dict[tuple[str, str], Any], sent: Mapping[tuple[str, str], Any]) -> None:
    """Forget what was sent, unless there is something newer by now."""
    for key, value in sent.items():
        if waiting.get(key) is value:
            del waiting[key]
