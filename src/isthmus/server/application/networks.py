"""Networks: create, change, renumber, delete; reservations and capacity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from isthmus.domain.addresses import IPAddress, IPNetwork, overlap
from isthmus.domain.errors import InvalidValue, PreconditionFailed, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh import ipam
from isthmus.domain.mesh import network as rules
from isthmus.domain.mesh.limits import Limits
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer
from isthmus.domain.mesh.template import POOL, Sources
from isthmus.server.application import addressing
from isthmus.server.application.bridge_rows import check_unbridged
from isthmus.server.application.caller import Caller
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.application.revisions import log_network
from isthmus.server.ports import Clock, Ids, Listeners, Store, Transaction
from isthmus.server.records import Commit, Held, Holding, Page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SUGGESTION_POOL = POOL


@dataclass(frozen=True, slots=True)
class Draft:
    """What an operator says of a new network; the rest is chosen."""

    name: str
    cidr_v4: str | None = None
    cidr_v6: str | None = None
    domain: str | None = None
    settings: rules.Settings = field(default_factory=rules.Settings)
    direct_paths: DirectPaths = DirectPaths.AUTO
    dns_upstreams: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    sources: Sources = field(default_factory=Sources)


@dataclass(frozen=True, slots=True)
class Update:
    name: Maybe[str] = UNSET
    cidr_v4: Maybe[str | None] = UNSET
    domain: Maybe[str] = UNSET
    mtu: Maybe[int] = UNSET
    listen_port: Maybe[int] = UNSET
    keepalive: Maybe[int] = UNSET
    limits: Maybe[Mapping[str, int]] = UNSET
    direct_paths: Maybe[DirectPaths] = UNSET
    primary_id: Maybe[PeerId | None] = UNSET
    key_max_age: Maybe[int] = UNSET
    dns_upstreams: Maybe[Sequence[str]] = UNSET
    force: bool = False


@dataclass(frozen=True, slots=True)
class Sized:
    """A network with its capacity, one entry per family."""

    network: Network
    capacity: Sequence[ipam.Capacity]


@dataclass(frozen=True, slots=True)
class Updated:
    """A changed network, and the static peers whose config must be handed out again."""

    network: Sized
    reissue: Sequence[Peer]


class NetworkService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, listeners: Listeners, suffix: str = "internal") -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._listeners = listeners
        self._suffix = suffix

    async def create(self, caller: Caller, draft: Draft) -> Sized:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            others = await tx.networks.lock_all()
            network = await self._drafted(tx, draft, others)
            await tx.networks.add(network)
            for cidr in network.cidrs:
                await tx.holdings.reset_free(network.id, 4 if cidr.version == 4 else 6, ipam.free_ranges(cidr, []))
            await log_network(tx, network, "network.created", now)
            # The Federator dials nobody in the ranges of our networks.
            await tx.federation.advance()
            await tx.journal.audit([caller.did("network.create", network.id, now, name=network.name)])
            sized = Sized(network, await addressing.capacity(tx, network))
        self._listeners.changed(Commit(network.id, network, reload=True, event="network.created"))
        return sized

    async def _drafted(self, tx: Transaction, draft: Draft, others: Sequence[Network]) -> Network:
        name = rules.parse_name(draft.name)
        _check_name_is_free(name, others)
        ula = await tx.backend.ula()
        if ula is None:
            raise RuntimeError("the backend's ULA prefix is drawn at start and cannot be missing here")
        cidr_v4 = _v4(draft, others)
        cidr_v6 = _v6(draft.cidr_v6, ula, others)
        if cidr_v4 is not None:
            await _check_is_free(tx, cidr_v4, name, others)
        return Network(
            id=NetworkId(self._ids.new()),
            name=name,
            cidr_v4=cidr_v4,
            cidr_v6=cidr_v6,
            domain=rules.parse_network_domain(draft.domain, name, draft.sources.suffix or self._suffix),
            created_at=self._clock.now(),
            mtu=draft.settings.mtu,
            listen_port=draft.settings.listen_port,
            keepalive=draft.settings.keepalive,
            limits=draft.limits,
            direct_paths=draft.direct_paths,
            key_max_age=draft.settings.key_max_age,
            dns_upstreams=rules.parse_upstreams(draft.dns_upstreams),
            revision=1,
            jump_revision=1,
            shared_revision=1,
        )

    async def get(self, network_id: NetworkId) -> Sized:
        async with self._store.reading() as tx:
            network = await tx.networks.get(network_id)
            return Sized(network, await addressing.capacity(tx, network))

    async def page(
        self, page: Page, name: str | None = None, within: frozenset[NetworkId] | None = None
    ) -> list[Sized]:
        async with self._store.reading() as tx:
            found = await tx.networks.page(page, name, within)
            return [Sized(network, await addressing.capacity(tx, network)) for network in found]

    async def update(self, caller: Caller, network_id: NetworkId, update: Update, version: int | None) -> Updated:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            others = [other for other in await tx.networks.lock_all() if other.id != network_id]
            before = await tx.networks.lock(network_id)
            check_version(before.version, version)
            after = self._updated(before, update, others)
            if not isinstance(update.primary_id, Unset):
                after = replace(after, primary_id=await _primary(tx, before, update.primary_id))
            reissue = await self._renumber(tx, before, after, update.force, others) if _moves(before, after) else []
            if after != before:
                after = replace(after.advanced(jumps=True, shared=True), version=before.version + 1)
                await tx.networks.save(after)
                if (before.name, before.cidrs) != (after.name, after.cidrs):
                    await tx.federation.advance()
                moved = await tx.peers.of_network(network_id) if _moves(before, after) else None
                event = "network.changed" if moved is None else "network.renumbered"
                await log_network(tx, after, event, now, renumbered=moved)
            await tx.journal.audit([caller.did("network.update", network_id, now, fields=named_fields(update))])
            sized = Sized(after, await addressing.capacity(tx, after))
        if after != before:
            told = Commit(network_id, after, audience=Audience.EVERYONE, reload=_moves(before, after))
            self._listeners.changed(replace(told, event="network.changed"))
        return Updated(sized, reissue)

    def _updated(self, before: Network, update: Update, others: Sequence[Network]) -> Network:
        name = before.name if isinstance(update.name, Unset) else rules.parse_name(update.name)
        _check_name_is_free(name, others)
        settings = rules.Settings(
            chosen(update.mtu, before.mtu),
            chosen(update.listen_port, before.listen_port),
            chosen(update.keepalive, before.keepalive),
            chosen(update.key_max_age, before.key_max_age),
        )
        cidr_v4 = before.cidr_v4
        if not isinstance(update.cidr_v4, Unset):
            cidr_v4 = None if update.cidr_v4 is None else rules.parse_cidr_v4(update.cidr_v4)
        domain = chosen(update.domain, before.domain)
        upstreams = before.dns_upstreams
        if not isinstance(update.dns_upstreams, Unset):
            upstreams = rules.parse_upstreams(update.dns_upstreams)
        return replace(
            before,
            name=name,
            cidr_v4=cidr_v4,
            domain=rules.parse_network_domain(domain, name, self._suffix),
            mtu=settings.mtu,
            listen_port=settings.listen_port,
            keepalive=settings.keepalive,
            limits=replace(before.limits, **chosen(update.limits, {})),
            direct_paths=chosen(update.direct_paths, before.direct_paths),
            key_max_age=settings.key_max_age,
            dns_upstreams=upstreams,
        )

    async def _renumber(
        self, tx: Transaction, before: Network, after: Network, force: bool, others: Sequence[Network]
    ) -> list[Peer]:
        peers = await tx.peers.of_network(before.id)
        static = [peer for peer in peers if peer.kind is Kind.STATIC]
        if static and not force:
            raise TransitionNotAllowed(
                before.name,
                f"has {len(static)} static peers whose configs would be wrong after a change of the CIDR",
                "repeat with force, then hand out the configs that the answer lists",
            )
        if after.cidr_v4 is not None:
            await _check_is_free(tx, after.cidr_v4, after.name, others)
            await _check_misses_offers(tx, after, after.cidr_v4)
        await addressing.renumber(tx, before, before.cidr_v4, after.cidr_v4, [peer.id for peer in peers])
        return static

    async def delete(self, caller: Caller, network_id: NetworkId, version: int | None, *, force: bool) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock(network_id)
            check_version(network.version, version)
            peers = await tx.peers.of_network(network_id)
            if peers and not force:
                raise TransitionNotAllowed(
                    network.name, f"still has {len(peers)} peers", "delete them first, or delete the network with force"
                )
            await check_unbridged(tx, network)
            await tx.networks.delete(network_id)
            await tx.federation.advance()
            await tx.journal.audit([caller.did("network.delete", network_id, now, name=network.name, peers=len(peers))])
        gone = tuple(peer.id for peer in peers)
        self._listeners.changed(Commit(network_id, None, removed=gone, ended=gone, event="network.deleted"))

    async def suggest(self, expected_peers: int, pool: IPv4Network = SUGGESTION_POOL) -> tuple[int, IPv4Network | None]:
        """The prefix length with room for `expected_peers`, and the lowest free CIDR of that size in `pool`."""
        prefix = ipam.prefix_for(expected_peers)
        async with self._store.reading() as tx:
            taken = [network.cidr_v4 for network in await tx.networks.all() if network.cidr_v4 is not None]
        return prefix, ipam.next_free_cidr(pool, prefix, taken)

    async def reserve(self, caller: Caller, network_id: NetworkId, address: IPAddress, note: str | None) -> Holding:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock(network_id)
            holding = await addressing.reserve(tx, network, address, note, now)
            await tx.journal.audit([caller.did("address.reserve", network_id, now, address=str(address))])
        return holding

    async def unreserve(self, caller: Caller, network_id: NetworkId, address: IPAddress) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await tx.networks.lock(network_id)
            await addressing.unreserve(tx, network_id, address)
            await tx.journal.audit([caller.did("address.unreserve", network_id, now, address=str(address))])

    async def reservations(self, network_id: NetworkId) -> list[Holding]:
        async with self._store.reading() as tx:
            await tx.networks.get(network_id)
            return await tx.holdings.of_network(network_id, Held.RESERVED)


def check_version(actual: int, expected: int | None) -> None:
    """Refuse a change that was made for another version; None means that the caller does not care."""
    if expected is not None and expected != actual:
        raise PreconditionFailed(expected, actual)


def named_fields(update: "DataclassInstance") -> list[str]:
    """The names of the fields that a partial update sets, for the audit."""
    return [item.name for item in fields(update) if not isinstance(getattr(update, item.name), Unset)]


def _moves(before: Network, after: Network) -> bool:
    return before.cidr_v4 != after.cidr_v4


def _check_name_is_free(name: str, others: Sequence[Network]) -> None:
    if any(other.name == name for other in others):
        raise InvalidValue("/name", f"{name!r} is the name of another network")


def _v4(draft: Draft, others: Sequence[Network]) -> IPv4Network | None:
    """The given CIDR, else a free one where the network's template says so."""
    if draft.cidr_v4 is not None or draft.sources.prefix is None:
        return None if draft.cidr_v4 is None else rules.parse_cidr_v4(draft.cidr_v4)
    taken = [other.cidr_v4 for other in others if other.cidr_v4 is not None]
    found = ipam.next_free_cidr(draft.sources.pool, draft.sources.prefix, taken)
    if found is None:
        problem = f"no /{draft.sources.prefix} is free in {draft.sources.pool}, the pool of the template"
        raise InvalidValue("/cidr_v4", problem, "give one, or give the template another pool")
    return rules.parse_cidr_v4(str(found))


