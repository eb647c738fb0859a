"""What the Federator and the ingress decide by, put together once for each generation and waited for by them."""

import asyncio
import base64
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID

import msgspec

from isthmus.domain.federation.remote import Remote, Revocation, State
from isthmus.protocol.federation import API_VERSIONS
from isthmus.protocol.federator import MOST_WAIT, Bridged, Credential, Entry, Limits, Snapshot
from isthmus.protocol.ingress import IngressFacts
from isthmus.server.application.overlays import Overlays, overlays_of
from isthmus.server.federation_ports import KnowsTrust, OwnTrust
from isthmus.server.federation_records import Acceptance, Federation, RemoteInstance
from isthmus.server.ports import Clock, Store, Transaction, Vault
from isthmus.x509.authority import pem_of

LOOK_SECONDS = 1.0
"""How long a waiter sleeps at most between looks: another server on the same database tells this one nothing."""
MOST_WAITING = 64
TOLD_FOR = timedelta(days=7)
"""For so long the ingress lets a revoked remote through to the Federator, which tells it that it is revoked;
one that was removed as well, so that its open sessions end with an answer and not with a reload."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One generation, encoded."""

    generation: int
    snapshot: bytes
    ingress: bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """What is to be told of where we run. No remote is looked for at `denied_addresses`, which are those of hosts of
    our own; `replicas` Federators run beside this server, and as many ingresses."""

    denied_addresses: tuple[str, ...] = ()
    replicas: int = 1


class TooManyWait(Exception):
    """More callers wait for a change than one backend has processes."""


