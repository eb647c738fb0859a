"""Where the ingress listens inside our networks: at the tunnel addresses of a peer whose host runs it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from isthmus.domain.addresses import IPAddress, IPNetwork, collapse
from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.remote import Remote, State, Strategy
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol.federator import Bridged
from isthmus.protocol.ingress import Listener, overlay_listener_id
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.federation_records import DEFAULT_PORT, OverlayIngress
from isthmus.server.ports import Clock, Store, Transaction


@dataclass(frozen=True, slots=True)
class Overlays:
    """Our networks as the ingress and the Federator see them: a listener at each address of each peer that runs the
    ingress, the names of those networks that have an effective bridge by their ids, all ranges of networks and bridges,
    and the effective bridges by the ids of their remotes' entries."""

    listeners: tuple[Listener, ...]
    bridged: Mapping[str, str]
    ranges: tuple[IPNetwork, ...]
    bridges: Mapping[UUID, Sequence[Bridged]]


@dataclass(frozen=True, slots=True)
class Placed:
    """The peer whose host runs the ingress of a network, and the port that it listens on there."""

    peer: Peer
    port: int

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        return addresses_of(self.peer)


class OverlayService:
    def __init__(self, store: Store, clock: Clock, changes: FederationChanges) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes

    async def get(self, network_id: NetworkId) -> Placed:
        """Raises `NotFound` where no peer of the network has the ingress."""
        async with self._store.reading() as tx:
            await tx.networks.get(network_id)
            found = await tx.overlay_ingresses.get(network_id)
            if found is None:
                raise NoOverlayIngress("ingress", f"in the network {network_id}")
            return Placed(await tx.peers.get(found.peer_id), found.port)

    async def place(self, caller: Caller, network_id: NetworkId, peer_id: PeerId, port: int = DEFAULT_PORT) -> Placed:
        """Say that the host of this peer runs the ingress, which listens at the peer's own addresses."""
        async with self._changes.transaction() as tx:
            await tx.networks.lock(network_id)
            peer = await _of_network(tx, network_id, peer_id)
            await tx.overlay_ingresses.put(OverlayIngress(network_id, peer.id, port))
            told = {"peer": str(peer.id), "port": port}
            await tx.journal.audit([caller.did("network.ingress", network_id, self._clock.now(), **told)])
        return Placed(peer, port)

    async def withdraw(self, caller: Caller, network_id: NetworkId) -> None:
        """From now on the ingress does not listen in this network. Raises `NotFound` where it does not."""
        async with self._changes.transaction() as tx:
            await tx.networks.lock(network_id)
            if not await tx.overlay_ingresses.drop(network_id):
                raise NoOverlayIngress("ingress", f"in the network {network_id}")
            await tx.journal.audit([caller.did("network.ingress.withdraw", network_id, self._clock.now())])


class NoOverlayIngress(NotFound):
    """No host of a network runs the ingress."""

    mend = "say whose host does: isthmus network ingress NETWORK --peer NAME"


async def overlay_listener(tx: Transaction, network_id: NetworkId) -> tuple[tuple[IPAddress, ...], int] | None:
    """The addresses (IPv6 first) and the port of our ingress inside a network, whether it is bridged or not; None where
    no peer's host runs it."""
    found = await tx.overlay_ingresses.get(network_id)
    if found is None:
        return None
    return addresses_of(await tx.peers.get(found.peer_id)), found.port


async def overlays_of(tx: Transaction) -> Overlays:
    """As they are now. A bridge with a remote that carries no packets is not effective, whatever its own state."""
    networks = {network.id: network for network in await tx.networks.all()}
    placed = {network_id: found for network_id in networks if (found := await overlay_listener(tx, network_id))}
    active = {(remote.domain, remote.generation): remote.id for remote in await _active(tx)}
    live = await tx.bridges.all_live()
    bridged: dict[str, str] = {}
    bridges: dict[UUID, list[Bridged]] = {}
    for bridge in live:
        remote_id = active.get((bridge.remote, bridge.remote_generation))
        if not bridge.is_effective or remote_id is None or bridge.network_id is None:
            continue
        bridged[str(bridge.network_id)] = networks[bridge.network_id].name
        sources, _ = placed.get(bridge.network_id, ((), 0))
        bridges.setdefault(remote_id, []).append(_bridged(bridge, bridge.network_id, sources))
    return Overlays(
        listeners=tuple(_listeners(placed)),
        bridged=bridged,
        ranges=collapse(
            [
                *(cidr for network in networks.values() for cidr in network.cidrs),
                *(prefix for bridge in live for prefix in bridge.accepted),
            ]
        ),
        bridges=bridges,
    )


async def _active(tx: Transaction) -> list[Remote]:
    facts = await tx.federation.get()
    if facts is not None and facts.strategy is Strategy.NONE:
        return []
    return [each for each in await tx.remotes.all() if each.state is State.ACTIVE and not each.is_shut_there]


def _listeners(placed: Mapping[NetworkId, tuple[tuple[IPAddress, ...], int]]) -> Iterator[Listener]:
    for network_id, (addresses, port) in placed.items():
        for address in addresses:
            name = str(network_id)
            yield Listener(overlay_listener_id(name, address.version), str(address), port, name)


def _bridged(bridge: Bridge, network_id: NetworkId, sources: Sequence[IPAddress]) -> Bridged:
    theirs = None if bridge.theirs is None else bridge.theirs.terms
    has_ingress = theirs is not None and theirs.vip is not None and theirs.port is not None
    return Bridged(
        network=str(network_id),
        prefixes=[str(prefix) for prefix in bridge.accepted],
        vip=str(theirs.vip) if theirs is not None and has_ingress else "",
        port=(theirs.port or 0) if theirs is not None and has_ingress else 0,
        sources=[str(each) for each in sources],
    )


async def note_gone(tx: Transaction, peer: Peer) -> None:
    """Have the ingress and the Federator look anew when a peer goes that has the ingress of its network."""
    found = await tx.overlay_ingresses.get(peer.network_id)
    if found is not None and found.peer_id == peer.id:
        await tx.federation.advance()


def addresses_of(peer: Peer) -> tuple[IPAddress, ...]:
    return tuple(sorted(peer.addresses, key=lambda address: -address.version))


async def _of_network(tx: Transaction, network_id: NetworkId, peer_id: PeerId) -> Peer:
    try:
        peer = await tx.peers.get(peer_id)
    except NotFound:
        peer = None
    if peer is None or peer.network_id != network_id:
        raise InvalidValue("/peer_id", "is no peer of this network", "isthmus peer list --network NETWORK")
    if not peer.kind.has_agent:
        hint = "enroll the host that runs isthmus ingress run, and name that peer"
        raise InvalidValue("/peer_id", "is a static peer: no agent brings up its address", hint)
    return peer
