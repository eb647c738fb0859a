"""For how long what bridges opened stays open: until some seconds after the server was heard last."""

import time
from collections.abc import Callable

from isthmus.agent import facts
from isthmus.agent.state import Heard, StateDir

KEPT_EVERY = 10.0
"""Seconds after which the time is written down anew: a restarted agent counts at most so many too few."""


def since_boot() -> float:
    """Seconds, those included in which the host slept. Nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One for all bridges of an interface. A boot ends it, as it ends the tunnel."""

    def __init__(self, state: StateDir, clock: Callable[[], float] = since_boot) -> None:
        self._state = state
        self._clock = clock
        self._boot_id = facts.boot_id()
        heard = state.heard()
        is_known = heard is not None and heard.boot_id == self._boot_id and heard.at <= clock()
        self._heard_at = heard.at if heard is not None and is_known else float("-inf")
        self._kept_at = self._heard_at

    def renew(self) -> None:
        """The server was heard just now."""
        self._heard_at = self._clock()

    def keep(self) -> None:
        """Write down when the server was heard, unless that was done a moment ago."""
        if self._heard_at - self._kept_at >= KEPT_EVERY:
            self._kept_at = self._heard_at
            self._state.save_heard(Heard(self._boot_id, self._heard_at))

    def left(self, seconds: float) -> float:
        """What is left of a lease of so many seconds; nothing once it is 0 or less."""
        return self._heard_at + seconds - self._clock()
