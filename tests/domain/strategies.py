"""Random text, networks and topologies for the tests of the domain."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import product

from hypothesis import settings
from hypothesis import strategies as st

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Tunnel, tunnel_for
from tests.builders import OFFICE_V4, a_jump, a_key, a_network, a_peer, a_static

# Enough to find what breaks: many runs of the tests see more of the possible values than one long run.
few = settings(max_examples=30)

_ATOMS = (
    *("10.20.0.0", "198.51.100.7", "fd00::", "::ffff:", "0x7f", "gw.example", "Office", "24", "64", "51820", "0"),
    *("[", "]", ":", "/", "%", ".", "-", " ", "\n", "\x00", "\u0661", "\xe9", "1" * 70),
)
hostile_text = st.text(max_size=40) | st.lists(st.sampled_from(_ATOMS), max_size=7).map("".join)


@st.composite
def near_networks(draw: st.DrawFn) -> IPv4Network:
    """A network of 10.20.0.0/22: several of them overlap and adjoin."""
    return IPv4Network(
        (int(IPv4Address("10.20.0.0")) + draw(st.integers(0, 1023)), draw(st.integers(24, 30))), strict=False
    )


@st.composite
def far_networks(draw: st.DrawFn) -> IPNetwork:
    """Any network at all."""
    address = draw(st.ip_addresses())
    return ip_network(f"{address}/{draw(st.integers(0, address.max_prefixlen))}", strict=False)


def ip_networks() -> st.SearchStrategy[IPNetwork]:
    return near_networks() | far_networks()


@dataclass(frozen=True, slots=True)
class Topology:
    """A network with its peers in no particular order. `visible` are those that stand in the configs of others."""

    network: Network
    peers: tuple[Peer, ...]

    @property
    def visible(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.is_listed]

    def tunnel_of(self, peer: Peer) -> Tunnel:
        return tunnel_for(self.network, self.peers, peer)


_ENROLLED = [True, True, True, False]
# Who makes the peer, and whether it is isolated, fully encapsulated, enrolled: jump peers have no flags.
_MAKES: list[tuple[Callable[..., Peer], bool, bool, bool]] = [
    *product([a_jump] * 4, [False], [False], _ENROLLED),
    *product([a_peer, a_static], [False, True], [False, True], _ENROLLED),
]


@st.composite
def peers(draw: st.DrawFn, network: Network, number: int) -> Peer:
    """A peer that the rules allow; every number offers other ranges."""
    make, isolated, encapsulated, enrolled = draw(st.sampled_from(_MAKES))
    fields = {"additional_allowed_ips": draw(offers_of(number)), "public_key": a_key(number) if enrolled else None}
    peer: Peer = make(number, network, isolated=isolated, full_encapsulation=encapsulated, **fields)
    return peer


def offers_of(number: int) -> st.SearchStrategy[tuple[IPNetwork, ...]]:
    """Ranges that peer `number` alone offers; some of them adjoin the network or each other."""
    texts = (
        f"10.20.{number}.0/24",
        f"192.168.{2 * number}.0/24",
        f"192.168.{2 * number + 1}.128/25",
        f"fdaa:{number}::/48",
    )
    ranges = tuple(map(ip_network, texts))
    return st.sampled_from([(), (), ranges[:1], ranges[1:], ranges[1:3], ranges])


@st.composite
def topologies(draw: st.DrawFn, *, blocking: bool = True) -> Topology:
    """Up to eight peers of all kinds and flags in a network with IPv4 or without."""
    network = a_network(
        cidr_v4=draw(st.sampled_from([OFFICE_V4, None])),
        direct_paths=draw(st.sampled_from([DirectPaths.ON, DirectPaths.OFF])),
    )
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=8, unique=True))
    members = tuple(draw(peers(network, number)) for number in numbers)
    some = draw(st.frozensets(st.sampled_from(numbers), max_size=3)) if blocking else ()
    return Topology(network, tuple(replace(peer, blocked=peer.id.int in some) for peer in members))
