"""A network as it was: what of it the revision log keeps, and how its state at any revision is put together again."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.crossing import Bridged, Crossing, Crossings
from isthmus.domain.mesh.jumps import held_by
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.domain.mesh.tunnel import Tunnel, as_direct, as_member, bridged_for, tunnel_for
from isthmus.server.crossing_records import BRIDGE_CHANGED, crossing_of
from isthmus.server.records import Change

State = dict[str, Any]

# When a peer was made stands in no config.
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
# In the state of a network: what became of its peers by the same change, by their ids.
PEERS = "peers"


def peer_state(peer: Peer) -> State:
    """What configs depend on, as JSON; what has its default is left out. No secret is in it."""
    state: State = {
        "name": peer.name,
        "kind": peer.kind.value,
        "addresses": [str(address) for address in peer.addresses],
    }
    if peer.public_key is not None:
        state["public_key"] = peer.public_key
    if peer.endpoint is not None:
        state["endpoint"] = str(peer.endpoint)
    if peer.additional_allowed_ips:
        state["additional_allowed_ips"] = [str(offer) for offer in peer.additional_allowed_ips]
    if peer.candidates:
        state["candidates"] = [str(candidate) for candidate in peer.candidates]
    if peer.observed is not None:
        state["observed"] = str(peer.observed)
    for flag in ("isolated", "full_encapsulation", "blocked"):
        if getattr(peer, flag):
            state[flag] = True
    return state


def network_state(network: Network) -> State:
    """What configs depend on, as JSON. How many agents there are follows from the peers."""
    return {
        "name": network.name,
        "cidr_v4": None if network.cidr_v4 is None else str(network.cidr_v4),
        "cidr_v6": str(network.cidr_v6),
        "domain": network.domain,
        "mtu": network.mtu,
        "listen_port": network.listen_port,
        "keepalive": network.keepalive,
        "direct_paths": network.direct_paths.value,
        "primary_id": None if network.primary_id is None else str(network.primary_id),
        "dns_upstreams": [str(address) for address in network.dns_upstreams],
    }


def whole_state(network: Network, peers: Iterable[Peer]) -> State:
    """The state of a network together with that of all its peers: a place for a history to begin."""
    return network_state(network) | {PEERS: {str(peer.id): peer_state(peer) for peer in peers}}


def renumbered_state(network: Network, peers: Iterable[Peer]) -> State:
    """The state of a network whose peers all got other addresses by the same change."""
    moved = {str(peer.id): {"addresses": [str(address) for address in peer.addresses]} for peer in peers}
    return network_state(network) | {PEERS: moved}


def peer_of(peer_id: PeerId, network_id: NetworkId, state: State) -> Peer:
    return Peer(
        id=peer_id,
        network_id=network_id,
        name=state["name"],
        kind=Kind(state["kind"]),
        addresses=tuple(map(ip_address, state["addresses"])),
        created_at=LONG_AGO,
        public_key=state.get("public_key"),
        endpoint=_endpoint(state.get("endpoint")),
        isolated=state.get("isolated", False),
        full_encapsulation=state.get("full_encapsulation", False),
        additional_allowed_ips=tuple(map(ip_network, state.get("additional_allowed_ips", ()))),
        candidates=tuple(map(Endpoint.parse, state.get("candidates", ()))),
        observed=_endpoint(state.get("observed")),
        blocked=state.get("blocked", False),
    )


def network_of(network_id: NetworkId, state: State) -> Network:
    v4, primary = state["cidr_v4"], state["primary_id"]
    return Network(
        id=network_id,
        name=state["name"],
        cidr_v4=None if v4 is None else IPv4Network(v4),
        cidr_v6=IPv6Network(state["cidr_v6"]),
        domain=state["domain"],
        created_at=LONG_AGO,
        mtu=state["mtu"],
        listen_port=state["listen_port"],
        keepalive=state["keepalive"],
        direct_paths=DirectPaths(state["direct_paths"]),
        primary_id=None if primary is None else PeerId(UUID(primary)),
        dns_upstreams=tuple(map(ip_address, state["dns_upstreams"])),
    )


def _endpoint(text: str | None) -> Endpoint | None:
    return None if text is None else Endpoint.parse(text)


@dataclass(slots=True)
class Past:
    """One network at one revision. `shared` are the peers that stand in every regular config; `states` are what
    `peers` were read from, which later changes may name in part. `bridges` are the crossings."""

    network_id: NetworkId
    network: Network | None = None
    peers: dict[PeerId, Peer] = field(default_factory=dict)
    shared: dict[PeerId, Peer] = field(default_factory=dict)
    states: dict[PeerId, State] = field(default_factory=dict)
    bridges: dict[UUID, Crossing] = field(default_factory=dict)
    agents: int = 0

    def apply(self, change: Change) -> None:
        """Go on to the revision of `change`, the next one that says anything new of its subject."""
        if change.event == BRIDGE_CHANGED:
            self._bridge(change)
        elif change.subject != self.network_id:
            self._put(PeerId(change.subject), change.state)
        elif change.state is not None:
            self.network = network_of(self.network_id, change.state)
            for text, state in change.state.get(PEERS, {}).items():
                peer_id = PeerId(UUID(text))
                # A part of a peer that is not known is followed by all of it: only its last change is looked at.
                if peer_id in self.states or "name" in state:
                    self._put(peer_id, self.states.get(peer_id, {}) | state)
        if self.network is not None:
            self.network = replace(self.network, agents=self.agents)

    def _bridge(self, change: Change) -> None:
        if change.state is None:
            self.bridges.pop(change.subject, None)
        else:
            self.bridges[change.subject] = crossing_of(change.state)

    def _crossings(self, network: Network) -> Crossings:
        return held_by(network, self.shared.values(), (self.bridges[each] for each in sorted(self.bridges)))

    def _put(self, peer_id: PeerId, state: State | None) -> None:
        before = self.peers.pop(peer_id, None)
        self.shared.pop(peer_id, None)
        self.states.pop(peer_id, None)
        self.agents -= before is not None and before.kind is Kind.DYNAMIC
        if state is None:
            return
        peer = self.peers[peer_id] = peer_of(peer_id, self.network_id, state)
        self.states[peer_id] = state
        self.agents += peer.kind is Kind.DYNAMIC
        if peer.is_jump or peer.offers:
            self.shared[peer_id] = peer

    def tunnel(self, peer_id: PeerId) -> Tunnel | None:
        """What the peer was told; None before it was there and after it was gone."""
        me = self.peers.get(peer_id)
        if me is None or self.network is None:
            return None
        return tunnel_for(self.network, self.peers.values(), me, self._crossings(self.network))

    def told(self, peer_id: PeerId) -> object:
        """All that the peer is told of itself and others, to be compared."""
        me = self.peers.get(peer_id)
        return None if me is None else (me.name, me.public_key, me.blocked, self.tunnel(peer_id))

    def moves(self, change: Change, peer_id: PeerId) -> bool:
        """Go on to `change`, and say whether that changed what the peer is told.

        To compare whole configs would cost the size of the network; of another peer's change only that peer's part
        can differ.
        """
        me, network, subject = self.peers.get(peer_id), self.network, PeerId(change.subject)
        bridged = self._bridged(me)
        if me is None or network is None or subject in {peer_id, PeerId(self.network_id)}:
            before = self.told(peer_id)
            self.apply(change)
            return self.told(peer_id) != before
        other, ways = self.peers.get(subject), self._ways(me)
        whole = self.tunnel(peer_id) if _is_at_the_edge(network) else None
        self.apply(change)
        after = self.network
        if after is None or me.blocked:
            return False
        if self._bridged(me) != bridged:
            return True
        if after.has_direct_paths != network.has_direct_paths:
            return self.tunnel(peer_id) != whole
        now = self.peers.get(subject)
        if me.is_jump:
            return _as_member(other) != _as_member(now)
        return ways != self._ways(me) or (
            after.has_direct_paths and me.has_direct_paths and _as_direct(after, other) != _as_direct(after, now)
        )

    def _ways(self, me: Peer) -> Tunnel | None:
        """The tunnel of a regular peer without direct paths: it depends on few others."""
        if me.is_jump or self.network is None:
            return None
        network = replace(self.network, direct_paths=DirectPaths.OFF)
        return tunnel_for(network, self.shared.values(), me, self._crossings(network))

    def _bridged(self, me: Peer | None) -> Bridged | None:
        return None if me is None or self.network is None else bridged_for(me, self._crossings(self.network))


def _is_at_the_edge(network: Network) -> bool:
    """Whether one agent more or less may switch direct paths on or off."""
    return any(
        replace(network, agents=network.agents + more).has_direct_paths != network.has_direct_paths for more in (-1, 1)
    )


def _as_member(peer: Peer | None) -> object:
    return None if peer is None or not peer.is_listed else as_member(peer)


def _as_direct(network: Network, peer: Peer | None) -> object:
    return None if peer is None or not peer.has_direct_paths else as_direct(network, peer)
