"""Random text, networks and topologies for the tests of the domain."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from isthmus.domain.addresses import IPNetwork, sort_key
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Tunnel, tunnel_for
from tests.builders import OFFICE_V4, a_jump, a_key, a_network, a_peer, a_static

# Topologies are slow to draw, and twenty runs of the tests see more of them than one long run.
few = settings(max_examples=40)

_ATOMS = (
    *("10.20.0.0", "198.51.100.7", "fd00::", "::ffff:", "0x7f", "gw.example", "Office", "24", "64", "51820", "0"),
    *("[", "]", ":", "/", "%", ".", "-", " ", "\n", "\x00", "\u0661", "\xe9", "1" * 70),
)
hostile_text = st.text(max_size=40) | st.lists(st.sampled_from(_ATOMS), max_size=7).map("".join)


@st.composite
def ip_networks(draw: st.DrawFn) -> IPNetwork:
    """Any network; half of them close together, so that they overlap and adjoin."""
    if draw(st.booleans()):
        prefix = draw(st.integers(24, 32))
        return IPv4Network((int(IPv4Network("10.20.0.0/22")[0]) + draw(st.integers(0, 1023)), prefix), strict=False)
    address = draw(st.ip_addresses())
    prefix = draw(st.integers(0, address.max_prefixlen))
    if address.version == 4:
        return IPv4Network((int(address), prefix), strict=False)
    return IPv6Network((int(address), prefix), strict=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """A network with its peers in no particular order. `visible` are those that stand in the configs of others."""

    network: Network
    peers: tuple[Peer, ...]
    blocked: frozenset[PeerId]

    @property
    def visible(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.public_key is not None and peer.id not in self.blocked]

    def tunnel_of(self, peer: Peer) -> Tunnel:
        return tunnel_for(self.network, self.peers, peer, self.blocked)


@st.composite
def peers(draw: st.DrawFn, network: Network, number: int) -> Peer:
    """A peer that the rules allow: jump peers have no flags, and every one offers other ranges."""
    is_jump = draw(st.integers(0, 2)) == 0
    fields: dict[str, Any] = {
        "public_key": draw(st.sampled_from([a_key(number), a_key(number), a_key(number), None])),
        "additional_allowed_ips": draw(offers_of(number)),
    }
    if is_jump:
        return a_jump(number, network, **fields)
    fields |= {"isolated": draw(st.booleans()), "full_encapsulation": draw(st.booleans())}
    make = draw(st.sampled_from([a_peer, a_static]))
    return make(number, network, **fields)


def offers_of(number: int) -> st.SearchStrategy[tuple[IPNetwork, ...]]:
    """Ranges that peer `number` alone offers; some of them adjoin the network or each other."""
    ranges = [
        f"10.20.{number}.0/24",
        f"192.168.{2 * number}.0/24",
        f"192.168.{2 * number + 1}.128/25",
        f"fdaa:{number}::/48",
    ]
    return st.sets(st.sampled_from([*map(ip_network, ranges)])).map(lambda some: tuple(sorted(some, key=sort_key)))


@st.composite
def topologies(draw: st.DrawFn, *, blocking: bool = True) -> Topology:
    """Up to eight peers of all kinds and flags in a network with IPv4 or without."""
    network = a_network(cidr_v4=draw(st.sampled_from([OFFICE_V4, None])), keepalive=draw(st.sampled_from([0, 25])))
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=8, unique=True))
    members = tuple(draw(peers(network, number)) for number in numbers)
    some = st.frozensets(st.sampled_from([peer.id for peer in members]), max_size=3)
    return Topology(network, members, draw(some) if blocking else frozenset())
