"""Keeps the ways of packets: looks at the neighbours as often as something may happen, decides, moves, probes."""

import asyncio
import time
from collections.abc import Iterator

import structlog

from isthmus.agent.apply import Applier
from isthmus.agent.desired import Desired
from isthmus.agent.errors import ToolFailed
from isthmus.agent.pace import Pace
from isthmus.agent.paths import Paths
from isthmus.agent.ports import Probes
from isthmus.agent.pulse import Moment
from isthmus.agent.ways import Ways
from isthmus.domain.addresses import IPAddress
from isthmus.protocol.agent import PathReport
from isthmus.wireguard.state import InterfaceState

log = structlog.get_logger()

MOST_MEASURED = 16


class Roads:
    """The guide of an applier while its agent runs."""

    def __init__(self, applier: Applier, pace: Pace, probes: Probes, paths: Paths | None = None) -> None:
        self.paths = paths or Paths()
        self._applier = applier
        self._pace = pace
        self._probes = probes
        self._changed = asyncio.Event()
        self._round_trips: dict[IPAddress, int] = {}
        self._measured_at = float("-inf")
        applier.guide = self

    def follow(self, desired: Desired, state: InterfaceState | None) -> Desired:
        self._changed.set()
        return self.paths.follow(desired, state, now(), self._applier.keys.present.public())

    def look(self, state: InterfaceState) -> Iterator[Desired]:
        answers = self._probes.take()
        self._round_trips |= answers
        before = self.paths.ways()
        yield from self.paths.step(state, now(), answers)
        self._tell(before, self.paths.ways())

    def reports(self) -> list[PathReport]:
        return self.paths.reports(self._round_trips)

    async def run(self) -> None:
        """For ever. At rest a look is rare, and where there is only one way there is none."""
        while True:
            started = time.process_time()
            try:
                await self._applier.steer()
            except ToolFailed as error:
                log.warning("the neighbours could not be looked at", error=str(error))
            self._probe()
            await self._rest(time.process_time() - started)

    def _probe(self) -> None:
        at = now()
        addresses = self.paths.probes(at)
        if at.mono - self._measured_at >= self._pace.measure:
            self._measured_at = at.mono
            addresses += self.paths.in_use(at, MOST_MEASURED)
            self._forget_strangers()
        for address in addresses:
            self._probes.send(address)

    def _forget_strangers(self) -> None:
        known = self.paths.addresses()
        self._round_trips = {address: took for address, took in self._round_trips.items() if address in known}

    async def _rest(self, took: float) -> None:
        at, in_process = now(), self._applier.reads_in_process
        if self.paths.is_searching(at):
            pause = self._pace.until_quick_look(took, in_process=in_process)
        elif self.paths.is_needed:
            pause = min(self._pace.until_calm_look(took, in_process=in_process), self.paths.until_due(at) + 0.01)
        else:
            pause = self._pace.measure
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _tell(self, before: Ways, after: Ways) -> None:
        for key in after.open - before.open:
            log.info("direct path open", peer=self.paths.name(key), key=str(key))
        for key in before.open - after.open:
            log.info("direct path closed", peer=self.paths.name(key), key=str(key), reason=self.paths.roads[key].why)
        if after.jump != before.jump:
            serving = self.paths.failover.serving
            log.warning("another jump peer serves", peer=self.paths.name(serving) if serving else None)
        if (after.open, after.jump) != (before.open, before.jump):
            self._applier.moved.set()


def now() -> Moment:
    """Durations count the time in which a host sleeps, as those of WireGuard do."""
    return Moment(time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
