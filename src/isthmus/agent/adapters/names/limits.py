"""What one client, and all of them together, may ask at a time. Times in seconds of one clock, whichever it is."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

RATE_PER_SECOND = 500.0
BURST = 1_000.0
REMEMBERED_CLIENTS = 4_096


class Rates:
    """A bucket of queries for each client, filled at a steady rate."""

    def __init__(self, rate: float = RATE_PER_SECOND, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, client: str, now: float) -> bool:
        """Whether one more query of `client` is within its rate; it counts if so."""
        left, at = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._buckets[client] = (max(0.0, left - 1), now)
        if len(self._buckets) > REMEMBERED_CLIENTS:
            # Who has not asked for longest has a full bucket again anyway.
            self._buckets.popitem(last=False)
        return left >= 1


class Places:
    """Things that go on at the same time, `each` for one client and `total` for all."""

    def __init__(self, each: int, total: int) -> None:
        self._each = each
        self._total = total
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str) -> Iterator[bool]:
        """Holds a place while the block runs, if there is one: the value tells."""
        if self._taken[client] >= self._each or self._taken.total() >= self._total:
            yield False
            return
        self._taken[client] += 1
        try:
            yield True
        finally:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]
