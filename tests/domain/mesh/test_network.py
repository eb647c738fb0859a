"""What a network may be made of, and whom each of its revisions concerns."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.errors import InvalidValue
from isthmus.domain.mesh import network as rules
from isthmus.domain.mesh.network import Settings, check_disjoint, parse_cidr_v4, parse_cidr_v6
from tests.builders import OFFICE_V4, OFFICE_V6, ULA, a_network
from tests.domain.strategies import few, hostile_text


class TestIPv4Cidr:
    @pytest.mark.parametrize("text", ["10.20.0.0/24", "10.0.0.0/8", "10.20.0.0/30", "100.64.0.0/10", "203.0.113.0/24"])
    def test_is_read_between_slash_8_and_slash_30(self, text: str) -> None:
        assert parse_cidr_v4(text) == IPv4Network(text)

    @pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/7", "10.20.0.0/31", "10.20.0.1/32"])
    def test_is_refused_wider_or_narrower(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="/8 and /30"):
            parse_cidr_v4(text)

    @pytest.mark.parametrize(
        "text",
        ["0.0.0.0/8", "127.0.0.0/8", "127.4.0.0/16", "169.254.0.0/16", "169.0.0.0/8", "224.0.0.0/8", "250.0.0.0/8"],
    )
    def test_is_refused_where_no_hosts_live(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="hosts may use"):
            parse_cidr_v4(text)

    def test_is_refused_in_the_other_family(self) -> None:
        with pytest.raises(InvalidValue, match="not IPv4") as caught:
            parse_cidr_v4("fd00::/64")
        assert caught.value.field == "/cidr_v4"

    @few
    @given(hostile_text)
    def test_raises_nothing_but_a_refusal(self, text: str) -> None:
        try:
            cidr = parse_cidr_v4(text)
        except InvalidValue:
            return
        assert parse_cidr_v4(str(cidr)) == cidr


class TestIPv6Cidr:
    def test_is_a_slash_64_of_the_backend(self) -> None:
        assert parse_cidr_v6(str(OFFICE_V6), ULA) == OFFICE_V6

    @pytest.mark.parametrize(
        "text", ["fd12:3456:789a::/48", "fd12:3456:789a:1::/65", "fd12:3456:789b::/64", "2001:db8::/64", "10.0.0.0/24"]
    )
    def test_is_refused_as_anything_else(self, text: str) -> None:
        with pytest.raises(InvalidValue, match="own fd12:3456:789a::/48") as caught:
            parse_cidr_v6(text, ULA)
        assert caught.value.field == "/cidr_v6"

    @few
    @given(st.integers(0, (1 << 40) - 1))
    def test_the_prefix_of_a_backend_holds_its_forty_random_bits(self, bits: int) -> None:
        ula = rules.ula_prefix(bits)
        assert ula.prefixlen == 48
        assert ula.subnet_of(IPv6Network("fd00::/8"))
        assert int(ula.network_address) >> 80 & ((1 << 40) - 1) == bits

    def test_more_random_bits_than_forty_do_not_leave_the_local_range(self) -> None:
        assert rules.ula_prefix(-1) == IPv6Network("fdff:ffff:ffff::/48")

    def test_networks_get_the_lowest_free_one_after_the_first(self) -> None:
        ordered = [IPv6Network((int(ULA[0]) | number << 64, 64)) for number in range(1, 5)]
        assert rules.next_free_v6(ULA, []) == ordered[0]
        assert rules.next_free_v6(ULA, [ordered[0], ordered[2]]) == ordered[1]
        assert rules.next_free_v6(ULA, reversed(ordered[:3])) == ordered[3]

    def test_a_backend_without_a_free_one_says_so(self) -> None:
        small = IPv6Network("fd12:3456:789a::/62")
        with pytest.raises(InvalidValue, match="no free /64"):
            rules.next_free_v6(small, small.subnets(new_prefix=64))


class TestNamesAndSettings:
    def test_a_name_is_a_label_under_its_own_field(self) -> None:
        assert rules.parse_name("office") == "office"
        with pytest.raises(InvalidValue) as caught:
            rules.parse_name("The Office")
        assert (caught.value.field, caught.value.hint) == ("/name", "for example 'the-office'")

    def test_the_domain_is_the_given_one_or_else_name_and_suffix(self) -> None:
        assert rules.parse_network_domain(None, "office", "internal") == "office.internal"
        assert rules.parse_network_domain("corp.example", "office", "internal") == "corp.example"

    @pytest.mark.parametrize("domain", ["", "Corp", "10.20.0.1", "a b", "a\nDNS = evil"])
    def test_a_given_domain_is_checked(self, domain: str) -> None:
        with pytest.raises(InvalidValue) as caught:
            rules.parse_network_domain(domain, "office", "internal")
        assert caught.value.field == "/domain"

    @pytest.mark.parametrize(
        ("field", "lowest", "highest"), [("mtu", 1280, 9000), ("listen_port", 1, 65_535), ("keepalive", 0, 65_535)]
    )
    def test_settings_are_taken_at_their_limits_and_refused_beyond(self, field: str, lowest: int, highest: int) -> None:
        for value in (lowest, highest):
            assert getattr(Settings(**{field: value}), field) == value
        for value in (lowest - 1, highest + 1):
            with pytest.raises(InvalidValue, match=f"{lowest} and {highest}") as caught:
                Settings(**{field: value})
            assert caught.value.field == f"/{field}"


class TestOverlap:
    OTHERS = (("office", OFFICE_V4), ("office", OFFICE_V6))

    @pytest.mark.parametrize("text", ["10.20.0.0/24", "10.20.0.128/25", "10.0.0.0/8"])
    def test_is_refused_naming_both(self, text: str) -> None:
        with pytest.raises(InvalidValue) as caught:
            check_disjoint("/cidr_v4", ip_network(text), "lab", self.OTHERS)
        assert caught.value.problem == f"{text} of lab overlaps 10.20.0.0/24 of office"

    @pytest.mark.parametrize("text", ["10.20.1.0/24", "10.19.255.0/24", "fd12:3456:789a:2::/64", "::/96"])
    def test_neighbours_and_the_other_family_are_free(self, text: str) -> None:
        check_disjoint("/cidr", ip_network(text), "lab", self.OTHERS)


def test_a_network_has_one_cidr_or_two_ipv4_first() -> None:
    assert a_network().cidrs == (OFFICE_V4, OFFICE_V6)
    assert a_network(cidr_v4=None).cidrs == (OFFICE_V6,)


@pytest.mark.parametrize(
    ("jumps", "shared", "expected"),
    [(False, False, (8, 3, 2)), (True, False, (8, 8, 2)), (True, True, (8, 8, 8)), (False, True, (8, 8, 8))],
)
def test_each_change_is_one_revision_for_those_whom_it_concerns(
    jumps: bool, shared: bool, expected: tuple[int, int, int]
) -> None:
    after = a_network(revision=7, jump_revision=3, shared_revision=2, version=5).advanced(jumps=jumps, shared=shared)
    assert (after.revision, after.jump_revision, after.shared_revision) == expected
    assert after.version == 5
