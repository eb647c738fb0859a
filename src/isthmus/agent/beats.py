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
        peers = self.reports.draw(state) if state is not None else ()
        return Heartbeat(
            nonce=nonce,
            revision=self._applier.revision,
            host=self.reports.draw_host(facts.host()),
            peers=peers,
        )

    async def due(self) -> None:
        """Wait for the next heartbeat's time, or a little after an endpoint changed if that is earlier."""
        deadline = time.monotonic() + self._pace.until_heartbeat(self.interval)
        while (left := deadline - time.monotonic()) > 0:
            if not self._applier.reads_in_process:
                await asyncio.sleep(left)
                continue
            await asyncio.sleep(min(left, self._pace.until_look(self._look_took)))
            if await self._has_news():
                await asyncio.sleep(self._pace.debounce)
                return

    async def _has_news(self) -> bool:
        started = time.process_time()
        state = await self._applier.neighbours()
        self._look_took = time.process_time() - started
        return state is not None and self.reports.is_urgent(state)
