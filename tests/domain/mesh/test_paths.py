"""Who reaches whom, who may do so directly, and which endpoints are of use to others."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint
from isthmus.domain.mesh.network import DIRECT_UP_TO, DirectPaths
from isthmus.domain.mesh.paths import can_reach, may_go_directly, seekers, tunnels_with_jumps, usable_endpoints
from isthmus.domain.mesh.peer import MAX_CANDIDATES, Kind, Peer
from isthmus.domain.mesh.tunnel import Role, tunnel_for
from tests.builders import a_jump, a_network, a_peer, a_static
from tests.domain.strategies import Topology, few, hostile_text, topologies

NETWORK = a_network()
GOOD = ["192.168.7.5:40000", "[2001:db8::5]:40000", "[fd77::5]:1", "100.64.0.9:65535"]
BAD = [
    *("127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "169.254.3.4:1", "[fe80::1]:1", "[fe80::1%eth0]:1"),
    *("224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1", "240.0.0.1:1", "[::ffff:127.0.0.1]:1"),
    *("10.20.0.9:1", "[fd12:3456:789a:1::9]:1", "gw.example:51820", "localhost:1", "192.168.7.5", "192.168.7.5:0", ""),
]


def test_only_endpoints_that_another_host_can_send_to_are_kept_in_their_order() -> None:
    kept = usable_endpoints([*BAD, *GOOD, *BAD, *reversed(GOOD)], NETWORK)
    assert kept == tuple(map(Endpoint.parse, GOOD))


@pytest.mark.parametrize("text", BAD)
def test_an_endpoint_of_no_use_is_left_out(text: str) -> None:
    assert usable_endpoints([text], NETWORK) == ()


def test_there_are_never_more_than_the_limit() -> None:
    many = [f"192.168.7.5:{port}" for port in range(1, 100)]
    assert usable_endpoints(many, NETWORK) == tuple(map(Endpoint.parse, many[:MAX_CANDIDATES]))


@given(st.lists(hostile_text | st.sampled_from([*GOOD, *BAD]), max_size=12))
def test_whatever_is_reported_nothing_of_no_use_passes(texts: list[str]) -> None:
    assert {str(endpoint) for endpoint in usable_endpoints(texts, NETWORK)} <= set(GOOD) & set(texts)


@few
@given(topologies())
def test_direct_neighbours_are_exactly_the_pairs_of_enrolled_agents_that_reach_each_other(topology: Topology) -> None:
    by_key = {peer.public_key: peer for peer in topology.visible}
    for me in topology.peers:
        tunnel = topology.tunnel_of(me)
        direct = {by_key[each.public_key].id for each in tunnel.neighbours if each.role is Role.DIRECT}
        expected = {
            other.id
            for other in topology.visible
            if topology.network.direct_paths is DirectPaths.ON
            and me.is_listed
            and me.id != other.id
            and {me.kind, other.kind} == {Kind.DYNAMIC}
            and not (me.isolated or other.isolated)
        }
        assert direct == expected
        assert direct == {peer.id for peer in topology.peers if may_go_directly(topology.network, me, peer)}


@few
@given(topologies())
def test_reach_goes_both_ways_and_covers_every_direct_neighbour(topology: Topology) -> None:
    for me in topology.peers:
        for other in topology.peers:
            assert can_reach(me, other) == can_reach(other, me)
            if may_go_directly(topology.network, me, other):
                assert can_reach(me, other)
            if can_reach(me, other) and (me.is_jump or other.is_jump):
                keys = {neighbour.public_key for neighbour in topology.tunnel_of(me).neighbours}
                assert other.public_key in keys


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (a_peer(2), a_peer(3), True),
        (a_peer(2), a_static(3), True),
        (a_peer(2, isolated=True), a_peer(3), False),
        (a_peer(2, isolated=True), a_jump(1), True),
        (a_peer(2), a_peer(3, public_key=None), False),
        (a_peer(2), a_peer(2), False),
        (a_jump(1), replace(a_peer(2), blocked=True), False),
        (a_jump(1), a_jump(2), True),
    ],
)
def test_who_reaches_whom(one: Peer, other: Peer, expected: bool) -> None:
    assert can_reach(one, other) is expected


@pytest.mark.parametrize(("agents", "expected"), [(DIRECT_UP_TO, True), (DIRECT_UP_TO + 1, False)])
def test_a_network_of_many_agents_has_direct_paths_only_when_asked_for(agents: int, expected: bool) -> None:
    auto = a_network(direct_paths=DirectPaths.AUTO, agents=agents)
    me, other = a_peer(2, candidates=(Endpoint("192.168.7.5", 1),)), a_peer(3)
    assert any(each.role is Role.DIRECT for each in tunnel_for(auto, [me, other], me).neighbours) is expected
    on = replace(auto, direct_paths=DirectPaths.ON)
    assert [each.role for each in tunnel_for(on, [me, other], me).neighbours] == [Role.DIRECT]


@few
@given(topologies())
def test_tunnels_are_exactly_the_pairs_that_configs_hold(topology: Topology) -> None:
    by_key = {peer.public_key: peer.id for peer in topology.visible}
    in_configs = {
        frozenset((me.id, by_key[neighbour.public_key]))
        for me in topology.visible
        for neighbour in topology.tunnel_of(me).neighbours
    }
    tunnels = [*tunnels_with_jumps(topology.peers), *combinations(seekers(topology.network, topology.peers), 2)]
    pairs = [frozenset((one.id, other.id)) for one, other in tunnels]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == in_configs
