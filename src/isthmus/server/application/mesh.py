"""The networks in memory: what agents are sent, without a query. It can be thrown away and is rebuilt on demand."""

import asyncio

from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.change_log import MOST
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.ports import Store
from isthmus.server.records import Commit

# How many of the last revisions are read with a network, so that agents which come back after a restart get deltas.
REMEMBERED = 512


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

    def at_hand(self, peer_id: PeerId) -> tuple[NetworkMemory, Peer] | None:
        """What `around` returns, where it needs no reading."""
        memory = self._home_of(peer_id)
        return None if memory is None else (memory, memory.peers[peer_id])

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
            network = await tx.networks.get(peer.network_id)
            peers = await tx.peers.of_network(network.id)
            after = max(0, network.revision - min(REMEMBERED, MOST))
            crossings = await tx.crossings.of_network(network.id)
            changes = await tx.journal.changes(network.id, after, REMEMBERED)
        return NetworkMemory.loaded(network, peers, changes, crossings)

    def changed(self, commit: Commit) -> None:
        """Take a commit over. A network that is not in memory stays out of it until somebody asks."""
        self._note(commit)
        memory = self._networks.get(commit.network_id)
        if memory is None:
            return
        if commit.network is None or commit.reload:
            self._forget(commit.network_id)
        elif commit.network.revision == memory.network.revision + 1:
            memory.take(commit.network, commit)
            self._homes.update((peer.id, commit.network_id) for peer in commit.changed)
            for peer_id in commit.removed:
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
