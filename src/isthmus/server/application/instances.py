"""Instances of this backend: issued, renewed, listed, revoked, for operators and for agents.

Rows decide: a revoked instance gives its leaves to `own_trust`, as revoked ones, in the transaction that ends it. The
bundle that tells remotes of them follows at once, and with the next turn of the certificates if that failed.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.certificate import OWN_LIFE
from isthmus.domain.federation.instance import (
    MOST_INSTANCES,
    MOST_LEAVES,
    Instance,
    Maker,
    agents_name,
    may_begin_anew,
    parse_life,
    parse_name,
)
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import parse_text
from isthmus.server.application.caller import Caller
from isthmus.server.application.certificates import CertificateService
from isthmus.server.certificate_records import PAIRS, OwnLeaf
from isthmus.server.instance_ports import Host
from isthmus.server.ports import Clock, Ids, InstanceNameTaken, Store, Transaction
from isthmus.server.records import Page
from isthmus.x509.request import read_request

log = structlog.get_logger()

MOST_REASON = 500
PEER_GONE = "its peer was deleted"
BY_ITSELF = Caller("local", "instances")

Heard = Callable[[Transaction, NetworkId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Standing:
    """An instance with what is kept beside it: where it runs, and its newest leaf. `made_by` is `backend` for the
    Federator and the ingress, which have always been there."""

    id: InstanceId
    name: str
    made_by: str
    created_at: datetime | None = None
    host: Host | None = None
    leaf: OwnLeaf | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Handed:
    """An instance and the chain of its new leaf, in PEM."""

    standing: Standing
    chain: str


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate request (PEM), of which the key counts, and how long the leaf shall live."""

    csr: str
    life: timedelta = OWN_LIFE


