"""The time as a process may believe it: the clock of the machine, as long as that does not jump."""

import time
from collections.abc import Callable

MOST_STEP = 30.0
"""Seconds that the clock may be set by at once, as a time service does now and then, and still be believed."""


def since_start() -> float:
    """Seconds since the machine started, the time that it slept included. Nobody can set it, and all processes of the
    machine read the same."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Goes on as if nothing had happened when the clock of the machine is set by more than `MOST_STEP`, and follows it
    again once that has been put right. A clock that was wrong when the process started is believed once it is started
    again."""

    def __init__(self, wall: Callable[[], float] = time.time, counter: Callable[[], float] = since_start) -> None:
        self._wall, self._counter = wall, counter
        self._time, self._at = wall(), counter()

    def now(self) -> float:
        """Unix seconds."""
        return self._look()[0]

    @property
    def jump(self) -> float:
        """By how many seconds the machine's clock is ahead of where it should be, negative for behind; 0.0 while it is
        to be believed."""
        return self._look()[1]

    def _look(self) -> tuple[float, float]:
        wall, counter = self._wall(), self._counter()
        expected = self._time + counter - self._at
        if abs(wall - expected) > MOST_STEP:
            return expected, wall - expected
        self._time, self._at = wall, counter
        return wall, 0.0
