"""Which prefix leads to whom, in networks at random: never to two at once, so that WireGuard keeps all it is given."""

from collections import Counter

from hypothesis import given, settings

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Role, Tunnel
from isthmus.server.application.config_text import text_of
from isthmus.wireguard.conf import render_syncconf
from isthmus.wireguard.conf_reader import parse
from isthmus.wireguard.dump import parse_dump
from tests.domain.strategies import Topology, topologies
from tests.wireguard.space import Space


def given_of(tunnel: Tunnel) -> dict[str, frozenset[IPNetwork]]:
    return {str(neighbour.public_key): frozenset(neighbour.allowed_ips) for neighbour in tunnel.neighbours}


def shown_for(space: Space, tunnel: Tunnel, me: Peer) -> dict[str, frozenset[IPNetwork]]:
    """What an interface has that was given the text of a tunnel."""
    space.run("wg", "setconf", "wg0", "/dev/stdin", stdin=render_syncconf(parse(text_of(tunnel, me))))
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
        assert shown_for(space, tunnel, me) == given_of(tunnel)
