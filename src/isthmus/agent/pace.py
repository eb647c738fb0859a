"""When the agent does things: every duration of the loop, in seconds, and the only randomness."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from isthmus.protocol.agent import HEARTBEAT_JITTER

# Reading an interface takes longer the more neighbours it has: it is done this share of the time at most.
WATCH_SHARE = 0.001
CALM_SHARE = 0.0015
QUICK_SHARE = 0.02


@dataclass(frozen=True)
class Pace:
    """`spread` draws from a range. `answer` is how long the server may take, `https_only` how long no stream is tried
    after several failed, `retry_apply` the pause before a config that could not be applied is tried again, `blocked`
    about how long a blocked agent waits before it asks again.

    The ways of packets are looked at every `quick` seconds while something may happen, else every `calm` seconds, and
    more rarely where a look starts a program; round trips are measured every `measure` seconds. `refused` is about how
    long a host waits that was given no leaf.
    """

    spread: Callable[[float, float], float]
    first_pause: float = 1.0
    longest_pause: float = 60.0
    answer: float = 15.0
    debounce: float = 1.0
    watch: float = 1.0
    retry_apply: float = 30.0
    https_only: float = 600.0
    blocked: float = 60.0
    quick: float = 0.08
    quick_by_program: float = 1.0
    calm: float = 1.0
    calm_by_program: float = 5.0
    measure: float = 60.0
    look_at_instance: float = 5.0
    refused: float = 300.0

    def pause(self, failures: int) -> float:
        """Exponential back-off with full jitter."""
        return self.spread(0.0, min(self.longest_pause, self.first_pause * 2.0 ** min(failures, 16)))

    def while_blocked(self) -> float:
        return self.blocked * self.spread(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)

    def while_refused(self) -> float:
        return self.refused * self.spread(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)

    def until_heartbeat(self, interval: float) -> float:
        return interval * self.spread(1 - HEARTBEAT_JITTER, 1 + HEARTBEAT_JITTER)

    def until_look(self, last_look_took: float) -> float:
        return max(self.watch, last_look_took / WATCH_SHARE)

    def until_quick_look(self, last_look_took: float, *, in_process: bool) -> float:
        return max(self.quick, last_look_took / QUICK_SHARE) if in_process else self.quick_by_program

    def until_calm_look(self, last_look_took: float, *, in_process: bool) -> float:
        return max(self.calm, last_look_took / CALM_SHARE) if in_process else self.calm_by_program


async def race(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, which ends the others; its failure is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
