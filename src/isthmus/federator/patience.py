"""How long a remote is left alone that does not answer, and how many calls may be under way."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

from isthmus.domain.federation.backoff import ANSWERING, Standing
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from isthmus.federator.calling import CallFailed
from isthmus.federator.judging import RemoteSaidNo

OUT_OF_REACH = frozenset(
    {"remote_refused", "remote_timeout", "remote_tls_failed", "remote_identity_mismatch", "remote_protocol_error"}
)
DOWN = frozenset({502, 503, 504})
ASKS_TO_WAIT = frozenset({429, 503})
MOST_REMOTES = 4096

RANDOM = random.SystemRandom()

PARALLEL = 32
WAITING = 128
IN_ALL = 512


class Patience:
    """The standing of each remote."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = RANDOM.random) -> None:
        self._clock, self._draw = clock, draw
        self._standings: dict[BackendDomain, Standing] = {}

    def admit(self, domain: BackendDomain) -> None:
        """Raises `Denied` with `remote_backoff`."""
        standing = self._standings.get(domain)
        if standing is not None:
            self._standings[domain] = standing.admit(self._clock())

    def answered(self, domain: BackendDomain) -> None:
        self._standings.pop(domain, None)

    def failed(self, domain: BackendDomain, failure: CallFailed) -> None:
        """An answer shows that the remote is there whatever it says, but for those of a proxy before a dead one."""
        now, standing = self._clock(), self._standings.get(domain, ANSWERING)
        if isinstance(failure, RemoteSaidNo):
            status, code = failure.told.nested.status, failure.told.nested.code
            # One that says of itself that it is overloaded is there, and is asked again when it wants to be.
            is_down = status in DOWN and code != "overloaded"
            standing = standing.after_failure(now, self._draw()) if is_down else ANSWERING
            if failure.retry_after is not None and status in ASKS_TO_WAIT:
                standing = standing.after_request_to_wait(now, failure.retry_after)
        elif failure.code in OUT_OF_REACH:
            standing = standing.after_failure(now, self._draw())
        self._keep(domain, standing)

    def forget(self, domain: BackendDomain) -> None:
        self._standings.pop(domain, None)

    def _keep(self, domain: BackendDomain, standing: Standing) -> None:
        if standing == ANSWERING:
            self._standings.pop(domain, None)
            return
        while len(self._standings) >= MOST_REMOTES and domain not in self._standings:
            self._standings.pop(next(iter(self._standings)))
        self._standings[domain] = standing


class Crowd:
    """Calls under way: so many to one remote, as many again wait for one of them to end, so many in all."""

    def __init__(self, parallel: int = PARALLEL, waiting: int = WAITING, in_all: int = IN_ALL) -> None:
        self._parallel, self._waiting, self._in_all = parallel, waiting, in_all
        self._inside: dict[BackendDomain, int] = defaultdict(int)
        self._gates: dict[BackendDomain, asyncio.Semaphore] = {}

    @contextlib.asynccontextmanager
    async def room(self, domain: BackendDomain) -> AsyncIterator[None]:
        """Room for one call while the block runs. Raises `Denied` with `overloaded`."""
        if sum(self._inside.values()) >= self._in_all or self._inside[domain] >= self._parallel + self._waiting:
            detail = (
                f"too many calls to {domain} are under way" if self._inside[domain] else "too many calls are under way"
            )
            raise Denied("overloaded", "no_room", detail, members={"retry_after": 1})
        gate = self._gates.setdefault(domain, asyncio.Semaphore(self._parallel))
        self._inside[domain] += 1
        try:
            async with gate:
                yield
        finally:
            self._inside[domain] -= 1
            if not self._inside[domain]:
                del self._inside[domain]
                del self._gates[domain]
