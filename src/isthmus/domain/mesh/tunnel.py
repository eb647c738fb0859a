"""What one peer's WireGuard interface shall be. Equal state gives equal results, in one documented order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from isthmus.domain.addresses import (
    DEFAULT_ROUTES,
    Endpoint,
    IPAddress,
    IPNetwork,
    collapse,
    host_network,
    sort_key,
)
from isthmus.domain.ids import PublicKey
from isthmus.domain.mesh.crossing import NO_CROSSINGS, Bridged, Crossings
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer


class Role(StrEnum):
    """Why a peer stands in another's config."""

    PRIMARY = "primary"
    STANDBY = "standby"
    MEMBER = "member"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One WireGuard peer of an interface. `keepalive` in seconds, None = off.

    A DIRECT one is tried at `candidates` and has no allowed IPs of its own; `takes` are those that it takes over from
    the primary while a handshake with it is fresh.
    Of a MEMBER, `isolated` and `encapsulated` say how a jump peer forwards for it.
    """

    name: str
    public_key: PublicKey
    allowed_ips: tuple[IPNetwork, ...]
    role: Role
    endpoint: Endpoint | None = None
    keepalive: int | None = None
    candidates: tuple[Endpoint, ...] = ()
    takes: tuple[IPNetwork, ...] = ()
    isolated: bool = False
    encapsulated: bool = False


@dataclass(frozen=True, slots=True)
class Dns:
    """The network's names: `servers` answer for `domain` and for the addresses in `cidrs`; a jump peer has none and is
    one, asking `upstreams` for all other names."""

    domain: str
    cidrs: tuple[IPNetwork, ...] = ()
    servers: tuple[IPAddress, ...] = ()
    upstreams: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What a host does for others: `isolated` may not be forwarded to or from inside the tunnel, the traffic of
    `encapsulated` leaves for the world under the host's own address, `offered` are the ranges behind the host."""

    between_peers: bool = False
    isolated: tuple[IPAddress, ...] = ()
    encapsulated: tuple[IPAddress, ...] = ()
    offered: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Tunnel:
    """`listen_port` None lets the host choose; `routes` are the prefixes that lead into the interface. `bridged` is
    added to all that, and is taken away by itself."""

    addresses: tuple[IPAddress, ...]
    mtu: int
    listen_port: int | None
    neighbours: tuple[Neighbour, ...]
    routes: tuple[IPNetwork, ...]
    forwarding: Forwarding
    dns: Dns | None = None
    bridged: Bridged | None = None


def tunnel_for(
    network: Network,
    peers: Iterable[Peer],
    me: Peer,
    crossings: Crossings = NO_CROSSINGS,
) -> Tunnel:
    """The interface of `me` among `peers` of `network` with its `crossings`, blocked peers left out everywhere.

    A blocked peer gets no neighbours at all.
    """
    others = sorted((peer for peer in peers if peer.is_listed and peer.id != me.id), key=lambda peer: peer.id)
    if me.blocked:
        others = []
    if me.is_jump:
        return _jump_tunnel(network, others, me, crossings)
    return _regular_tunnel(network, others, me, crossings)


def bridged_for(me: Peer, crossings: Crossings) -> Bridged | None:
    """What the crossings of its network add to `me`, as long as they last.

    All lead through the gateway. A standby jump peer has no part in them, and an isolated peer none either. Where all
    traffic goes through the tunnel it leads there without being said. Nobody takes anything away from a static peer
    when the time is over, so its config holds the prefixes for good and the gateway alone decides.
    """
    if crossings.gateway is None or not crossings.bridges or me.blocked:
        return None
    if me.id == crossings.gateway:
        return Bridged(crossings.prefixes, crossings.bridges, crossings.lease)
    if me.is_jump or me.isolated or me.full_encapsulation or not me.kind.has_agent:
        return None
    return Bridged(crossings.prefixes, lease=crossings.lease)


def as_member(peer: Peer) -> Neighbour:
    """How a jump peer lists `peer`: by its own addresses and the ranges behind it."""
    allowed = (*map(host_network, peer.addresses), *peer.offers)
    return Neighbour(
        peer.name,
        _key(peer),
        allowed,
        Role.MEMBER,
        peer.endpoint if peer.is_jump else None,
        isolated=peer.isolated,
        encapsulated=peer.full_encapsulation,
    )


