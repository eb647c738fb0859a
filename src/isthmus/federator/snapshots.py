"""The newest snapshot of the server, laid out for quick questions, and how old it may grow."""

import asyncio
import contextlib
import time
from base64 import b64decode
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from uuid import UUID

from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Direction, Limits, State, Strategy, Trust
from isthmus.domain.federation.view import Bridged, Credential, Known, Revoked, View
from isthmus.protocol import federator as wire


class NewestSnapshot:
    """Holds one snapshot. While it is confirmed within `life` seconds it counts; after that there is none."""

    def __init__(self, life: float = wire.SNAPSHOT_LIFE, clock: Callable[[], float] = time.monotonic) -> None:
        self.life = life
        self._clock = clock
        self._view: View | None = None
        self._confirmed_at = float("-inf")
        self._listeners: list[Callable[[View], None]] = []

    @property
    def current(self) -> View | None:
        """What to decide by. None before the first snapshot, and when the last one is too old."""
        return self._view if self.age <= self.life else None

    @property
    def generation(self) -> int:
        return self._view.generation if self._view is not None else 0

    @property
    def age(self) -> float:
        """Seconds since the server last said that this is the newest."""
        return self._clock() - self._confirmed_at

    def subscribe(self, listener: Callable[[View], None]) -> None:
        """`listener` is called with every new snapshot, and with the present one if there is one."""
        self._listeners.append(listener)
        if self._view is not None:
            listener(self._view)

    def take(self, snapshot: wire.Snapshot) -> None:
        """Adopt it, wholly. Raises `ValueError` when it cannot be read; the former one then stays."""
        view = parse(snapshot)
        self.confirm()
        if view == self._view:
            return
        self._view = view
        for listener in self._listeners:
            listener(view)

    async def first(self, seconds: float) -> None:
        """Wait until there is one, but no longer than that."""
        there = asyncio.Event()
        self.subscribe(lambda view: there.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await there.wait()

    def confirm(self) -> None:
        """The server has answered that there is nothing newer."""
        self._confirmed_at = self._clock()


def parse(snapshot: wire.Snapshot) -> View:
    """Raises `ValueError` for what is no base64, no UUID and the like."""
    roots = _all_base64(snapshot.shared_roots)
    return View(
        generation=snapshot.generation,
        domain=BackendDomain(snapshot.domain),
        infra_domains=tuple(InfraDomain(name) for name in snapshot.infra_domains),
        strategy=Strategy(snapshot.strategy),
        remotes={BackendDomain(entry.domain): _known(entry, roots) for entry in snapshot.entries},
        shared_roots=roots,
        own_authorities=_all_base64(snapshot.own_authorities),
        own_revoked=frozenset(_all_base64(snapshot.own_revoked)),
        versions=tuple(snapshot.versions),
        service=snapshot.service,
        ports=frozenset(snapshot.ports),
        bundle_sequence=snapshot.bundle_sequence,
        stranger_limits=_limits(snapshot.stranger_limits),
        denied=frozenset(map(ip_address, snapshot.denied_addresses)),
        listeners=snapshot.listeners,
        overlays=tuple(map(ip_network, snapshot.overlays)),
    )


def _known(entry: wire.Entry, roots: tuple[bytes, ...]) -> Known:
    trust = Trust(entry.trust)
    return Known(
        domain=BackendDomain(entry.domain),
        generation=entry.generation,
        state=State(entry.state),
        direction=Direction(entry.direction),
        trust=trust,
        infra_domains=frozenset(InfraDomain(name) for name in entry.infra_domains),
        authorities=roots if trust is Trust.SHARED else _all_base64(entry.authorities),
        message_keys={key_id: b64decode(key, validate=True) for key_id, key in entry.message_keys.items()},
        bundle_sequence=entry.bundle_sequence,
        limits=_limits(entry.limits),
        components=None if entry.components is None else frozenset(entry.components),
        expires_at=entry.expires_at,
        needs_dnssec=entry.needs_dnssec,
        needs_tlsa=entry.needs_tlsa,
        instances=None if entry.instances is None else _instances(entry.instances),
        blocked=_instances(entry.blocked_instances),
        revoked=Revoked(
            leaves=frozenset(_all_base64(entry.revoked_leaves)),
            serials=frozenset(int(serial, 16) for serial in entry.revoked_serials),
            keys=frozenset(_all_base64(entry.revoked_keys)),
            instances=_instances(entry.revoked_instances),
        ),
        credential=None if entry.credential is None else Credential(entry.credential.chain, entry.credential.key),
        listed=entry.listed,
        bridges=tuple(map(_bridged, entry.bridges)),
    )


def _bridged(bridge: wire.Bridged) -> Bridged:
    return Bridged(
        network=bridge.network,
        prefixes=tuple(map(ip_network, bridge.prefixes)),
        vip=ip_address(bridge.vip) if bridge.vip else None,
        port=bridge.port,
        sources=tuple(map(ip_address, bridge.sources)),
    )


def _all_base64(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(b64decode(text, validate=True) for text in texts)


def _instances(texts: list[str]) -> frozenset[InstanceId]:
    return frozenset(InstanceId(UUID(text)) for text in texts)


def _limits(limits: wire.Limits) -> Limits:
    return Limits(
        requests=limits.requests,
        requests_burst=limits.requests_burst,
        mutations=limits.mutations,
        mutations_burst=limits.mutations_burst,
        parallel=limits.parallel,
    )
