"""Contexts: sealed by the own Federator a moment ago, for this component and this very request, and not used before."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.protocol.context import LIFE, Context, ContextInvalid, unseal
from isthmus.protocol.steady import since_start

# Both processes read the clock of one machine; this covers what its processors differ by, and then some.
SKEW_SECONDS = 2.0
MOST_REMEMBERED = 200_000
LONGEST_TEXT = 8 * 1024
SHORTEST_KEY = 32


@dataclass(eq=False)
class NoContext(Exception):
    """`reason` is for the audit log; the caller is told `context_invalid` and no more."""

    reason: str


class Crowded(Exception):
    """More contexts are to be remembered than there is room for, so none can be taken."""


class Seen:
    """The ids of contexts, each kept until long after it has expired."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def take(self, jti: str, now: float) -> bool:
        """Whether it is new; `now` is of a clock that is never set. Raises `Crowded`."""
        while self._ends and self._ends[0][0] <= now:
            self._ids.discard(heapq.heappop(self._ends)[1])
        if jti in self._ids:
            return False
        if len(self._ids) >= self._most:
            raise Crowded
        self._ids.add(jti)
        heapq.heappush(self._ends, (now + LIFE + 4 * SKEW_SECONDS, jti))
        return True


class Gate:
    """Checks contexts for one component with the key in `key_file`, which may be replaced at any time.

    What was sealed before this process began is refused: it may have been used with the one before, whose memory is
    gone.
    """

    def __init__(self, component: str, key_file: Path, clock: Callable[[], float] = since_start) -> None:
        self._component = component
        self._key_file = key_file
        self._clock = clock
        self._began = clock()
        self._seen = Seen()
        self._key: tuple[tuple[int, int], bytes] | None = None

    def read(self, text: str | None) -> Context:
        """The context in `text`, if it is a present one for this component. Raises `NoContext`."""
        if text is None:
            raise NoContext("context.missing")
        if len(text) > LONGEST_TEXT:
            raise NoContext("context.too_long")
        try:
            context = unseal(text, self._present_key(), self._component)
        except ContextInvalid:
            raise NoContext("context.signature") from None
        now = self._clock()
        if not context.iat <= now + SKEW_SECONDS or context.exp - context.iat > LIFE:
            raise NoContext("context.dates")
        if now >= context.exp:
            raise NoContext("context.expired")
        if context.iat < self._began:
            raise NoContext("context.epoch")
        return context

    def use(self, context: Context) -> None:
        """Once all else has been found right. Raises `NoContext` and `Crowded`."""
        if not self._seen.take(context.jti, since_start()):
            raise NoContext("context.used")

    def _present_key(self) -> bytes:
        try:
            status = self._key_file.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if self._key is None or self._key[0] != stamp:
                self._key = (stamp, self._key_file.read_bytes())
        except OSError:
            raise NoContext("context.no_key") from None
        if len(self._key[1]) < SHORTEST_KEY:
            # Anybody could seal with a key that is empty.
            raise NoContext("context.no_key")
        return self._key[1]
