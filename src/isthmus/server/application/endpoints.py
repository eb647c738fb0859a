"""Where agents may try each other directly: what their hosts report, and the endpoints that the primary jump peer sees.

Heartbeats only note that there is news. A task in the background makes revisions of it, in batches and at a bounded
rate for each peer, so that a host whose addresses flap neither slows heartbeats down nor floods its network. Such a
revision has its row in the revision log and none in the audit log, which is for what somebody decided.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.jumps import jumps_in_order
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.paths import usable_endpoints
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.application.path_memory import PathMemory
from isthmus.server.application.revisions import Step, advance
from isthmus.server.ports import Clock, Listeners, Store, Transaction
from isthmus.server.records import Commit

# What a host reports settles for so long before others hear of it, and then stays for so long at least.
SETTLE_SECONDS = 1.0
HOLD_SECONDS = 5.0
# A transaction holds its network, and SQLite's only writer, for as long as it lasts.
MOST_AT_ONCE = 20
# How many reports are looked at in one turn, which nothing else interrupts.
MOST_LOOKED_AT = 200


class EndpointService:
    def __init__(self, store: Store, clock: Clock, listeners: Listeners, mesh: MeshMemory, paths: PathMemory) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._mesh = mesh
        self._paths = paths
        # Peers with news: their network, and since when. At most one entry for each peer that there is.
        self._news: dict[PeerId, tuple[NetworkId, float]] = {}
        self._told: dict[PeerId, float] = {}
        # Of each network with direct paths: whose observations count.
        self._observers: dict[NetworkId, PeerId | None] = {}

    def take(self, memory: NetworkMemory, peer: Peer, beat: wire.Heartbeat) -> None:
        """Note of whom a heartbeat has news; called before the memory of paths takes it over."""
        if not memory.network.has_direct_paths:
            return
        known = self._paths.agents(memory.network.id).get(peer.id)
        if peer.kind is Kind.DYNAMIC:
            if beat.candidates is not None and (known is None or beat.candidates != known.candidates):
                self._note(memory.network.id, [peer.id])
        elif beat.peers and _primary(memory) == peer.id:
            seen = {} if known is None else known.seen
            for report in beat.peers:
                other = memory.by_key.get(PublicKey(report.public_key))
                if other is not None and report.latest_handshake and report.endpoint:
                    before = seen.get(other)
                    if before is None or before.at is None or before.endpoint != report.endpoint:
                        self._note(memory.network.id, [other])

    def changed(self, commit: Commit) -> None:
        """What was reported before may count from now on; called after the memory of networks has moved on."""
        network_id, memory = commit.network_id, self._mesh.known(commit.network_id)
        if commit.network is None or not commit.network.has_direct_paths:
            self._observers.pop(network_id, None)
            return
        observer = None if memory is None else _primary(memory)
        if network_id not in self._observers or observer != self._observers[network_id]:
            agents = self._paths.agents(network_id)
            seen = {} if observer is None or observer not in agents else agents[observer].seen
            self._note(network_id, [*agents, *seen])
        self._observers[network_id] = observer
        self._note(network_id, (peer.id for peer in commit.changed))

    def _note(self, network_id: NetworkId, peer_ids: Iterable[PeerId]) -> None:
        for peer_id in peer_ids:
            self._news.setdefault(peer_id, (network_id, self._paths.now()))

    async def work(self) -> None:
        """Make revisions of the news that is due; what the store does not take now is tried again."""
        for network_id, peer_ids in self._due().items():
            # Taken out first: what is reported while this is written is news again.
            for peer_id in peer_ids:
                del self._news[peer_id]
            try:
                commits = await self._write(network_id, peer_ids)
            except BaseException:
                self._note(network_id, peer_ids)
                raise
            for commit in commits:
                self._told |= dict.fromkeys((peer.id for peer in commit.changed), self._paths.now())
                self._listeners.changed(commit)

    def _due(self) -> dict[NetworkId, list[PeerId]]:
        now = self._paths.now()
        self._told = {peer_id: at for peer_id, at in self._told.items() if now < at + HOLD_SECONDS}
        ripe = [
            (peer_id, network_id)
            for peer_id, (network_id, since) in self._news.items()
            if now >= since + SETTLE_SECONDS and peer_id not in self._told
        ]
        due: dict[NetworkId, list[PeerId]] = defaultdict(list)
        for peer_id, network_id in ripe[:MOST_LOOKED_AT]:
            if self._is_known_to_all(network_id, peer_id):
                del self._news[peer_id]
            elif len(due[network_id]) < MOST_AT_ONCE:
                due[network_id].append(peer_id)
        return {network_id: peer_ids for network_id, peer_ids in due.items() if peer_ids}

    def _is_known_to_all(self, network_id: NetworkId, peer_id: PeerId) -> bool:
        """Whether memory says that there is nothing to write."""
        memory = self._mesh.known(network_id)
        if memory is None:
            return False
        peer = memory.peers.get(peer_id)
        return peer is None or self._reported(memory.network, peer, _primary(memory)) == peer

    async def _write(self, network_id: NetworkId, peer_ids: Sequence[PeerId]) -> list[Commit]:
        commits: list[Commit] = []
        async with self._store.transaction() as tx:
            try:
                network = await tx.networks.lock(network_id)
            except NotFound:
                return []
            jumps = jumps_in_order(network, await tx.peers.in_every_config(network_id))
            for peer_id in peer_ids:
                commit = await self._advanced(tx, network, peer_id, jumps[0].id if jumps else None)
                if commit is not None:
                    network = commit.at
                    commits.append(commit)
        return commits

    async def _advanced(
        self, tx: Transaction, network: Network, peer_id: PeerId, primary: PeerId | None
    ) -> Commit | None:
        try:
            before = await tx.peers.get(peer_id)
        except NotFound:
            return None
        after = self._reported(network, before, primary)
        if after == before:
            return None
        commit = await advance(tx, network, Step("peer.endpoints", peer_id, before, after), self._clock.now())
        await tx.peers.save(commit.changed[0])
        return commit

    def _reported(self, network: Network, peer: Peer, primary: PeerId | None) -> Peer:
        """`peer` with the endpoints that are known of it now. What nobody has reported stays as it is."""
        if not network.has_direct_paths or not peer.has_direct_paths or peer.network_id != network.id:
            return peer
        agents = self._paths.agents(network.id)
        own, jump = agents.get(peer.id), None if primary is None else agents.get(primary)
        if own is not None and own.candidates is not None:
            peer = replace(peer, candidates=usable_endpoints(own.candidates, network))
        seen = None if jump is None else jump.seen.get(peer.id)
        if seen is not None and seen.at is not None and seen.endpoint is not None:
            observed = usable_endpoints([seen.endpoint], network)
            peer = replace(peer, observed=observed[0]) if observed else peer
        return peer


def _primary(memory: NetworkMemory) -> PeerId | None:
    jumps = jumps_in_order(memory.network, memory.shared.values())
    return jumps[0].id if jumps else None
