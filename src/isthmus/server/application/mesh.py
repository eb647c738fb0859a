"""The networks in memory: what agents are sent, without a query. It can be thrown away and is rebuilt on demand."""

import asyncio
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer, desired_revision
from isthmus.domain.mesh.tunnel import (
    Tunnel,
    as_member,
    jump_dns,
    jump_forwarding,
    jump_routes,
    listen_port,
    tunnel_for,
)
from isthmus.protocol import agent as wire
from isthmus.server.application import wire as to_wire
from isthmus.server.ports import Store
from isthmus.server.records import Commit


@dataclass(slots=True)
class NetworkMemory:
    """One network: its peers, and what many configs have in common, already encoded.

    `fragments` is how jump peers list each enrolled peer, in the order of `listed`. `shared` are the peers that stand
    in every regular config, so that one costs the same in any network.
    """

    network: Network
    peers: dict[PeerId, Peer] = field(default_factory=dict)
    by_key: dict[PublicKey, PeerId] = field(default_factory=dict)
    shared: dict[PeerId, Peer] = field(default_factory=dict)
    fragments: dict[PeerId, bytes] = field(default_factory=dict)
    listed: list[PeerId] = field(default_factory=list)
    templates: dict[tuple[bool, bool], wire.Config] = field(default_factory=dict)

    def put(self, peer: Peer) -> None:
        """Add or replace a peer; what stood here of it before is forgotten."""
        self.drop(peer.id)
        self.peers[peer.id] = peer
        if peer.public_key is None or peer.blocked:
            return
        self.by_key[peer.public_key] = peer.id
        self.fragments[peer.id] = wire.encode(to_wire.neighbour(as_member(peer)))
        insort(self.listed, peer.id)
        if peer.is_jump or peer.offers:
            self.shared[peer.id] = peer
            self.templates.clear()

    def drop(self, peer_id: PeerId) -> None:
        peer = self.peers.pop(peer_id, None)
        if peer is None or peer.public_key is None or peer.blocked:
            return
        self.by_key.pop(peer.public_key, None)
        del self.fragments[peer_id]
        del self.listed[bisect_left(self.listed, peer_id)]
        if self.shared.pop(peer_id, None) is not None:
            self.templates.clear()

    def desired(self, peer: Peer) -> int:
        return desired_revision(self.network, peer)

    def config(self, peer: Peer) -> wire.Config:
        """What the agent of `peer` shall make true."""
        if peer.blocked:
            return to_wire.config(self.network, peer, tunnel_for(self.network, (), peer))
        if self.network.has_direct_paths and peer.has_direct_paths:
            return to_wire.config(self.network, peer, tunnel_for(self.network, self.peers.values(), peer))
        if peer.is_jump:
            return self._of_jump(peer)
        if peer.offers:
            return to_wire.config(self.network, peer, tunnel_for(self.network, self.shared.values(), peer))
        return to_wire.personal(self._template(peer), peer)

    def _template(self, peer: Peer) -> wire.Config:
        """The config that all regular peers with the same flags share but for their name and addresses."""
        flags = (peer.isolated, peer.full_encapsulation)
        template = self.templates.get(flags)
        if template is None:
            tunnel = tunnel_for(self.network, self.shared.values(), peer)
            encoded = [wire.encode(to_wire.neighbour(neighbour)) for neighbour in tunnel.neighbours]
            template = self.templates[flags] = to_wire.config(self.network, peer, tunnel, encoded)
        return template

    def _of_jump(self, peer: Peer) -> wire.Config:
        shared = [other for other in self.shared.values() if other.id != peer.id]
        frame = Tunnel(
            addresses=peer.addresses,
            mtu=self.network.mtu,
            listen_port=listen_port(self.network, peer),
            neighbours=(),
            routes=jump_routes(self.network, shared),
            forwarding=jump_forwarding((), peer),
            dns=jump_dns(self.network),
        )
        others = (self.fragments[peer_id] for peer_id in self.listed if peer_id != peer.id)
        return to_wire.config(self.network, peer, frame, others)


class MeshMemory:
    """All networks that an agent has asked for. A commit moves them on; a gap in the revisions drops them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._networks: dict[NetworkId, NetworkMemory] = {}
        self._homes: dict[PeerId, NetworkId] = {}
        self._loading = asyncio.Lock()
        self._told: dict[NetworkId, int] = {}

    def known(self, network_id: NetworkId) -> NetworkMemory | None:
        return self._networks.get(network_id)

    async def around(self, peer_id: PeerId) -> tuple[NetworkMemory, Peer]:
        """The network of a peer, and the peer. Raises `NotFound`."""
        memory = self._home_of(peer_id)
        if memory is None:
            # A thousand agents that come back at once wait here for one reading of their network.
            async with self._loading:
                memory = self._home_of(peer_id) or await self._load(peer_id)
        return memory, memory.peers[peer_id]

    def _home_of(self, peer_id: PeerId) -> NetworkMemory | None:
        network_id = self._homes.get(peer_id)
        memory = None if network_id is None else self._networks.get(network_id)
        return memory if memory is not None and peer_id in memory.peers else None

    async def _load(self, peer_id: PeerId) -> NetworkMemory:
        memory = await self._read(peer_id)
        # A commit that was told while the store was read found nothing here to move on.
        while memory.network.revision < self._told.get(memory.network.id, 0):
            memory = await self._read(peer_id)
        network_id = memory.network.id
        self._networks[network_id] = memory
        self._homes.update(dict.fromkeys(memory.peers, network_id))
        return memory

    async def _read(self, peer_id: PeerId) -> NetworkMemory:
        async with self._store.reading() as tx:
            peer = await tx.peers.get(peer_id)
            memory = NetworkMemory(await tx.networks.get(peer.network_id))
            for other in await tx.peers.of_network(peer.network_id):
                memory.put(other)
        return memory

    def changed(self, commit: Commit) -> None:
        """Take a commit over. A network that is not in memory stays out of it until somebody asks."""
        self._note(commit)
        memory = self._networks.get(commit.network_id)
        if memory is None:
            return
        if commit.network is None or commit.reload:
            self._forget(commit.network_id)
        elif commit.network.revision == memory.network.revision + 1:
            memory.network = commit.network
            for peer in commit.changed:
                memory.put(peer)
                self._homes[peer.id] = commit.network_id
            for peer_id in commit.removed:
                memory.drop(peer_id)
                self._homes.pop(peer_id, None)
        elif commit.network.revision > memory.network.revision:
            self._forget(commit.network_id)

    def _note(self, commit: Commit) -> None:
        if commit.network is None:
            self._told.pop(commit.network_id, None)
        else:
            self._told[commit.network_id] = max(commit.network.revision, self._told.get(commit.network_id, 0))

    def _forget(self, network_id: NetworkId) -> None:
        memory = self._networks.pop(network_id, None)
        for peer_id in memory.peers if memory else ():
            self._homes.pop(peer_id, None)