def _v6(text: str | None, ula: IPv6Network, others: Sequence[Network]) -> IPv6Network:
    taken = [other.cidr_v6 for other in others]
    if text is None:
        return rules.next_free_v6(ula, taken)
    cidr = rules.parse_cidr_v6(text, ula)
    rules.check_disjoint("/cidr_v6", cidr, "the new network", ((other.name, other.cidr_v6) for other in others))
    return cidr


async def _primary(tx: Transaction, network: Network, chosen_id: PeerId | None) -> PeerId | None:
    """The jump peer that an operator wants the traffic to go through; None leaves the choice to the server."""
    jumps = [peer.id for peer in await tx.peers.in_every_config(network.id) if peer.is_jump]
    if chosen_id is not None and chosen_id not in jumps:
        raise InvalidValue("/primary_id", "is not a jump peer of this network", "isthmus peer list --kind jump")
    return chosen_id


async def _check_is_free(tx: Transaction, cidr: IPv4Network, name: str, others: Sequence[Network]) -> None:
    ranges = [(other.name, block) for other in others for block in other.cidrs]
    rules.check_disjoint("/cidr_v4", cidr, name, ranges)


async def _check_misses_offers(tx: Transaction, network: Network, cidr: IPNetwork) -> None:
    for _, peer, offer in await tx.peers.offers(network.id):
        if overlap(cidr, offer):
            raise InvalidValue("/cidr_v4", f"{cidr} overlaps {offer}, which {peer} offers")
