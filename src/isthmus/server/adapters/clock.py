"""The time, ids that sort by it, and both under the names of their ports."""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from isthmus.protocol.steady import SteadyClock


class SystemClock:
    """Not led astray when somebody sets the clock of the machine: nothing then ends early, or counts once more."""

    def __init__(self) -> None:
        self._steady = SteadyClock()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._steady.now(), UTC)


class TimeOrderedIds:
    """UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds, then a counter of 12 bits within one, then chance.

    Ids of one process always grow, also when its clock steps back.
    """

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> UUID:
        self._last = max(self._last + 1, (time.time_ns() // 1_000_000) << 12)
        milliseconds, counter = self._last >> 12, self._last & 0xFFF
        number = milliseconds << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
        return UUID(int=number)
