"""What stands in each peer's config: the rules one by one, then all of them over random topologies."""

import hashlib
import random
import subprocess
import sys
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import DEFAULT_ROUTES, Endpoint, IPAddress, IPNetwork, collapse
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Forwarding, Neighbour, Role, Tunnel, as_member, tunnel_for
from tests.builders import OFFICE_V4, OFFICE_V6, a_jump, a_key, a_network, a_peer, a_static
from tests.domain.strategies import Topology, few, topologies

ROOT = Path(__file__).parents[3]
OFFICE = a_network()
LAN, OTHER_LAN = IPv4Network("192.168.50.0/24"), IPv6Network("fdaa:50::/48")
WORLD = ip_address("203.0.113.9"), ip_address("2001:db8::9")


def allowed(tunnel: Tunnel) -> dict[str, list[str]]:
    """The allowed IPs of an interface, as text by the name of the peer."""
    return {neighbour.name: [str(each) for each in neighbour.allowed_ips] for neighbour in tunnel.neighbours}


def carrier(tunnel: Tunnel, address: IPAddress) -> str | None:
    """The neighbour to whom WireGuard gives a packet for `address`: the one with the longest prefix."""
    matches = [
        (prefix.prefixlen, neighbour.name)
        for neighbour in tunnel.neighbours
        for prefix in neighbour.allowed_ips
        if prefix.version == address.version and address in prefix
    ]
    return max(matches)[1] if matches else None


def leads_in(tunnel: Tunnel, address: IPAddress) -> bool:
    return any(route.version == address.version and address in route for route in tunnel.routes)


class TestJumpPeer:
    def test_lists_every_other_peer_by_its_host_addresses_and_ranges(self) -> None:
        me, other = a_jump(1), a_jump(2)
        laptop, phone = a_peer(3, additional_allowed_ips=(LAN, OTHER_LAN)), a_static(4)
        tunnel = tunnel_for(OFFICE, [phone, laptop, other, me], me)
        assert allowed(tunnel) == {
            "jump-2": ["10.20.0.2/32", "fd12:3456:789a:1::2/128"],
            "peer-3": ["10.20.0.3/32", "fd12:3456:789a:1::3/128", "192.168.50.0/24", "fdaa:50::/48"],
            "static-4": ["10.20.0.4/32", "fd12:3456:789a:1::4/128"],
        }

    def test_knows_the_endpoints_of_jump_peers_only_and_keeps_nobody_alive(self) -> None:
        roaming = a_peer(3, endpoint=Endpoint("203.0.113.3", 1))
        tunnel = tunnel_for(OFFICE, [a_jump(1), a_jump(2), roaming], a_jump(1))
        assert [neighbour.endpoint for neighbour in tunnel.neighbours] == [Endpoint("198.51.100.2", 51820), None]
        assert {neighbour.keepalive for neighbour in tunnel.neighbours} == {None}
        assert {neighbour.role for neighbour in tunnel.neighbours} == {Role.MEMBER}

    def test_listens_where_its_endpoint_says_or_else_where_the_network_does(self) -> None:
        network = a_network(listen_port=7000)
        assert tunnel_for(network, [], a_jump(1, endpoint=Endpoint("gw.example", 4500))).listen_port == 4500
        assert tunnel_for(network, [], a_jump(1, endpoint=None)).listen_port == 7000

    def test_forwards_but_keeps_isolated_peers_apart_and_hides_encapsulated_ones(self) -> None:
        me = a_jump(1, additional_allowed_ips=(LAN,))
        guest, traveller = a_peer(2, isolated=True), a_peer(3, full_encapsulation=True)
        tunnel = tunnel_for(OFFICE, [me, guest, traveller, a_peer(4)], me)
        assert tunnel.forwarding == Forwarding(True, guest.addresses, traveller.addresses, (LAN,))

    def test_routes_the_network_and_the_ranges_behind_others_but_not_its_own(self) -> None:
        me = a_jump(1, additional_allowed_ips=(LAN,))
        site = a_peer(2, additional_allowed_ips=(OTHER_LAN,))
        assert tunnel_for(OFFICE, [me, site], me).routes == (OFFICE_V4, OFFICE_V6, OTHER_LAN)


