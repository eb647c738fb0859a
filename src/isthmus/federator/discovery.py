"""Discovery with a memory: both sides of the Federator ask here, and DNS is asked as seldom as the answers allow."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import Kept, LookupLimit, Record, kept, kept_absence, usable
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.view import View
from isthmus.federator.ports import Snapshots
from isthmus.federator.resolving import Answer, LookupFailed, Resolver, Tlsa

T = TypeVar("T")

Clock = Callable[[], float]
MOST_NAMES = 4096
RETRY_SECONDS = 5.0
PATIENCE_SECONDS = 0.1
"""What a lookup may take while an answer that has run out may stand in. A resolver that works is mostly quicker, so
that its newer answer, and above all a final no, counts at once."""


@dataclass(frozen=True, slots=True)
class Services:
    """The usable SRV records of a backend domain. `authenticated`: a validating resolver vouches for them."""

    records: tuple[Record, ...]
    authenticated: bool

    @property
    def names(self) -> frozenset[str]:
        """The infra domains that DNS names, pinned ones and others."""
        return frozenset(record.target for record in self.records)


NOBODY = Services((), authenticated=False)
ANY_PORT = range(1, 65536)
"""Who calls us proves a name. At which port we would dial it does not matter then."""


class _Memory(Generic[T]):
    """The answers to one kind of question, by name. One lookup serves all who wait for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, Kept[Answer[T]]] = {}
        self._limits: dict[str, LookupLimit] = {}
        self._under_way: dict[str, asyncio.Task[Answer[T]]] = {}

    async def find(self, name: str, ask: Callable[[], Awaitable[Answer[T]]], *, pinned: bool) -> Answer[T]:
        """The answer; none that runs out is used longer but for a `pinned` mapping. Raises `Denied`."""
        known = self._kept.get(name)
        if known is not None and known.is_fresh(self._clock()):
            return known.answer or Answer(())
        try:
            lookup = self._lookup(name, ask)
            if pinned and known is not None and known.may_serve_stale(self._clock()):
                await asyncio.wait({lookup}, timeout=PATIENCE_SECONDS)
                if not lookup.done() and (stale := self._stand_in(name)) is not None:
                    return stale
            # Whoever gives up waiting leaves the lookup to the others.
            return await asyncio.shield(lookup)
        except (_Limited, LookupFailed) as failure:
            # Another call may have replaced it meanwhile, by a final "there is none" too.
            stale = self._stand_in(name) if pinned else None
            if stale is None:
                raise _unavailable(name, failure) from None
            return stale

    def _stand_in(self, name: str) -> Answer[T] | None:
        """The answer that has run out, if it may be used; for a moment nobody tries to replace it then."""
        known, now = self._kept.get(name), self._clock()
        if known is None or not known.may_serve_stale(now):
            return None
        if not known.is_fresh(now):
            self._kept[name] = known.put_off(now)
        return known.answer

    def _lookup(self, name: str, ask: Callable[[], Awaitable[Answer[T]]]) -> asyncio.Task[Answer[T]]:
        """The lookup that is under way, or a new one, which goes on whoever waits for it. Raises `_Limited`."""
        task = self._under_way.get(name)
        if task is None:
            wait = self._limit(name).wait(self._clock())
            if wait:
                raise _Limited(name, wait)
            task = asyncio.create_task(self._ask(name, ask))
            self._under_way[name] = task
            task.add_done_callback(partial(self._done, name))
        return task

    async def _ask(self, name: str, ask: Callable[[], Awaitable[Answer[T]]]) -> Answer[T]:
        answer = await ask()
        now = self._clock()
        self._make_room(now)
        self._kept[name] = kept(answer, answer.ttl, now) if answer.items else kept_absence(now)
        return answer

    def _done(self, name: str, task: asyncio.Task[Answer[T]]) -> None:
        self._under_way.pop(name, None)
        # Somebody has to look at it, even if all who waited have gone.
        if not task.cancelled():
            task.exception()

    def _limit(self, name: str) -> LookupLimit:
        if len(self._limits) > MOST_NAMES:
            self._limits.clear()
        return self._limits.setdefault(name, LookupLimit())

    def _make_room(self, now: float) -> None:
        if len(self._kept) < MOST_NAMES:
            return
        self._kept = {name: known for name, known in self._kept.items() if now < known.stale_until}
        while len(self._kept) >= MOST_NAMES:
            self._kept.pop(next(iter(self._kept)))

    def expire(self, name: str) -> None:
        """Ask anew next time, if the limit lets us."""
        self._kept.pop(name, None)

    def forget(self) -> None:
        self._kept.clear()
        self._limits.clear()

    async def close(self) -> None:
        """End the lookups that nobody waits for any more: none may outlive its loop."""
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)


