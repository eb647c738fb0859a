"""A whole network as a map: its peers, the tunnels between them and the ways these take now, its bridges."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, islice

from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.jumps import jumps_in_order
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.paths import seekers, tunnels_with_jumps
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.peer_state import PeerState, state_of
from isthmus.server.application.agents import AgentService
from isthmus.server.application.bridge_status import BridgeStatus, BridgeStatusService
from isthmus.server.application.liveness import LivenessService
from isthmus.server.application.paths import Path, PathService
from isthmus.server.ports import Clock, Store
from isthmus.server.records import Page, PeerFilter

MOST_PEERS = 5_000
# Of those between regular peers, whose number grows with the square of theirs.
MOST_TUNNELS = 5_000
MOST_BRIDGES = 1_000


@dataclass(frozen=True, slots=True)
class Node:
    """`since`: when contact began for an online peer, else its last sign of life, None where there never was one."""

    peer: Peer
    state: PeerState
    since: datetime | None
    is_primary: bool


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Two peers that stand in each other's configs, and the way between them."""

    one: Peer
    path: Path


@dataclass(frozen=True, slots=True)
class Topology:
    """`peers_left_out` and `tunnels_left_out` count what was too much to be told."""

    network: Network
    nodes: Sequence[Node]
    tunnels: Sequence[Tunnel]
    bridges: Sequence[BridgeStatus]
    peers_left_out: int = 0
    tunnels_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Sources:
    """Who knows what of peers."""

    agents: AgentService
    liveness: LivenessService
    paths: PathService
    bridges: BridgeStatusService


class TopologyService:
    def __init__(self, store: Store, clock: Clock, sources: Sources) -> None:
        self._store = store
        self._clock = clock
        self._agents = sources.agents
        self._liveness = sources.liveness
        self._paths = sources.paths
        self._bridges = sources.bridges

    async def of(self, network_id: NetworkId) -> Topology:
        """Raises `NotFound`. Jump peers come first, then the others in the order in which they were made."""
        async with self._store.reading() as tx:
            network = await tx.networks.get(network_id)
            jumps = [peer for peer in await tx.peers.in_every_config(network_id) if peer.is_jump]
            found = await tx.peers.page(Page(limit=MOST_PEERS), PeerFilter(network_id))
            count = await tx.peers.count(network_id)
            peers = [*jumps, *(peer for peer in found if not peer.is_jump)]
            tokens = await tx.enrollments.of_peers([peer.id for peer in peers if peer.kind.has_agent])
        in_order = jumps_in_order(network, jumps)
        statuses = await self._agents.statuses(peer.id for peer in peers)
        now, primary, nodes = self._clock.now(), in_order[0].id if in_order else None, []
        for peer in peers:
            status = statuses[peer.id]
            heard = self._liveness.of(peer, status)
            failed = bool(status.applied_error)
            state = state_of(peer, heard.state, tokens.get(peer.id), now, has_failed=failed)
            nodes.append(Node(peer, state, heard.since, peer.id == primary))
        tunnels = [self._tunnel(network, *pair, in_order) for pair in tunnels_with_jumps(peers)]
        free, left_out = self._between(network, peers)
        tunnels += [self._tunnel(network, *pair, in_order) for pair in free]
        bridges = await self._bridges.page(Page(limit=MOST_BRIDGES), network_id)
        return Topology(network, nodes, tunnels, bridges, count - len(peers), left_out)

    def _tunnel(self, network: Network, one: Peer, other: Peer, jumps: Sequence[Peer]) -> Tunnel:
        return Tunnel(one, self._paths.between(network, one, other, jumps))

    def _between(self, network: Network, peers: Sequence[Peer]) -> tuple[list[tuple[Peer, Peer]], int]:
        """The tunnels between regular peers, those that are open first, and how many more there are."""
        looking = sorted(seekers(network, peers), key=lambda peer: peer.id)
        by_id = {peer.id: peer for peer in looking}
        opened = dict.fromkeys(islice(self._paths.opened(network, looking), 2 * MOST_TUNNELS))

        def closed() -> Iterator[tuple[PeerId, PeerId]]:
            return (pair for pair in combinations(by_id, 2) if pair not in opened)

        pairs = [*islice(opened, MOST_TUNNELS)]
        pairs += islice(closed(), MOST_TUNNELS - len(pairs))
        in_all = len(looking) * (len(looking) - 1) // 2
        return [(by_id[one], by_id[other]) for one, other in pairs], in_all - len(pairs)
