"""Crossings in the course of time: what expires is closed at that moment, and what a change of a network's own peers
means for its bridges is made true a moment later."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.ids import NetworkId
from isthmus.server.application.crossings import recompile, recompile_remote
from isthmus.server.crossing_records import BRIDGE_CHANGED
from isthmus.server.ports import Clock, Listeners, Store, Transaction
from isthmus.server.records import Commit

# How long what another server of the same database was told may stay unknown here: less than the shortest grant lives.
LOOK_SECONDS = 30.0
# Where grants come by the hundred, not each of them is a reason to look for the next end.
PAUSE_SECONDS = 1.0
# What heartbeats bring all the time and no crossing depends on.
PASSED_OVER = frozenset({BRIDGE_CHANGED, "peer.endpoints", "network.checkpoint", "network.deleted"})
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class CrossingWatch:
    """`_ends` has the next end of something that each remote has; `_bridged` are the networks with bridges."""

    def __init__(self, store: Store, clock: Clock, listeners: Listeners) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._wake = asyncio.Event()
        self._ends: dict[BackendDomain, datetime] = {}
        self._bridged: set[NetworkId] = set()
        self._due: set[NetworkId] = set()
        self._looked_at = LONG_AGO
        self._look_at = LONG_AGO

    async def follow(self, tx: Transaction, domain: BackendDomain) -> Callable[[], None]:
        """A remote, its bridges or its grants were changed in this transaction."""
        return partial(self._followed, await recompile_remote(tx, domain, self._clock.now()))

    def _followed(self, commits: Iterable[Commit]) -> None:
        self.tell(commits)
        self._look_soon()

    def tell(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            self._listeners.changed(commit)

    def changed(self, commit: Commit) -> None:
        """Look again at what depends on a commit; called after it."""
        if commit.event == BRIDGE_CHANGED:
            self._bridged.add(commit.network_id)
            self._look_soon()
        elif commit.event not in PASSED_OVER:
            self.look_at(commit.network_id)

    def look_at(self, network_id: NetworkId) -> None:
        """Something that its crossings depend on is another now."""
        if network_id in self._bridged:
            self._due.add(network_id)
            self._wake.set()

    def _look_soon(self) -> None:
        """What is new may end before all that was known."""
        self._look_at = min(self._look_at, self._looked_at + timedelta(seconds=PAUSE_SECONDS))
        self._wake.set()

    async def work(self) -> None:
        """Wait until something is due, and do it."""
        seconds = (self._next() - self._clock.now()).total_seconds()
        # `wait_for` would lose a cancellation that comes with the wake, and the server would not stop.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(seconds, LOOK_SECONDS))):
                await self._wake.wait()
        self._wake.clear()
        await self.turn()

    def _next(self) -> datetime:
        return min([self._look_at, *self._ends.values()])

    async def turn(self) -> None:
        """Do what is due by now. What the store does not take stays due."""
        if self._clock.now() >= self._look_at:
            await self._look()
        now = self._clock.now()
        for domain in [domain for domain, end in self._ends.items() if end <= now]:
            async with self._store.transaction() as tx:
                commits = await recompile_remote(tx, domain, now)
            del self._ends[domain]
            # Something of it may end next.
            self._look_at = now
            self.tell(commits)
        while self._due:
            network_id = min(self._due)
            async with self._store.transaction() as tx:
                commits = await recompile(tx, [network_id], self._clock.now())
            self._due.discard(network_id)
            self.tell(commits)

    async def _look(self) -> None:
        """Read what ends next. At the first look, all that has ended while nobody looked is due."""
        now = self._clock.now()
        ends: dict[BackendDomain, datetime] = {}
        async with self._store.reading() as tx:
            bridges = await tx.bridges.all_live()
            found = [(remote.domain, remote.expires_at) for remote in await tx.remotes.all()]
            found += [(grant.remote, grant.expires_at) for grant in await tx.grants.live(now)]
            found += [(grant.remote, grant.expires_at) for grant in await tx.held_grants.live(now)]
        with_bridge = {bridge.remote for bridge in bridges}
        for domain, end in found:
            if domain in with_bridge and end is not None and end > now:
                ends[domain] = min(end, ends.get(domain, end))
        # Those whose turn has come keep it.
        self._ends = ends | {domain: end for domain, end in self._ends.items() if end <= now}
        self._bridged = {bridge.network_id for bridge in bridges if bridge.network_id is not None}
        if self._looked_at == LONG_AGO:
            self._due |= self._bridged
        self._looked_at, self._look_at = now, now + timedelta(seconds=LOOK_SECONDS)
