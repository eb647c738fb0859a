"""A whole network as a map: its peers, the tunnels between them and the ways these take now, its bridges."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, islice

from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.enrollment import EnrollmentToken
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
# How many peers are kept in memory, over all networks whose maps were asked for last.
MOST_KEPT = 20_000


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
class Ground:
    """What of a map is in the store, and what follows from it alone: it is read and worked out once, until something
    of it is written. `in_order` are the jump peers, `to_jumps` the tunnels with them; `seekers` look for each other."""

    network: Network
    peers: Sequence[Peer]
    tokens: Mapping[PeerId, EnrollmentToken]
    in_order: Sequence[Peer]
    to_jumps: Sequence[tuple[Peer, Peer]]
    seekers: Mapping[PeerId, Peer]
    has_bridges: bool
    left_out: int


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
        self._grounds: OrderedDict[NetworkId, Ground] = OrderedDict()
        self._writes = 0
        store.on_map_written.append(self._forget)

    async def of(self, network_id: NetworkId) -> Topology:
        """Raises `NotFound`. Jump peers come first, then the others in the order in which they were made."""
        ground = await self._ground(network_id)
        network, in_order = ground.network, ground.in_order
        statuses = await self._agents.statuses(peer.id for peer in ground.peers)
        now, primary, nodes = self._clock.now(), in_order[0].id if in_order else None, []
        for peer in ground.peers:
            status = statuses[peer.id]
            heard = self._liveness.of(peer, status)
            failed = bool(status.applied_error)
            state = state_of(peer, heard.state, ground.tokens.get(peer.id), now, has_failed=failed)
            nodes.append(Node(peer, state, heard.since, peer.id == primary))
        tunnels = [self._tunnel(network, *pair, in_order) for pair in ground.to_jumps]
        free, left_out = self._between(network, ground.seekers)
        tunnels += [self._tunnel(network, *pair, in_order) for pair in free]
        page = Page(limit=MOST_BRIDGES)
        bridges = await self._bridges.page(page, network_id) if ground.has_bridges else []
        return Topology(network, nodes, tunnels, bridges, ground.left_out, left_out)

    async def _ground(self, network_id: NetworkId) -> Ground:
        known = self._grounds.get(network_id)
        if known is not None:
            self._grounds.move_to_end(network_id)
            return known
        writes = self._writes
        ground = await self._read(network_id)
        # What was written while it was read may be missing in it.
        if writes == self._writes:
            self._keep(network_id, ground)
        return ground

    async def _read(self, network_id: NetworkId) -> Ground:
        async with self._store.reading() as tx:
            network = await tx.networks.get(network_id)
            jumps = [peer for peer in await tx.peers.in_every_config(network_id) if peer.is_jump]
            found = await tx.peers.page(Page(limit=MOST_PEERS), PeerFilter(network_id))
            count = await tx.peers.count(network_id)
            peers = [*jumps, *(peer for peer in found if not peer.is_jump)]
            tokens = await tx.enrollments.of_peers([peer.id for peer in peers if peer.kind.has_agent])
            bridges = await tx.bridges.of_network(network_id)
        return Ground(
            network,
            peers,
            tokens,
            jumps_in_order(network, jumps),
            [*tunnels_with_jumps(peers)],
            {peer.id: peer for peer in sorted(seekers(network, peers), key=lambda peer: peer.id)},
            has_bridges=bool(bridges),
            left_out=count - len(peers),
        )

    def _keep(self, network_id: NetworkId, ground: Ground) -> None:
        self._grounds[network_id] = ground
        kept = sum(len(each.peers) for each in self._grounds.values())
        while kept > MOST_KEPT:
            _, oldest = self._grounds.popitem(last=False)
            kept -= len(oldest.peers)

    def _forget(self) -> None:
        self._writes += 1
        self._grounds.clear()

    def _tunnel(self, network: Network, one: Peer, other: Peer, jumps: Sequence[Peer]) -> Tunnel:
        return Tunnel(one, self._paths.between(network, one, other, jumps))

    def _between(self, network: Network, by_id: Mapping[PeerId, Peer]) -> tuple[list[tuple[Peer, Peer]], int]:
        """The tunnels between regular peers, those that are open first, and how many more there are."""
        opened = dict.fromkeys(islice(self._paths.opened(network, by_id.values()), 2 * MOST_TUNNELS))

        def closed() -> Iterator[tuple[PeerId, PeerId]]:
            return (pair for pair in combinations(by_id, 2) if pair not in opened)

        pairs = [*islice(opened, MOST_TUNNELS)]
        pairs += islice(closed(), MOST_TUNNELS - len(pairs))
        in_all = len(by_id) * (len(by_id) - 1) // 2
        return [(by_id[one], by_id[other]) for one, other in pairs], in_all - len(pairs)