class TestRegularPeer:
    @pytest.mark.parametrize("me", [a_peer(5), a_static(5)], ids=["dynamic", "static"])
    def test_gives_all_ranges_to_its_primary_jump_and_to_standby_ones_their_addresses_only(self, me: Peer) -> None:
        jumps = [a_jump(1, additional_allowed_ips=(LAN,)), a_jump(2, additional_allowed_ips=(OTHER_LAN,))]
        site = a_peer(6, additional_allowed_ips=(IPv4Network("172.16.0.0/16"),))
        tunnel = tunnel_for(OFFICE, [site, *reversed(jumps), me], me)
        ranges = ["172.16.0.0/16", "192.168.50.0/24", "fdaa:50::/48"]
        assert allowed(tunnel) == {
            "jump-1": ["10.20.0.0/24", "fd12:3456:789a:1::/64", *ranges],
            "jump-2": ["10.20.0.2/32", "fd12:3456:789a:1::2/128"],
        }
        assert [neighbour.role for neighbour in tunnel.neighbours] == [Role.PRIMARY, Role.STANDBY]
        assert tunnel.listen_port is None

    def test_has_key_endpoint_and_keepalive_of_each_jump_peer(self) -> None:
        tunnel = tunnel_for(OFFICE, [a_jump(1), a_jump(2)], a_peer(5))
        assert [(neighbour.public_key, neighbour.endpoint, neighbour.keepalive) for neighbour in tunnel.neighbours] == [
            (a_key(1), Endpoint("198.51.100.1", 51820), 25),
            (a_key(2), Endpoint("198.51.100.2", 51820), 25),
        ]

    def test_sends_no_keepalive_where_the_network_says_off(self) -> None:
        tunnel = tunnel_for(a_network(keepalive=0), [a_jump()], a_peer(5))
        assert tunnel.neighbours[0].keepalive is None

    def test_forwards_only_to_the_ranges_behind_it_and_routes_them_nowhere(self) -> None:
        me = a_peer(5, additional_allowed_ips=(LAN,))
        tunnel = tunnel_for(OFFICE, [a_jump(), me], me)
        assert tunnel.forwarding == Forwarding(offered=(LAN,))
        assert not leads_in(tunnel, LAN[1])

    def test_without_a_jump_peer_it_has_addresses_and_nothing_else(self) -> None:
        me = a_peer(5)
        tunnel = tunnel_for(OFFICE, [me, a_peer(6)], me)
        assert (tunnel.addresses, tunnel.neighbours, tunnel.routes) == (me.addresses, (), ())

    def test_takes_the_mtu_of_the_network(self) -> None:
        assert tunnel_for(a_network(mtu=1380), [a_jump()], a_peer(5)).mtu == 1380


class TestFlags:
    def test_an_isolated_peer_knows_the_addresses_of_jump_peers_only(self) -> None:
        me = a_peer(5, isolated=True)
        site = a_peer(6, additional_allowed_ips=(LAN,))
        tunnel = tunnel_for(OFFICE, [a_jump(1), a_jump(2, additional_allowed_ips=(OTHER_LAN,)), site, me], me)
        assert allowed(tunnel) == {
            "jump-1": ["10.20.0.1/32", "fd12:3456:789a:1::1/128"],
            "jump-2": ["10.20.0.2/32", "fd12:3456:789a:1::2/128"],
        }

    def test_ranges_behind_an_isolated_peer_are_in_nobodys_config(self) -> None:
        """A jump peer that listed them would take them for sources, and the isolated host could use one."""
        jump, me = a_jump(1), a_peer(5, isolated=True, additional_allowed_ips=(LAN,))
        for other in (jump, a_peer(6)):
            tunnel = tunnel_for(OFFICE, [jump, me, a_peer(6)], other)
            assert LAN not in [prefix for each in tunnel.neighbours for prefix in each.allowed_ips]
            assert not leads_in(tunnel, LAN[1])
        assert tunnel_for(OFFICE, [jump, me], me).forwarding == Forwarding()

    @pytest.mark.case("SEED-085")
    def test_full_encapsulation_gives_the_default_routes_to_the_primary_jump_and_to_nobody_else(self) -> None:
        me = a_peer(5, full_encapsulation=True)
        assert {address.version for address in me.addresses} == {4, 6}
        site = a_peer(6, additional_allowed_ips=(LAN,))
        tunnel = tunnel_for(OFFICE, [a_jump(1), a_jump(2), a_jump(3), site, me], me)
        assert allowed(tunnel) == {
            "jump-1": ["0.0.0.0/0", "::/0"],
            "jump-2": ["10.20.0.2/32", "fd12:3456:789a:1::2/128"],
            "jump-3": ["10.20.0.3/32", "fd12:3456:789a:1::3/128"],
        }
        assert [neighbour.name for neighbour in tunnel.neighbours if neighbour.role is Role.PRIMARY] == ["jump-1"]
        assert tunnel.routes == DEFAULT_ROUTES

    def test_others_reach_an_offered_range_through_the_peer_that_offers_it_and_no_other(self) -> None:
        jump, site = a_jump(1), a_peer(2, additional_allowed_ips=(LAN,))
        everyone = [jump, a_jump(3), site, a_peer(4, additional_allowed_ips=(OTHER_LAN,))]
        assert carrier(tunnel_for(OFFICE, everyone, jump), LAN[1]) == "peer-2"
        assert carrier(tunnel_for(OFFICE, everyone, everyone[3]), LAN[1]) == "jump-1"


