"""Which ways packets take: what differs from the config while direct paths are open or another jump peer serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from isthmus.agent.desired import Desired, Neighbour, Role
from isthmus.domain.addresses import Endpoint, IPNetwork, host_network
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState

FRESH_SECONDS = 180
"""WireGuard takes no packet under a handshake that is older."""
DIRECT_KEEPALIVE = 25
"""Of direct neighbours in a network without keepalives: one is what begins their handshakes."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Direct neighbours that are `open` carry what they take; those that are `awake` send keepalives to where they are
    `tried` or were heard from. `jump` serves in place of the config's primary.

    `absent` ones leave the interface for a moment: only a peer that is made anew begins a handshake at once.
    """

    open: frozenset[PublicKey] = frozenset()
    awake: frozenset[PublicKey] = frozenset()
    tried: Mapping[PublicKey, Endpoint] = field(default_factory=dict)
    absent: frozenset[PublicKey] = frozenset()
    jump: PublicKey | None = None


def overlaid(desired: Desired, ways: Ways) -> Desired:
    """`desired` as it is on these ways. A prefix that several open neighbours take goes to the first by key."""
    neighbours = {key: each for key, each in desired.neighbours.items() if key not in ways.absent}
    carried: set[IPNetwork] = set()
    for key, neighbour in sorted(neighbours.items()):
        if neighbour.role is Role.DIRECT:
            neighbours[key] = _direct(neighbour, ways, carried)
            carried |= neighbours[key].allowed_ips
    if not desired.jumps:
        return replace(desired, neighbours=neighbours) if neighbours != desired.neighbours else desired
    primary = neighbours[desired.jumps[0]]
    serving = ways.jump if ways.jump in desired.jumps else primary.public_key
    if serving == primary.public_key:
        neighbours[serving] = replace(primary, allowed_ips=primary.allowed_ips - carried)
    else:
        # Behind a bridge others are heard through its gateway alone, which takes nothing from another jump peer.
        kept = own_prefixes(primary).union(desired.bridged.prefixes)
        neighbours[primary.public_key] = replace(primary, allowed_ips=kept)
        standby = neighbours[serving]
        neighbours[serving] = replace(standby, allowed_ips=standby.allowed_ips | primary.allowed_ips - kept - carried)
    return replace(desired, neighbours=neighbours)


def found(desired: Desired, state: InterfaceState | None, unix: float) -> Ways:
    """The ways that the interface shows at the time `unix`, for an agent that starts or one that only looks."""
    if state is None:
        return Ways()
    pairs = [(each, state.peers[key]) for key, each in desired.neighbours.items() if key in state.peers]
    direct = [(neighbour, peer) for neighbour, peer in pairs if neighbour.role is Role.DIRECT]
    return Ways(
        open=frozenset(each.public_key for each, peer in direct if _carries(each, peer) and _is_fresh(peer, unix)),
        awake=frozenset(each.public_key for each, peer in direct if peer.keepalive),
        jump=next(
            (
                each.public_key
                for each, peer in pairs
                if each.role is Role.STANDBY and peer.allowed_ips > each.allowed_ips
            ),
            None,
        ),
    )


def own_prefixes(neighbour: Neighbour) -> frozenset[IPNetwork]:
    return frozenset(map(host_network, neighbour.own))


def _direct(neighbour: Neighbour, ways: Ways, carried: set[IPNetwork]) -> Neighbour:
    key = neighbour.public_key
    return replace(
        neighbour,
        allowed_ips=neighbour.takes - carried if key in ways.open else frozenset(),
        endpoint=ways.tried.get(key),
        keepalive=(neighbour.keepalive or DIRECT_KEEPALIVE) if key in ways.awake else 0,
    )


def _carries(neighbour: Neighbour, peer: PeerState) -> bool:
    return bool(peer.allowed_ips) and peer.allowed_ips <= neighbour.takes


def _is_fresh(peer: PeerState, unix: float) -> bool:
    return peer.latest_handshake is not None and unix - peer.latest_handshake < FRESH_SECONDS
