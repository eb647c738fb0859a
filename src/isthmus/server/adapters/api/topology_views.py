"""What the API shows of a network as a map."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from isthmus.domain.federation.bridge import State
from isthmus.domain.mesh.peer import Kind
from isthmus.domain.mesh.peer_state import PeerState
from isthmus.server.adapters.api.views import PeerName, View
from isthmus.server.application.bridge_status import BridgeStatus
from isthmus.server.application.topology import Node, Topology, Tunnel

Way = Literal["direct", "relayed", "unknown"]


class TopologyNodeView(View):
    """A peer. `since`: when contact began for an online one, else its last sign of life."""

    id: UUID
    name: str
    kind: Kind
    role: Literal["primary", "standby"] | None = Field(description="of a jump peer, else null")
    state: PeerState
    since: datetime | None
    addresses: list[str]
    isolated: bool

    @classmethod
    def of(cls, node: Node) -> "TopologyNodeView":
        peer = node.peer
        return cls(
            id=peer.id,
            name=peer.name,
            kind=peer.kind,
            role=None if not peer.is_jump else "primary" if node.is_primary else "standby",
            state=node.state,
            since=node.since,
            addresses=[*map(str, peer.addresses)],
            isolated=peer.isolated,
        )


class TopologyEdgeView(View):
    """Two peers that stand in each other's configs, by id. `since` and `round_trip_us` are of the present way."""

    one: UUID
    other: UUID
    way: Way = Field(description="unknown: no agent that is in touch with the server says so")
    via: UUID | None = Field(description="the jump peer in between, of a relayed one")
    since: datetime | None
    round_trip_us: int | None = Field(description="microseconds, null = not measured")

    @classmethod
    def of(cls, tunnel: Tunnel) -> "TopologyEdgeView":
        path = tunnel.path
        way: Way = "direct" if path.direct else "unknown" if path.via is None else "relayed"
        return cls(
            one=tunnel.one.id,
            other=path.other.id,
            way=way,
            via=None if path.via is None else path.via.id,
            since=path.since,
            round_trip_us=path.round_trip,
        )


class TopologyBridgeView(View):
    """A bridge to a remote. `effective`: both sides are active; `up`: its tunnel is, as its gateway last said."""

    id: UUID
    remote: str
    network_there: str | None
    state: State
    state_there: State | None
    effective: bool
    up: bool
    gateway: UUID | None = Field(description="the jump peer that holds its tunnel")

    @classmethod
    def of(cls, status: BridgeStatus) -> "TopologyBridgeView":
        bridge = status.bridge
        return cls(
            id=bridge.id,
            remote=bridge.remote,
            network_there=None if bridge.theirs is None else bridge.theirs.terms.network,
            state=bridge.state,
            state_there=None if bridge.theirs is None else bridge.theirs.state,
            effective=status.crossing is not None,
            up=status.is_up,
            gateway=None if status.gateway is None else status.gateway.peer.id,
        )


class TopologyView(View):
    """A network as a map. Tunnels between regular peers are told up to a bound, those first whose way is direct."""

    network: PeerName
    nodes: list[TopologyNodeView]
    edges: list[TopologyEdgeView]
    bridges: list[TopologyBridgeView]
    nodes_left_out: int
    edges_left_out: int

    @classmethod
    def of(cls, found: Topology) -> "TopologyView":
        return cls(
            network=PeerName(id=found.network.id, name=found.network.name),
            nodes=[TopologyNodeView.of(node) for node in found.nodes],
            edges=[TopologyEdgeView.of(tunnel) for tunnel in found.tunnels],
            bridges=[TopologyBridgeView.of(status) for status in found.bridges],
            nodes_left_out=found.peers_left_out,
            edges_left_out=found.tunnels_left_out,
        )