class TestLeftOut:
    @pytest.mark.parametrize("me", [a_jump(1), a_peer(5)], ids=["jump", "regular"])
    def test_peers_that_are_not_enrolled_are_in_no_config(self, me: Peer) -> None:
        silent = [a_jump(2, public_key=None), a_peer(6, public_key=None, additional_allowed_ips=(LAN,))]
        others = [a_jump(3), a_peer(7)]
        assert tunnel_for(OFFICE, [*silent, *others, me], me) == tunnel_for(OFFICE, [*others, me], me)

    def test_to_list_a_peer_without_a_key_is_a_mistake_of_the_caller(self) -> None:
        with pytest.raises(ValueError, match="peer-6 has no key"):
            as_member(a_peer(6, public_key=None))

    def test_a_blocked_primary_jump_is_followed_by_the_next(self) -> None:
        jumps = [a_jump(1), a_jump(2)]
        tunnel = tunnel_for(OFFICE, jumps, a_peer(5), frozenset({jumps[0].id}))
        assert [(neighbour.name, neighbour.role) for neighbour in tunnel.neighbours] == [("jump-2", Role.PRIMARY)]

    @few
    @given(topologies())
    def test_a_blocked_peer_gets_nobody_and_nobody_gets_it(self, topology: Topology) -> None:
        remaining = [peer for peer in topology.peers if peer.id not in topology.blocked]
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            if me.id in topology.blocked:
                assert tunnel.neighbours == ()
                assert (tunnel.forwarding.isolated, tunnel.forwarding.encapsulated) == ((), ())
            else:
                assert tunnel == tunnel_for(topology.network, remaining, me)


class TestRandomTopologies:
    @few
    @given(topologies())
    def test_no_prefix_stands_twice_on_one_interface_and_nobody_lists_itself(self, topology: Topology) -> None:
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            prefixes = [prefix for neighbour in tunnel.neighbours for prefix in neighbour.allowed_ips]
            assert len(prefixes) == len(set(prefixes))
            keys = [neighbour.public_key for neighbour in tunnel.neighbours]
            assert len(keys) == len({*keys} - {me.public_key})

    @few
    @given(topologies())
    def test_every_address_of_the_mesh_is_carried_by_the_peer_that_must(self, topology: Topology) -> None:
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            for other in topology.peers:
                if other.id != me.id:
                    assert {carrier(tunnel, address) for address in other.addresses} == {
                        expected_for_host(topology, me, other)
                    }
                    for offer in other.additional_allowed_ips:
                        assert carrier(tunnel, offer[-1]) == expected_for_range(topology, me, other)

    @few
    @given(topologies())
    def test_the_world_is_reached_through_the_tunnel_by_full_encapsulation_only(self, topology: Topology) -> None:
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            expected = primary_of(topology, me) if me.full_encapsulation else None
            assert {carrier(tunnel, address) for address in WORLD} == {expected}

    @few
    @given(topologies())
    def test_routes_lead_in_exactly_what_some_peer_carries_or_the_network_holds(self, topology: Topology) -> None:
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            carried: list[IPNetwork] = [each for neighbour in tunnel.neighbours for each in neighbour.allowed_ips]
            inside = list(topology.network.cidrs) if me.is_jump else []
            assert tunnel.routes == collapse([*carried, *inside])

    @few
    @given(topologies())
    def test_jump_peers_agree_on_whom_they_keep_apart_and_hide(self, topology: Topology) -> None:
        order = sorted(topology.visible, key=lambda peer: peer.id)
        isolated = tuple(address for peer in order if peer.isolated for address in peer.addresses)
        encapsulated = tuple(address for peer in order if peer.full_encapsulation for address in peer.addresses)
        for me in topology.visible:
            forwarding = topology.tunnel_of(me).forwarding
            if me.is_jump:
                assert forwarding == Forwarding(True, isolated, encapsulated, me.additional_allowed_ips)
            else:
                offered = () if me.isolated else me.additional_allowed_ips
                assert forwarding == Forwarding(offered=offered)

    @few
    @given(topologies())
    def test_each_pair_agrees_on_keys_and_addresses(self, topology: Topology) -> None:
        everyone = {peer.public_key: peer for peer in topology.visible}
        for me in topology.visible:
            for neighbour in topology.tunnel_of(me).neighbours:
                other = everyone[neighbour.public_key]
                listed = {each.public_key: each for each in topology.tunnel_of(other).neighbours}
                assert me.public_key in listed
                assert all(admits(listed[me.public_key], address) for address in me.addresses)


