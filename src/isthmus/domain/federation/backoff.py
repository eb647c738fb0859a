"""When a remote that does not answer is tried again: a breaker with full jitter, and a remote's own word on waiting."""

from dataclasses import dataclass, replace

from isthmus.domain.federation.denial import Denied

FAILURES = 5
LEAST_WAIT = 1.0
MOST_WAIT = 300.0
PROBE_SECONDS = 10.0
"""While one call tries whether the remote is back, the others wait for its outcome."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a remote has answered lately. A fresh one is that of a remote that answers. Times are in seconds."""

    failures: int = 0
    shut_until: float = 0.0

    def admit(self, now: float) -> "Standing":
        """The standing with one more call under way. Raises `Denied` with `remote_backoff` and the time to wait."""
        if now < self.shut_until:
            wait = max(1, round(self.shut_until - now + 0.5))
            detail = f"the remote did not answer {self.failures} times; the next attempt is in {wait} s"
            if self.failures < FAILURES:
                detail = f"the remote asked to be left alone for another {wait} s"
            raise Denied("remote_backoff", detail=detail, members={"retry_after": wait})
        if self.failures >= FAILURES:
            return replace(self, shut_until=now + PROBE_SECONDS)
        return self

    def after_failure(self, now: float, draw: float) -> "Standing":
        """`draw` is random, from 0 up to 1."""
        failures = min(self.failures + 1, FAILURES + 16)
        if failures < FAILURES:
            return replace(self, failures=failures)
        longest = min(MOST_WAIT, LEAST_WAIT * 2.0 ** (failures - FAILURES + 1))
        return Standing(failures, now + LEAST_WAIT + draw * (longest - LEAST_WAIT))

    def after_request_to_wait(self, now: float, seconds: float) -> "Standing":
        """The remote answered, with `Retry-After`."""
        return replace(self, shut_until=max(self.shut_until, now + min(max(seconds, LEAST_WAIT), MOST_WAIT)))


ANSWERING = Standing()
"""After an answer, and after the remote has been heard of."""
