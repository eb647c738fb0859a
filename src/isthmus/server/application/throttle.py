"""Counts failed attempts by key within a window, with a bound on how many keys are remembered."""

from collections import OrderedDict
from datetime import datetime, timedelta

MOST_KEYS = 10_000


class Throttle:
    """At most `limit` failures of one key in `window`; the oldest key is forgotten when there are too many."""

    def __init__(self, limit: int, window: timedelta) -> None:
        self._limit = limit
        self._window = window
        self._failures: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def wait(self, key: str, now: datetime) -> int:
        """Seconds until `key` may try again; 0 means now."""
        since, count = self._failures.get(key, (now, 0))
        end = since + self._window
        return 0 if count < self._limit or now >= end else int((end - now).total_seconds()) + 1

    def failed(self, key: str, now: datetime) -> int:
        """Note one more failure and return how many there were in this window."""
        since, count = self._failures.pop(key, (now, 0))
        if now >= since + self._window:
            since, count = now, 0
        self._failures[key] = (since, count + 1)
        if len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)
        return count + 1

    def take_back(self, key: str) -> None:
        """One of the failures was none."""
        since, count = self._failures.get(key, (None, 0))
        if since is not None and count > 1:
            self._failures[key] = (since, count - 1)
        else:
            self.forget(key)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)