class TestDeterminism:
    @few
    @given(topology=topologies(), seed=st.randoms(use_true_random=False))
    def test_the_order_of_the_input_changes_nothing(self, topology: Topology, seed: random.Random) -> None:
        shuffled = list(topology.peers)
        seed.shuffle(shuffled)
        for me in topology.peers:
            again = tunnel_for(topology.network, iter(shuffled), me, frozenset(reversed([*topology.blocked])))
            assert repr(again) == repr(topology.tunnel_of(me))

    @pytest.mark.parametrize("seed", ["1", "2"])
    def test_a_fresh_process_with_other_hashes_computes_the_same(self, seed: str) -> None:
        script = f"from {__name__} import fingerprint; print(fingerprint())"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            timeout=30,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == fingerprint()

    def test_neighbours_stand_in_the_order_of_their_ids(self) -> None:
        me, numbers = a_jump(1), [9, 3, 70, 12, 2]
        tunnel = tunnel_for(OFFICE, [*map(a_peer, numbers), me], me)
        assert [neighbour.name for neighbour in tunnel.neighbours] == [
            "peer-2",
            "peer-3",
            "peer-9",
            "peer-12",
            "peer-70",
        ]


def fingerprint() -> str:
    """A digest of the tunnels of fifty peers of all kinds and flags, two of them blocked."""
    makers = [a_jump, a_static, a_peer, a_peer, a_peer]
    everyone = [
        makers[number % 5](number, additional_allowed_ips=(ip_network(f"192.168.{number}.0/24"),))
        if number % 5 < 2
        else a_peer(number, isolated=number % 3 == 0, full_encapsulation=number % 4 == 0)
        for number in range(1, 51)
    ]
    blocked = frozenset({everyone[4].id, everyone[7].id})
    tunnels = [tunnel_for(OFFICE, everyone, me, blocked) for me in everyone]
    return hashlib.sha256(repr(tunnels).encode()).hexdigest()


def primary_of(topology: Topology, me: Peer) -> str | None:
    """The jump peer with the lowest id, unless `me` is blocked and has none."""
    jumps = [peer for peer in topology.visible if peer.is_jump and peer.id != me.id]
    if me.id in topology.blocked or not jumps:
        return None
    return min(jumps, key=lambda peer: peer.id).name


def expected_for_host(topology: Topology, me: Peer, other: Peer) -> str | None:
    """Who must carry what `me` sends to an address of `other`."""
    if me.id in topology.blocked:
        return None
    if other in topology.visible and (me.is_jump or other.is_jump):
        return other.name
    if me.is_jump or (me.isolated and not me.full_encapsulation):
        return None
    return primary_of(topology, me)


def expected_for_range(topology: Topology, me: Peer, other: Peer) -> str | None:
    """Who must carry what `me` sends to a range behind `other`."""
    if me.full_encapsulation:
        return primary_of(topology, me)
    if me.id in topology.blocked or me.isolated or other.isolated or other not in topology.visible:
        return None
    return other.name if me.is_jump else primary_of(topology, me)


def admits(listed: Neighbour, address: IPAddress) -> bool:
    """Whether packets from `address` pass the source filter of the one who lists the neighbour."""
    return any(prefix.version == address.version and address in prefix for prefix in listed.allowed_ips)
