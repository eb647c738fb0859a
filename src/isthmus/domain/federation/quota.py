"""How much one remote may ask of us: rates with bursts, and how many requests at a time."""

from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.remote import Limits

MOST_KEYS = 10_000
REFUSED_SHARE = 0.1
"""Of its requests a second that may be refused, after a burst as large as that of all: whoever is refused more often
tries something, or is broken, and what it asks for costs an audit row each time."""


@dataclass(slots=True)
class Bucket:
    """Fills by `rate` a second up to `burst`. Times are seconds of one clock that never goes back."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.level = self.burst

    def wait(self, now: float) -> float:
        """Seconds until one can be taken, 0 if one can be taken now."""
        if self.at != float("-inf"):
            self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= 1:
            return 0.0
        return (1 - self.level) / self.rate if self.rate > 0 else float("inf")

    def take(self, now: float) -> float:
        """Take one if there is one; else the seconds until there is, and nothing is taken."""
        wait = self.wait(now)
        if wait == 0:
            self.level -= 1
        return wait


class Quota:
    """What one remote has used of its limits."""

    def __init__(self, limits: Limits) -> None:
        self.parallel = 0
        self.adjust(limits)

    def adjust(self, limits: Limits) -> None:
        """Other limits from now on. The buckets are full again; who is inside stays counted."""
        self.limits = limits
        self._requests = Bucket(limits.requests, limits.requests_burst)
        self._mutations = Bucket(limits.mutations, limits.mutations_burst)
        self._refusals = Bucket(limits.requests * REFUSED_SHARE, limits.requests_burst)
        self._codes: Counter[str] = Counter()

    def enter(self, now: float, *, changes: bool, is_vital: bool = False) -> None:
        """Count one request in; `leave` counts it out. Raises `Denied` with the bucket that is empty; then nothing was
        counted. A vital one passes however many were refused."""
        if self.parallel >= self.limits.parallel:
            raise _limited("parallel", 1)
        waits = {"requests": self._requests.wait(now)}
        if changes:
            waits["mutations"] = self._mutations.wait(now)
        if not is_vital:
            waits["refusals"] = self._refusals.wait(now)
        for bucket, wait in waits.items():
            if wait > 0:
                raise _limited(bucket, wait)
        self._requests.take(now)
        if changes:
            self._mutations.take(now)
        self.parallel += 1

    def refused(self, code: str, now: float) -> Mapping[str, int]:
        """Count one refusal. Where there were too many: how many of each code, since there was none for a while."""
        self._refusals.wait(now)
        if self._refusals.level >= self._refusals.burst:
            self._codes.clear()
        self._codes[code] += 1
        return dict(self._codes) if self._refusals.take(now) > 0 else {}

    def leave(self) -> None:
        self.parallel -= 1


def _limited(bucket: str, wait: float) -> Denied:
    seconds = max(1, int(min(wait + 0.999, 3600)))
    detail = f"the limit of {bucket} is reached: try again in {seconds} s"
    members = {"retry_after": seconds, "bucket": bucket}
    return Denied("rate_limited", "rate_limited", detail, members, facts={"bucket": bucket})


class Quotas:
    """One quota for each remote; a remote that was removed and added again starts afresh."""

    def __init__(self) -> None:
        self._quotas: OrderedDict[Hashable, Quota] = OrderedDict()

    def of(self, key: Hashable, limits: Limits) -> Quota:
        """The quota of `key`, with these limits."""
        found = self._quotas.get(key)
        if found is None:
            found = self._quotas[key] = Quota(limits)
        elif found.limits != limits:
            found.adjust(limits)
        self._quotas.move_to_end(key)
        while len(self._quotas) > MOST_KEYS:
            self._quotas.popitem(last=False)
        return found


class Strangers:
    """A rate for each leaf and each source that nothing is known of yet; the oldest are forgotten."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def take(self, key: Hashable, limits: Limits, now: float) -> float:
        """Seconds to wait; 0 counts one."""
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.rate, bucket.burst) != (limits.requests, limits.requests_burst):
            bucket = self._buckets[key] = Bucket(limits.requests, limits.requests_burst)
        self._buckets.move_to_end(key)
        while len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return bucket.take(now)
