"""What goes into a heartbeat, and when the next one is due."""

import asyncio
import time

from isthmus.agent import facts
from isthmus.agent.apply import Applier
from isthmus.agent.pace import Pace
from isthmus.agent.reports import Reports
from isthmus.protocol.agent import HEARTBEAT_SECONDS, Heartbeat


class Beats:
    """Reports of one interface. `interval` is what the server asked for, in seconds."""

    def __init__(self, applier: Applier, pace: Pace) -> None:
        self.interval: float = HEARTBEAT_SECONDS
        self.reports = Reports()
        self._applier = applier
        self._pace = pace
        self._look_took = 0.0

    async def heartbeat(self, nonce: str) -> Heartbeat:
        state = await self._applier.neighbours()
        host = self.reports.draw_host(facts.host())
        if state is None:
            return Heartbeat(nonce=nonce, revision=self._applier.revision, host=host)
        found_at = tuple(map(str, self._applier.candidates(state)))
        return Heartbeat(
            nonce=nonce,
            revision=self._applier.revision,
            host=host,
            peers=self.reports.draw(state),
            candidates=self.reports.draw_candidates(found_at),
            paths=self.reports.draw_paths(self._applier.guide.reports()),
            flows=self.reports.draw_flows(self._applier.flows()),
        )

    async def due(self) -> None:
        """Wait for the next heartbeat's time, or a little after an endpoint or a way changed if that is earlier."""
        deadline = time.monotonic() + self._pace.until_heartbeat(self.interval)
        while (left := deadline - time.monotonic()) > 0:
            looks = self._applier.reads_in_process
            pause = min(left, self._pace.until_look(self._look_took)) if looks else left
            if await self._moved(pause) or (looks and await self._has_news()):
                await asyncio.sleep(self._pace.debounce)
                return

    async def _moved(self, pause: float) -> bool:
        """Wait so long for packets to take another way; whether they do and the server was not told."""
        try:
            async with asyncio.timeout(pause):
                await self._applier.moved.wait()
        except TimeoutError:
            return False
        self._applier.moved.clear()
        return self.reports.has_moved(self._applier.guide.reports())

    async def _has_news(self) -> bool:
        started = time.process_time()
        # While ways are looked after, others look anyway.
        state = await self._applier.neighbours(within=self._pace.watch)
        self._look_took = time.process_time() - started
        return state is not None and self.reports.is_urgent(state)