class _Limited(Exception):
    def __init__(self, name: str, wait: float) -> None:
        super().__init__(f"DNS was asked too often for {name}")
        self.wait = wait


def _unavailable(name: str, failure: _Limited | LookupFailed) -> Denied:
    why, wait = ("limited", failure.wait) if isinstance(failure, _Limited) else ("failed", RETRY_SECONDS)
    return Denied(
        "discovery_unavailable",
        f"discovery.{why}",
        f"DNS gave no answer for {name} that counts",
        members={"retry_after": max(1, round(wait))},
        facts={"name": name, "dns": str(failure)[:300]},
    )


class Discovery:
    """Finds remotes in DNS. `clock` counts seconds and never goes back. Whoever makes one closes it."""

    def __init__(self, resolver: Resolver, clock: Clock = time.monotonic) -> None:
        self._resolver = resolver
        self._services = _Memory[Record](clock)
        self._addresses = _Memory[IPAddress](clock)
        self._associations = _Memory[Tlsa](clock)

    async def services(self, domain: str, service: str, ports: Collection[int], *, pinned: bool) -> Services:
        """Where `domain` offers the service of that label. `pinned`: its entry says which answers count, so an old one
        does no harm. Raises `Denied`: `discovery_no_service`, `discovery_unavailable`, `target_denied`."""
        name = f"_{service}._tcp.{domain}"
        answer = await self._services.find(name, partial(self._resolver.services, name), pinned=pinned)
        return Services(tuple(usable(answer.items, ports)), answer.authenticated)

    async def addresses(self, host: str, *, pinned: bool) -> Answer[IPAddress]:
        """The addresses of a target. Raises `Denied`: `target_denied` for an alias (RFC 2782 forbids it),
        `discovery_no_service` when it has none, `discovery_unavailable`."""
        answer = await self._addresses.find(host, partial(self._resolver.addresses, host), pinned=pinned)
        if answer.alias:
            detail = f"the SRV target {host} is an alias (CNAME)"
            raise Denied("target_denied", "target.alias", detail, facts={"target": host})
        if not answer.items:
            raise Denied("discovery_no_service", "discovery.no_address", f"{host} has no address")
        return answer

    async def associations(self, host: str, port: int, *, pinned: bool) -> Answer[Tlsa]:
        """The TLSA records of a target; maybe none. Raises `Denied` with `discovery_unavailable`."""
        name = f"_{port}._tcp.{host}"
        return await self._associations.find(name, partial(self._resolver.associations, name), pinned=pinned)

    def expire(self, domain: str, service: str) -> None:
        """Whoever looks for a fault wants to see what DNS says now: of `domain`, and then of each target."""
        self._services.expire(f"_{service}._tcp.{domain}")

    def expire_host(self, host: str) -> None:
        self._addresses.expire(host)

    def forget(self) -> None:
        """Ask anew: the settings of discovery are others."""
        for memory in (self._services, self._addresses, self._associations):
            memory.forget()

    async def close(self) -> None:
        await asyncio.gather(self._services.close(), self._addresses.close(), self._associations.close())


class RemoteDiscovery:
    """`isthmus.federator.ports.Discovery`: where remotes are reached."""

    def __init__(self, discovery: Discovery, snapshots: Snapshots, resolver: Resolver) -> None:
        self._discovery, self._snapshots, self._resolver = discovery, snapshots, resolver

    async def targets(self, domain: BackendDomain, view: View) -> Services:
        """By that snapshot, whatever has become of the remote since. Odd targets, and what no resolver vouches for
        where the entry asks for that, are as good as none. Raises `Denied`: `discovery_no_service`,
        `discovery_unavailable`."""
        known = view.find(domain)
        if known is None:
            raise Denied("discovery_no_service", "not_listed", f"{domain} is not on the allow list")
        try:
            found = await self._discovery.services(domain, view.service, ANY_PORT, pinned=bool(known.infra_domains))
        except Denied as denied:
            if denied.code != "target_denied":
                raise
            return NOBODY
        return NOBODY if known.needs_dnssec and not found.authenticated else found

    async def is_ready(self) -> bool:
        """Whether the resolver answers: it is asked for our own records, which need not exist."""
        view = self._snapshots.current
        name = f"_{view.service}._tcp.{view.domain}" if view is not None else "_tcp.invalid"
        try:
            await self._resolver.services(name)
        except LookupFailed:
            return False
        return True
