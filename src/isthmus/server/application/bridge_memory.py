"""What gateways say of their bridges: in memory alone, for each tells it all again to a server that was restarted."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.crossing import INGRESSES
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.ports import Clock, Store
from isthmus.server.records import Commit


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The other gateway on the interface of ours; bytes as ours counts them."""

    endpoint: str | None
    latest_handshake: datetime | None
    rx: int
    tx: int


@dataclass(frozen=True, slots=True)
class Passed:
    """What passed by the flows of one id since the gateway has them; `grew_at` is when a report had more than the one
    before."""

    packets: int
    size: int
    grew_at: datetime | None = None


@dataclass(slots=True)
class Said:
    """All that one gateway said. `heard_at` is its last heartbeat, from which the lease of its bridges counts."""

    gateway: PeerId
    heard_at: datetime
    tunnels: dict[UUID, Tunnel] = field(default_factory=dict)
    passed: dict[tuple[UUID, str], Passed] = field(default_factory=dict)


class BridgeMemory:
    """Of each network what its gateway says; another gateway begins anew. What it names that is no bridge or flow of
    the network is passed over, so this is no larger than what was told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[NetworkId, Said] = {}
        self._used: dict[UUID, datetime] = {}

    def of(self, network_id: NetworkId, gateway: PeerId | None) -> Said | None:
        said = self._said.get(network_id)
        return said if said is not None and said.gateway == gateway else None

    def take(self, memory: NetworkMemory, peer: Peer, beat: wire.Heartbeat) -> None:
        """Take over what a heartbeat says of bridges."""
        if not memory.bridges or not peer.is_jump or memory.crossings.gateway != peer.id:
            return
        known = self.of(memory.network.id, peer.id)
        said = known or self._said.setdefault(memory.network.id, Said(peer.id, self._clock.now()))
        said.heard_at = self._clock.now()
        for report in beat.peers:
            bridge_id = memory.ends.get(PublicKey(report.public_key))
            if bridge_id is not None:
                said.tunnels[bridge_id] = _tunnel(report)
        for flow in beat.flows:
            grew = self._count(said, memory, flow)
            # Of what a gateway says first nobody knows when it passed.
            if grew and known is not None and flow.flow not in INGRESSES:
                self._used[UUID(flow.flow)] = said.heard_at

    async def flush(self, store: Store) -> None:
        """Write down when packets passed by which grants last; what a crash loses of it is of no weight."""
        used, self._used = self._used, {}
        if used:
            async with store.transaction() as tx:
                await tx.grants.used(list(used.items()))

    def _count(self, said: Said, memory: NetworkMemory, report: wire.FlowReport) -> bool:
        """Whether more has passed than was known."""
        try:
            bridge_id = UUID(report.bridge)
        except ValueError:
            return False
        crossing = memory.bridges.get(bridge_id)
        if crossing is None or all(flow.id != report.flow for flow in crossing.flows):
            return False
        before = said.passed.get((bridge_id, report.flow))
        # A gateway that began to count anew has less than before, and all of that is new.
        grew = report.packets != (0 if before is None else before.packets)
        grew_at = self._clock.now() if grew else None if before is None else before.grew_at
        said.passed[bridge_id, report.flow] = Passed(report.packets, report.size, grew_at)
        return grew

    def changed(self, commit: Commit) -> None:
        """Forget what is no more."""
        if commit.network is None:
            self._said.pop(commit.network_id, None)
        said = self._said.get(commit.network_id)
        if said is None:
            return
        for bridge_id, crossing in commit.crossings.items():
            present = set() if crossing is None else {flow.id for flow in crossing.flows}
            if crossing is None:
                said.tunnels.pop(bridge_id, None)
            for known in [each for each in said.passed if each[0] == bridge_id and each[1] not in present]:
                del said.passed[known]


def _tunnel(report: wire.PeerReport) -> Tunnel:
    handshake = datetime.fromtimestamp(report.latest_handshake, UTC) if report.latest_handshake else None
    return Tunnel(report.endpoint or None, handshake, report.rx, report.tx)
