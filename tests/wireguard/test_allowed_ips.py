"""Which prefix leads to whom, in networks at random: never to two at once, so that WireGuard keeps all it is given."""

from collections import Counter
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent.desired import read
from isthmus.domain.addresses import IPNetwork, overlap
from isthmus.domain.federation.joining import Facts, crossings_of
from isthmus.domain.mesh.crossing import Crossings
from isthmus.domain.mesh.jumps import jumps_in_order
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Role, Tunnel, tunnel_for
from isthmus.server.application import wire
from isthmus.server.application.config_text import text_of
from isthmus.wireguard.conf import Conf, InterfaceSection, PeerSection, render_syncconf
from isthmus.wireguard.conf_reader import parse
from isthmus.wireguard.dump import parse_dump
from isthmus.wireguard.keys import PrivateKey, PublicKey
from tests.builders import NOON
from tests.domain.federation.test_joining import an_open_bridge
from tests.domain.strategies import Topology, topologies
from tests.trusting import B, C, an_active_remote
from tests.wireguard.space import Space

# Free ones, and some that the network, offers of its peers, or each other have already.
WANTED = [
    ip_network(text)
    for text in (
        *("10.99.0.0/24", "10.99.0.0/16", "10.99.0.128/25", "fd99::/64", "fd99::/48", "fdbb:1::/64"),
        *("10.20.0.0/24", "10.20.0.64/26", "10.20.7.0/24", "10.0.0.0/8", "0.0.0.0/0", "::/0"),
        *("192.168.0.0/16", "192.168.14.0/24", "192.168.15.192/26", "fdaa:7::/48", "fdaa:7:1::/64", "198.18.0.0/15"),
    )
]
ACCEPTED = st.lists(st.sampled_from(WANTED), max_size=5, unique=True).map(tuple)

Given = dict[str, frozenset[IPNetwork]]


@st.composite
def joined(draw: st.DrawFn) -> tuple[Topology, Crossings]:
    """A topology with up to three bridges, whose remotes may want what is taken and name keys that are."""
    topology = draw(topologies())
    here = topology.network.cidrs
    bridges = [
        an_open_bridge(number, here, remote=remote, accepted=draw(ACCEPTED), network_id=topology.network.id)
        for number, remote in draw(st.sampled_from([[], [(1, B)], [(3, C), (1, B)], [(2, B), (1, C)]]))
    ]
    visible = topology.visible
    facts = Facts(
        network=topology.network,
        bridges=bridges,
        remotes={domain: an_active_remote(domain) for domain in (B, C)},
        keys=frozenset(peer.public_key for peer in visible if peer.public_key is not None),
        ranges=tuple(offer for peer in visible for offer in peer.offers),
    )
    gateway = next(iter(jumps_in_order(topology.network, visible)), None)
    return topology, Crossings(None if gateway is None else gateway.id, tuple(crossings_of(facts, NOON)))


def given_of(tunnel: Tunnel) -> Given:
    return {str(neighbour.public_key): frozenset(neighbour.allowed_ips) for neighbour in tunnel.neighbours}


def applied_by(me: Peer, topology: Topology, tunnel: Tunnel) -> Given:
    """What an agent gives its interface: the remotes' gateways are among the neighbours."""
    desired = read(wire.config(topology.network, me, tunnel))
    return {str(key): frozenset(neighbour.allowed_ips) for key, neighbour in desired.neighbours.items()}


def shown_for(space: Space, text: str) -> Given:
    """What an interface has that was given this text."""
    space.run("wg", "setconf", "wg0", "/dev/stdin", stdin=text)
    shown = parse_dump(space.run("wg", "show", "wg0", "dump"))
    return {str(key): peer.allowed_ips for key, peer in shown.peers.items()}


@settings(max_examples=60, deadline=None)
@given(topology=topologies())
def test_no_prefix_leads_to_two_peers_and_wireguard_shows_what_was_written(space: Space, topology: Topology) -> None:
    for me in topology.peers:
        tunnel = topology.tunnel_of(me)
        prefixes = Counter(cidr for neighbour in tunnel.neighbours for cidr in neighbour.allowed_ips)
        assert set(prefixes.values()) <= {1}
        direct = [neighbour for neighbour in tunnel.neighbours if neighbour.role is Role.DIRECT]
        assert set(Counter(cidr for neighbour in direct for cidr in neighbour.takes).values()) <= {1}
        assert shown_for(space, render_syncconf(parse(text_of(tunnel, me)))) == given_of(tunnel)


@pytest.mark.case("DATA-007")
@settings(max_examples=60, deadline=None)
@given(world=joined())
def test_with_bridges_no_prefix_leads_to_two_peers_and_wireguard_shows_what_was_written(
    space: Space, world: tuple[Topology, Crossings]
) -> None:
    topology, crossings = world
    remotes = {str(crossing.public_key): frozenset(crossing.prefixes) for crossing in crossings}
    for me in topology.peers:
        tunnel = tunnel_for(topology.network, topology.peers, me, crossings)
        if not me.kind.has_agent:
            assert shown_for(space, render_syncconf(parse(text_of(tunnel, me)))) == given_of(tunnel)
            continue
        written = applied_by(me, topology, tunnel)
        assert set(Counter(cidr for prefixes in written.values() for cidr in prefixes).values()) <= {1}
        if me.id == crossings.gateway and not me.blocked:
            assert remotes.items() <= written.items()
        for key, prefixes in remotes.items():
            others = [cidr for each, allowed in written.items() if each != key for cidr in allowed]
            taken = [cidr for cidr in others if cidr.prefixlen and any(overlap(cidr, each) for each in prefixes)]
            assert key not in written or not taken
        sections = [PeerSection(PublicKey.parse(key), allowed_ips=tuple(prefixes)) for key, prefixes in written.items()]
        conf = Conf(InterfaceSection(PrivateKey.generate()), tuple(sections))
        assert shown_for(space, render_syncconf(conf)) == written
