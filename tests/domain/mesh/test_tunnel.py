"""What stands in each peer's config, rule by rule."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from isthmus.domain.addresses import DEFAULT_ROUTES, Endpoint, IPAddress
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.tunnel import Forwarding, Role, Tunnel, as_member, tunnel_for
from tests.builders import OFFICE_V4, OFFICE_V6, a_jump, a_key, a_network, a_peer, a_static

OFFICE = a_network()
LAN, OTHER_LAN = IPv4Network("192.168.50.0/24"), IPv6Network("fdaa:50::/48")


def allowed(tunnel: Tunnel) -> dict[str, list[str]]:
    """The allowed IPs of an interface, as text by the name of the peer."""
    return {neighbour.name: [str(each) for each in neighbour.allowed_ips] for neighbour in tunnel.neighbours}


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
        # Only an agent ever passes over its primary, which then keeps its own addresses.
        own = ["10.20.0.1/32", "fd12:3456:789a:1::1/128"] if me.kind.has_agent else []
        assert allowed(tunnel) == {
            "jump-1": [*own, "10.20.0.0/24", "fd12:3456:789a:1::/64", *ranges],
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
            "jump-1": ["10.20.0.1/32", "fd12:3456:789a:1::1/128", "0.0.0.0/0", "::/0"],
            "jump-2": ["10.20.0.2/32", "fd12:3456:789a:1::2/128"],
            "jump-3": ["10.20.0.3/32", "fd12:3456:789a:1::3/128"],
        }
        assert [neighbour.name for neighbour in tunnel.neighbours if neighbour.role is Role.PRIMARY] == ["jump-1"]
        assert tunnel.routes == DEFAULT_ROUTES

    def test_others_reach_an_offered_range_through_the_peer_that_offers_it_and_no_other(self) -> None:
        jump, site = a_jump(1), a_peer(2, additional_allowed_ips=(LAN,))
        everyone = [jump, a_jump(3), site, a_peer(4, additional_allowed_ips=(OTHER_LAN,))]
        for me, way in ((jump, "peer-2"), (everyone[3], "jump-1")):
            tunnel = tunnel_for(OFFICE, everyone, me)
            assert [name for name, prefixes in allowed(tunnel).items() if str(LAN) in prefixes] == [way]


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
        jumps = [a_jump(1, blocked=True), a_jump(2)]
        tunnel = tunnel_for(OFFICE, jumps, a_peer(5))
        assert [(neighbour.name, neighbour.role) for neighbour in tunnel.neighbours] == [("jump-2", Role.PRIMARY)]
