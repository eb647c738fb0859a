"""Where the ingress listens inside our networks: at the tunnel addresses of a peer whose host runs it."""

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.federation_records import DEFAULT_PORT, OverlayIngress
from isthmus.server.ports import Clock, Store, Transaction


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


async def note_moved(tx: Transaction, network_id: NetworkId, peers: Sequence[PeerId]) -> None:
    """Have the ingress and the Federator look anew when one of `peers`, which went or got other addresses, has it."""
    found = await tx.overlay_ingresses.get(network_id)
    if found is not None and found.peer_id in peers:
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