class InstanceService:
    """`on_addresses` hear, in the same transaction, of networks whose instances have other addresses with it."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, certificates: CertificateService) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._certificates = certificates
        self.on_addresses: list[Heard] = []

    async def page(self, page: Page, *, revoked: bool = False) -> list[Standing]:
        """Those that operators and agents asked for, oldest first."""
        async with self._store.reading() as tx:
            found = await tx.instances.page(page, revoked=revoked)
            return await _standings(tx, found)

    async def own(self) -> list[Standing]:
        """The Federator and the ingress; nothing before `isthmus federation init`."""
        state = await self._certificates.state()
        if state.bundle is None:
            return []
        standings = []
        for purpose in PAIRS:
            leaf = next((each for each in reversed(state.leaves) if each.purpose is purpose), None)
            standings.append(Standing(InstanceId(state.instance(purpose)), purpose.value, "backend", leaf=leaf))
        return standings

    async def get(self, instance_id: InstanceId) -> Standing:
        """Raises `NotFound`."""
        if own := next((each for each in await self.own() if each.id == instance_id), None):
            return own
        async with self._store.reading() as tx:
            return await _standing(tx, await tx.instances.get(instance_id))

    async def issue(self, caller: Caller, name: str, peer_id: PeerId | None, request: Request) -> Handed:
        """A new instance and its first leaf. Raises `CsrInvalid`, `InvalidValue`, `NotFound`."""
        instance = Instance(
            InstanceId(self._ids.new()), parse_name(name), Maker.OPERATOR, self._clock.now(), peer_id=peer_id
        )
        leaf, chain = await self._certified(instance, request)
        try:
            async with self._store.transaction() as tx:
                await self._add(tx, caller, instance, leaf)
                return Handed(await _standing(tx, instance), chain)
        except InstanceNameTaken:
            hint = "isthmus instance renew gives that one a new leaf"
            raise InvalidValue("/name", f"there is an instance {name} already", hint) from None

    async def renew(self, caller: Caller, instance_id: InstanceId, request: Request) -> Handed:
        """Another leaf of an instance; those before stay good until they end. Raises `CsrInvalid`, `NotFound`,
        `TransitionNotAllowed`."""
        async with self._store.reading() as tx:
            instance = await tx.instances.get(instance_id)
        instance.check_live()
        leaf, chain = await self._certified(instance, request)
        async with self._store.transaction() as tx:
            await self._renew(tx, caller, await tx.instances.lock(instance_id), leaf)
            return Handed(await _standing(tx, instance), chain)

    async def of_agent(self, caller: Caller, peer_id: PeerId, csr: str) -> Handed:
        """A leaf for the instance on an agent's host, which is made with the first one. Raises `CsrInvalid`,
        `TransitionNotAllowed` where this backend has no domain yet or an operator has revoked the instance."""
        now, request = self._clock.now(), Request(csr)
        async with self._store.reading() as tx:
            if await tx.federation.get() is None:
                hint = "the agent asks again by itself: isthmus federation init"
                raise TransitionNotAllowed("federation", "is not set up on this backend", hint)
            instance = await self._for_agent(tx, peer_id, now)
        leaf, chain = await self._certified(instance, request)
        async with self._store.transaction() as tx:
            await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            present = await tx.instances.of_agent(peer_id)
            if present is None or present.id != instance.id:
                await self._add(tx, caller, instance, leaf)
            else:
                await self._renew(tx, caller, await tx.instances.lock(instance.id), leaf)
            return Handed(await _standing(tx, instance), chain)

    async def revoke(self, caller: Caller, instance_id: InstanceId, reason: str) -> Standing:
        """End an instance for good: remotes are told to refuse its leaves. Raises `NotFound` or
        `TransitionNotAllowed`."""
        if any(each.id == instance_id for each in await self.own()):
            hint = "isthmus certificate revoke SERIAL replaces its leaf"
            raise TransitionNotAllowed("the instance", "is of this backend itself and cannot do without it", hint)
        async with self._store.transaction() as tx:
            seen = await tx.instances.get(instance_id)
            after = await self._revoke(tx, caller, seen, parse_text(reason, "/reason", MOST_REASON))
            standing = await _standing(tx, after)
        await self._certificates.publish(caller)
        return standing

    async def work(self) -> None:
        """End those whose peer is gone."""
        async with self._store.reading() as tx:
            stranded = await tx.instances.stranded()
        if not stranded:
            return
        async with self._store.transaction() as tx:
            for instance in await tx.instances.stranded():
                log.info("an instance ends with its peer", instance=str(instance.id), name=instance.name)
                await self._revoke(tx, BY_ITSELF, instance, PEER_GONE)
        await self._certificates.publish(BY_ITSELF)

    async def _for_agent(self, tx: Transaction, peer_id: PeerId, now: datetime) -> Instance:
        """The present instance of a peer's agent, or the one that it gets."""
        peer = await tx.peers.get(peer_id)
        last = await tx.instances.of_agent(peer_id)
        if last is not None and last.is_live:
            return last
        if last is not None and last.revoked_at is not None:
            sessions = (await tx.sessions.of_peers([peer_id])).get(peer_id, [])
            enrolled_at = max((each.created_at for each in sessions), default=None)
            if not may_begin_anew(last.revoked_at, enrolled_at):
                hint = "an operator lets the host in again with a new token: isthmus peer token"
                raise TransitionNotAllowed(f"instance {last.name}", "is revoked", hint)
        id_ = InstanceId(self._ids.new())
        name = agents_name(peer.name, (await tx.networks.get(peer.network_id)).name)
        if await tx.instances.live_named(name) is not None:
            # Of a peer that had this name before.
            name = f"{name}.{str(id_)[-8:]}"
        return Instance(id_, name, Maker.AGENT, now, peer_id)

    async def _certified(self, instance: Instance, request: Request) -> tuple[OwnLeaf, str]:
        key = read_request(request.csr)
        return await self._certificates.certify(key, instance.id, parse_life(request.life))

    async def _add(self, tx: Transaction, caller: Caller, instance: Instance, leaf: OwnLeaf) -> None:
        if await tx.instances.count() >= MOST_INSTANCES:
            raise TransitionNotAllowed("the instances", f"there are {MOST_INSTANCES}", "isthmus instance revoke")
        network_id = await _locked(tx, instance)
        await tx.instances.add(instance)
        await tx.instances.add_leaf(instance.id, leaf)
        await self._tell(tx, network_id)
        await tx.journal.audit([caller.did("instance.issue", instance.id, leaf.issued_at, **_facts(instance, leaf))])

    async def _renew(self, tx: Transaction, caller: Caller, instance: Instance, leaf: OwnLeaf) -> None:
        instance.check_live()
        await tx.instances.drop_leaves(instance.id, before=leaf.issued_at)
        present = (await tx.instances.leaves([instance.id])).get(instance.id, [])
        if len(present) >= MOST_LEAVES:
            problem = f"has {MOST_LEAVES} leaves that have not expired"
            raise TransitionNotAllowed(f"instance {instance.name}", problem, "wait, or revoke it and issue another")
        await tx.instances.add_leaf(instance.id, leaf)
        await tx.journal.audit([caller.did("instance.renew", instance.id, leaf.issued_at, **_facts(instance, leaf))])

    async def _revoke(self, tx: Transaction, caller: Caller, seen: Instance, reason: str) -> Instance:
        now, network_id = self._clock.now(), None
        with suppress(NotFound):
            network_id = await _locked(tx, seen)
        after = (await tx.instances.lock(seen.id)).revoked(now, caller.actor, reason)
        leaves = [each for each in (await tx.instances.leaves([after.id])).get(after.id, []) if each.ends_at > now]
        await tx.instances.save(after)
        await tx.instances.drop_leaves(after.id)
        await tx.own_trust.put_leaves(replace(each, revoked_at=now, reason=reason) for each in leaves)
        await self._tell(tx, network_id)
        facts = {"name": after.name, "reason": reason, "serials": [f"{each.serial:x}" for each in leaves]}
        await tx.journal.audit([caller.did("instance.revoke", after.id, now, **facts)])
        return after

    async def _tell(self, tx: Transaction, network_id: NetworkId | None) -> None:
        if network_id is not None:
            for heard in self.on_addresses:
                await heard(tx, network_id)


async def _locked(tx: Transaction, instance: Instance) -> NetworkId | None:
    """The network of its peer, which nobody else changes meanwhile. Raises `NotFound` where that peer is gone."""
    if instance.peer_id is None:
        return None
    network_id = (await tx.peers.get(instance.peer_id)).network_id
    await tx.networks.lock(network_id)
    return network_id


async def _standing(tx: Transaction, instance: Instance) -> Standing:
    return (await _standings(tx, [instance]))[0]


async def _standings(tx: Transaction, instances: list[Instance]) -> list[Standing]:
    ids = [each.id for each in instances]
    hosts, leaves = await tx.instances.hosts(ids), await tx.instances.leaves(ids)
    return [
        Standing(
            id=each.id,
            name=each.name,
            made_by=each.maker.value,
            created_at=each.created_at,
            host=hosts.get(each.id),
            leaf=leaves[each.id][-1] if each.id in leaves else None,
            revoked_at=each.revoked_at,
            revoked_by=each.revoked_by,
            reason=each.reason,
        )
        for each in instances
    ]


def _facts(instance: Instance, leaf: OwnLeaf) -> dict[str, str]:
    facts = {"name": instance.name, "serial": f"{leaf.serial:x}", "until": leaf.ends_at.isoformat()}
    return facts if instance.peer_id is None else facts | {"peer": str(instance.peer_id)}
