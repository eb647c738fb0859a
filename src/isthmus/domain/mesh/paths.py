"""The ways between two peers: who may reach whom, who may do so directly, and where a direct way may begin."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from isthmus.domain.addresses import Endpoint, host_network, is_hostless
from isthmus.domain.errors import InvalidValue
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import MAX_CANDIDATES, Peer


def can_reach(one: Peer, other: Peer) -> bool:
    """Whether packets pass between two peers of one network: an isolated one has jump peers alone."""
    if one.id == other.id or not (one.is_listed and other.is_listed):
        return False
    return one.is_jump or other.is_jump or not (one.isolated or other.isolated)


def may_go_directly(network: Network, one: Peer, other: Peer) -> bool:
    """Whether two peers of `network` look for a way past the jump peers."""
    return network.has_direct_paths and one.has_direct_paths and other.has_direct_paths and one.id != other.id


def tunnels_with_jumps(peers: Sequence[Peer]) -> Iterator[tuple[Peer, Peer]]:
    """Every two peers of a network that stand in each other's configs because one is a jump peer, each pair once."""
    listed = [peer for peer in peers if peer.is_listed]
    for place, jump in enumerate(listed):
        if jump.is_jump:
            yield from ((jump, other) for other in listed[:place] if not other.is_jump)
            yield from ((jump, other) for other in listed[place + 1 :])


def seekers(network: Network, peers: Iterable[Peer]) -> list[Peer]:
    """Those that look for ways past the jump peers: every two of them stand in each other's configs."""
    return [peer for peer in peers if peer.has_direct_paths] if network.has_direct_paths else []


def usable_endpoints(texts: Iterable[str], network: Network) -> tuple[Endpoint, ...]:
    """Those of `texts` where another host may send packets to, in their order, each once, at most `MAX_CANDIDATES`.

    They are what some host says of itself, so a bad one is left out rather than refused with the good ones. Names
    are bad: they would make every other agent ask its resolver. So are addresses inside the network itself, which
    would lead a tunnel into itself.
    """
    found = dict.fromkeys(endpoint for text in texts if (endpoint := _usable(text, network)) is not None)
    return tuple(found)[:MAX_CANDIDATES]


def _usable(text: str, network: Network) -> Endpoint | None:
    try:
        endpoint = Endpoint.parse(text)
        address = ipaddress.ip_address(endpoint.host)
    except (InvalidValue, ValueError):
        return None
    if is_hostless(host_network(address)) or any(address in cidr for cidr in network.cidrs):
        return None
    return endpoint