def as_direct(network: Network, peer: Peer) -> Neighbour:
    """How a regular peer lists another one that it may reach without a jump peer."""
    return Neighbour(
        peer.name,
        _key(peer),
        (),
        Role.DIRECT,
        keepalive=network.keepalive or None,
        candidates=peer.direct_endpoints,
        takes=(*map(host_network, peer.addresses), *peer.offers),
    )


def in_order(network: Network, jumps: Iterable[Peer]) -> list[Peer]:
    """The jump peers of a network as its regular peers use them: the present primary, then the others by age."""
    return sorted(jumps, key=lambda jump: (jump.id != network.primary_id, jump.id))


def offered_by(peers: Iterable[Peer]) -> list[IPNetwork]:
    """All ranges behind `peers`, sorted."""
    return sorted((offer for peer in peers for offer in peer.offers), key=sort_key)


def jump_forwarding(others: Iterable[Peer], me: Peer) -> Forwarding:
    """What jump peer `me` does for `others`."""
    peers = list(others)
    return Forwarding(
        between_peers=True,
        isolated=tuple(address for peer in peers if peer.isolated for address in peer.addresses),
        encapsulated=tuple(address for peer in peers if peer.full_encapsulation for address in peer.addresses),
        offered=me.offers,
    )


def jump_routes(network: Network, others: Iterable[Peer]) -> tuple[IPNetwork, ...]:
    return collapse([*network.cidrs, *offered_by(others)])


def listen_port(network: Network, me: Peer) -> int | None:
    """A jump peer listens where its endpoint says; everyone else on any port, so two networks fit on one host."""
    return (me.endpoint.port if me.endpoint else network.listen_port) if me.is_jump else None


def _jump_tunnel(network: Network, others: Sequence[Peer], me: Peer, crossings: Crossings) -> Tunnel:
    return Tunnel(
        addresses=me.addresses,
        mtu=network.mtu,
        listen_port=listen_port(network, me),
        neighbours=tuple(map(as_member, others)),
        routes=jump_routes(network, others),
        forwarding=jump_forwarding(others, me),
        dns=jump_dns(network),
        bridged=bridged_for(me, crossings),
    )


def jump_dns(network: Network) -> Dns:
    return Dns(network.domain, network.cidrs, upstreams=network.dns_upstreams)


def _regular_tunnel(network: Network, others: Sequence[Peer], me: Peer, crossings: Crossings) -> Tunnel:
    jumps = in_order(network, (peer for peer in others if peer.is_jump))
    neighbours = []
    for position, jump in enumerate(jumps):
        allowed = tuple(map(host_network, jump.addresses))
        if position == 0:
            beyond = () if me.kind.has_agent else crossings.prefixes
            through = _through_primary(network, others, me, allowed, beyond)
            # An agent that passes over its primary still reaches that one itself, and has to know by which addresses.
            allowed = tuple(dict.fromkeys((*allowed, *through))) if me.kind.has_agent else through
        role = Role.STANDBY if position else Role.PRIMARY
        neighbours.append(
            Neighbour(
                jump.name,
                _key(jump),
                allowed,
                role,
                jump.endpoint,
                network.keepalive or None,
            ),
        )
    routes = collapse([prefix for neighbour in neighbours for prefix in neighbour.allowed_ips])
    if network.has_direct_paths and me.has_direct_paths:
        neighbours += [as_direct(network, peer) for peer in others if peer.has_direct_paths]
    servers = tuple(address for jump in jumps for address in jump.addresses)
    return Tunnel(
        addresses=me.addresses,
        mtu=network.mtu,
        listen_port=None,
        neighbours=tuple(neighbours),
        routes=routes,
        forwarding=Forwarding(offered=me.offers),
        dns=Dns(network.domain, network.cidrs, servers) if servers else None,
        bridged=bridged_for(me, crossings),
    )


def _through_primary(
    network: Network,
    others: Iterable[Peer],
    me: Peer,
    own_addresses: tuple[IPNetwork, ...],
    beyond: tuple[IPNetwork, ...],
) -> tuple[IPNetwork, ...]:
    """What a regular peer sends to its primary jump peer; `beyond` lies behind bridges."""
    if me.full_encapsulation:
        return DEFAULT_ROUTES
    if me.isolated:
        return own_addresses
    return (*network.cidrs, *offered_by(others), *beyond)


def _key(peer: Peer) -> PublicKey:
    if peer.public_key is None:
        raise ValueError(f"{peer.name} has no key yet and stands in no config")
    return peer.public_key