class SnapshotService:
    """Keeps the newest generation. Before federation is set up there is none, and those who wait go on waiting."""

    def __init__(
        self, store: Store, clock: Clock, certificates: KnowsTrust, vault: Vault, machine: Machine | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._machine = machine or Machine()
        self._certificates = certificates
        self._vault = vault
        self._latest: Prepared | None = None
        self._building = asyncio.Lock()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._applied: dict[int, tuple[int, float]] = {}
        self._waiting = 0
        self._is_closed = False

    def changed(self, generation: int) -> None:
        """Wake everybody who waits for a later generation."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Send all waiters away, with nothing."""
        self._is_closed = True
        self._changed.set()

    async def after(self, generation: int, seconds: float) -> Prepared | None:
        """The newest generation, as soon as there is one later than `generation`; None when none came in time."""
        if self._waiting >= MOST_WAITING:
            raise TooManyWait
        self._waiting += 1
        try:
            return await self._await_later(generation, time.monotonic() + seconds)
        finally:
            self._waiting -= 1

    async def _await_later(self, generation: int, deadline: float) -> Prepared | None:
        while True:
            # Taken before the look: a change that comes in between is not slept through.
            changed = self._changed
            latest = await self.current()
            if latest is not None and latest.generation > generation:
                return latest
            left = deadline - time.monotonic()
            if left <= 0 or self._is_closed:
                return None
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await changed.wait()
            except TimeoutError:
                continue

    async def current(self) -> Prepared | None:
        """The newest generation; None before federation is set up."""
        async with self._store.reading() as tx:
            generation = await tx.federation.generation()
        if generation == 0:
            return None
        if self._latest is None or self._latest.generation != generation:
            async with self._building:
                if self._latest is None or self._latest.generation != generation:
                    self._latest = await self._prepared()
        return self._latest

    async def _prepared(self) -> Prepared | None:
        trust = await self._certificates.trust()
        async with self._store.reading() as tx:
            facts = await tx.federation.get()
            if facts is None:
                return None
            overlays = await overlays_of(tx)
            entries, anchors = await self._entries(tx, overlays)
        snapshot = msgspec.structs.replace(
            snapshot_of(facts, trust, entries),
            denied_addresses=list(self._machine.denied_addresses),
            listeners={each.id: each.network for each in (*facts.listeners, *overlays.listeners)},
            overlays=[str(each) for each in overlays.ranges],
        )
        ingress = ingress_of(facts, trust, anchors, overlays)
        ingress = msgspec.structs.replace(ingress, replicas=self._machine.replicas)
        return Prepared(facts.generation, msgspec.json.encode(snapshot), msgspec.json.encode(ingress))

    async def _entries(self, tx: Transaction, overlays: Overlays) -> tuple[list[Entry], list[bytes]]:
        """Every remote, and the certificates that verify leaves of those who may knock at all."""
        remotes = await tx.remotes.all()
        acceptances = {each.remote_id: each for each in await tx.remotes.acceptances()}
        blocked, revocations = await tx.remote_instances.blocked(), await tx.revocations.all()
        known = {
            each.domain: await tx.remote_instances.of(each.domain) for each in remotes if each.known_instances_only
        }
        entries = [
            entry_of(
                remote,
                known.get(remote.domain, [each for each in blocked if each.domain == remote.domain]),
                [each for each in revocations if each.domain == remote.domain],
                self._credential(remote, acceptances),
                overlays.bridges.get(remote.id, []),
            )
            for remote in remotes
        ]
        until = self._clock.now() - TOLD_FOR
        heard = [remote for remote in remotes if remote.state is not State.REVOKED or remote.changed_at > until]
        anchors = [der for remote in heard for der in remote.authorities]
        return entries, anchors

    def _credential(self, remote: Remote, acceptances: Mapping[UUID, Acceptance]) -> Credential | None:
        found = acceptances.get(remote.id)
        if found is None or remote.state is State.REVOKED:
            return None
        return Credential(found.chain, self._vault.open(found.sealed_key, remote.id).decode())

    def note_applied(self, generation: int, replica: int = 1) -> None:
        """A Federator has asked for what comes after `generation`, so it goes by that one."""
        self._applied[replica] = generation, time.monotonic()
        self._taken.set()
        self._taken = asyncio.Event()

    async def until_applied(self, generation: int, seconds: float) -> bool:
        """Wait until every Federator that is there goes by `generation`; False when it was not so in time."""
        deadline = time.monotonic() + seconds
        while not self._is_applied(generation):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    await self._taken.wait()
            except TimeoutError:
                return False
        return True

    def _is_applied(self, generation: int) -> bool:
        since = time.monotonic() - MOST_WAIT
        there = [applied for applied, at in self._applied.values() if at > since]
        return bool(there) and min(there) >= generation


def snapshot_of(facts: Federation, trust: OwnTrust, entries: list[Entry]) -> Snapshot:
    return Snapshot(
        generation=facts.generation,
        domain=facts.domain,
        infra_domains=list(facts.infra_domains),
        strategy=facts.strategy.value,
        entries=entries,
        shared_roots=_texts(facts.shared_roots),
        own_authorities=_texts(trust.authorities),
        versions=list(API_VERSIONS),
        service=facts.service,
        ports=list(facts.ports),
        bundle_sequence=trust.bundle_sequence,
        own_revoked=_texts(trust.revoked),
    )


def ingress_of(facts: Federation, trust: OwnTrust, anchors: Iterable[bytes], overlays: Overlays) -> IngressFacts:
    distinct = dict.fromkeys((*trust.authorities, *facts.shared_roots, *anchors))
    return IngressFacts(
        generation=facts.generation,
        infra_domains=list(facts.infra_domains),
        listeners=[*facts.listeners, *(each for each in overlays.listeners if each.network in overlays.bridged)],
        anchors=pem_of(list(distinct)),
        networks=dict(overlays.bridged),
    )


def entry_of(
    remote: Remote,
    instances: Sequence[RemoteInstance],
    revocations: Sequence[Revocation],
    credential: Credential | None,
    bridges: Sequence[Bridged],
) -> Entry:
    return Entry(
        domain=remote.domain,
        generation=remote.generation,
        state=remote.state.value,
        direction=remote.direction.value,
        trust=remote.trust.value,
        infra_domains=list(remote.infra_domains),
        authorities=_texts(remote.authorities),
        message_keys={name: base64.b64encode(key).decode() for name, key in remote.message_keys.items()},
        bundle_sequence=remote.bundle_sequence,
        limits=Limits(**asdict(remote.limits)),
        components=None if remote.components is None else sorted(remote.components),
        expires_at=None if remote.expires_at is None else remote.expires_at.timestamp(),
        needs_dnssec=remote.needs_dnssec,
        needs_tlsa=remote.needs_tlsa,
        instances=[str(each.instance) for each in instances] if remote.known_instances_only else None,
        blocked_instances=[str(each.instance) for each in instances if each.blocked_at is not None],
        revoked_instances=[str(each.instance) for each in revocations if each.instance is not None],
        revoked_leaves=_texts(each.fingerprint for each in revocations),
        revoked_serials=[f"{each.serial:x}" for each in revocations if each.serial is not None],
        revoked_keys=_texts(each.key for each in revocations),
        credential=credential,
        listed=remote.removed_at is None,
        bridges=list(bridges),
    )


def _texts(values: Iterable[bytes | None]) -> list[str]:
    return [base64.b64encode(each).decode() for each in values if each is not None]
