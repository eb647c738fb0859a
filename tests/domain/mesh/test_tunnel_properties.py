"""The rules of tunnels over random topologies: who carries what, what never occurs, and that equal state is equal."""

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import IPAddress, IPNetwork, collapse
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Forwarding, Role, Tunnel, tunnel_for
from tests.builders import a_jump, a_network, a_peer, a_static
from tests.domain.strategies import Topology, few, topologies

ROOT = Path(__file__).parents[3]
OFFICE = a_network()
WORLD = ip_address("203.0.113.9"), ip_address("2001:db8::9")


def carrier(tunnel: Tunnel, address: IPAddress) -> str | None:
    """The neighbour to whom WireGuard gives a packet for `address`: the one with the longest prefix."""
    matches = [
        (prefix.prefixlen, neighbour.name)
        for neighbour in tunnel.neighbours
        for prefix in neighbour.allowed_ips
        if prefix.version == address.version and address in prefix
    ]
    return max(matches)[1] if matches else None


class TestRandomTopologies:
    @few
    @given(topologies())
    def test_a_blocked_peer_gets_nobody_and_nobody_gets_it(self, topology: Topology) -> None:
        remaining = [peer for peer in topology.peers if not peer.blocked]
        for me in topology.peers:
            tunnel = topology.tunnel_of(me)
            if me.blocked:
                assert tunnel.neighbours == ()
                assert (tunnel.forwarding.isolated, tunnel.forwarding.encapsulated) == ((), ())
            else:
                assert tunnel == tunnel_for(topology.network, remaining, me)

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
                way_back = listed[me.public_key]
                prefixes = way_back.takes if way_back.role is Role.DIRECT else way_back.allowed_ips
                assert all(covers(prefixes, address) for address in me.addresses)


class TestDeterminism:
    @few
    @given(topology=topologies(), seed=st.randoms(use_true_random=False))
    def test_the_order_of_the_input_changes_nothing(self, topology: Topology, seed: random.Random) -> None:
        shuffled = list(topology.peers)
        seed.shuffle(shuffled)
        for me in topology.peers:
            again = tunnel_for(topology.network, iter(shuffled), me)
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
    for number in (4, 7):
        everyone[number] = replace(everyone[number], blocked=True)
    tunnels = [tunnel_for(OFFICE, everyone, me) for me in everyone]
    return hashlib.sha256(repr(tunnels).encode()).hexdigest()


def primary_of(topology: Topology, me: Peer) -> str | None:
    """The jump peer with the lowest id, unless `me` is blocked and has none."""
    jumps = [peer for peer in topology.visible if peer.is_jump and peer.id != me.id]
    if me.blocked or not jumps:
        return None
    return min(jumps, key=lambda peer: peer.id).name


def expected_for_host(topology: Topology, me: Peer, other: Peer) -> str | None:
    """Who must carry what `me` sends to an address of `other`."""
    if me.blocked:
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
    if me.blocked or me.isolated or other.isolated or other not in topology.visible:
        return None
    return other.name if me.is_jump else primary_of(topology, me)


def covers(prefixes: Iterable[IPNetwork], address: IPAddress) -> bool:
    """Whether packets from `address` pass the source filter that `prefixes` are."""
    return any(prefix.version == address.version and address in prefix for prefix in prefixes)
