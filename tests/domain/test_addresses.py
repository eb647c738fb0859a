"""What text from outside may become: names, CIDRs, addresses, endpoints, and the refusal of everything else."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import (
    DEFAULT_ROUTES,
    Endpoint,
    collapse,
    host_network,
    is_hostless,
    overlap,
    parse_address,
    parse_domain,
    parse_host,
    parse_label,
    parse_network,
    sort_key,
)
from isthmus.domain.errors import InvalidValue
from tests.domain.strategies import few, hostile_text, ip_networks

FIELD = "/field"
PARSERS: dict[str, Callable[[str, str], Any]] = {
    "label": parse_label,
    "domain": parse_domain,
    "address": parse_address,
    "network": parse_network,
    "endpoint": Endpoint.parse,
    "host": parse_host,
}
HOSTILE = [
    "",
    " ",
    "\0",
    "a b",
    "office\n",
    "office\nPostUp = reboot",
    "office;reboot",
    "../etc",
    "\u2167.example",
    "\u0661\u0660.\u0662\u0660.\u0660.\u0661",
    "10.20.0.1\n",
    " 10.20.0.1",
    "-",
    "." * 300,
    "[" * 5_000,
    "9" * 5_000,
    "10.20.0.0/" + "9" * 5_000,
    "[::1]:" + "9" * 5_000,
    "\ud800",
    "fe80::1%eth0\nPostUp = reboot",
]


def refusal_of(parse: Callable[[str, str], object], text: str) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        parse(text, FIELD)
    assert caught.value.field == FIELD
    return caught.value


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_refuses_hostile_text_without_repeating_it(parse: Callable[[str, str], object], text: str) -> None:
    refusal = refusal_of(parse, text)
    assert len(str(refusal)) < 200
    assert len(refusal.hint or "") < 200
    assert str(refusal).isprintable()
    assert (refusal.hint or "").isprintable()


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS)
@few
@given(text=hostile_text)
def test_a_parser_raises_nothing_but_a_refusal_and_reads_back_what_it_wrote(
    parse: Callable[[str, str], object], text: str
) -> None:
    try:
        value = parse(text, FIELD)
    except InvalidValue:
        return
    assert str(value).isascii()
    assert str(value).isprintable()
    assert " " not in str(value)
    assert parse(str(value), FIELD) == value


class TestLabel:
    @pytest.mark.parametrize("text", ["a", "0", "office", "a-b", "a--b", "2nd-floor", "a" * 63])
    def test_reads_lower_case_letters_digits_and_inner_hyphens(self, text: str) -> None:
        assert parse_label(text, FIELD) == text

    @pytest.mark.parametrize("text", ["-a", "a-", "a.b", "a_b", "é", "\u212a", "A", "a" * 64])
    def test_refuses_the_rest(self, text: str) -> None:
        refusal_of(parse_label, text)

    @pytest.mark.parametrize(
        ("text", "suggestion"),
        [("Head Office", "head-office"), ("__x__", "x"), ("a" * 70, "a" * 63), ("a" * 62 + "--b", "a" * 62)],
    )
    def test_suggests_a_label_that_would_do(self, text: str, suggestion: str) -> None:
        assert refusal_of(parse_label, text).hint == f"for example {suggestion!r}"
        assert parse_label(suggestion, FIELD) == suggestion

    def test_suggests_an_invented_one_where_nothing_is_left(self) -> None:
        assert refusal_of(parse_label, "???").hint == "for example 'office'"


class TestDomain:
    @pytest.mark.parametrize("text", ["internal", "office.internal", "10.internal", "xn--bcher-kva.example"])
    def test_reads_lower_case_labels(self, text: str) -> None:
        assert parse_domain(text, FIELD) == text

    @pytest.mark.parametrize("text", ["Office.internal", "a..b", ".a", "a.", "a.-b", "a" * 64 + ".b", "*.a"])
    def test_refuses_the_rest(self, text: str) -> None:
        refusal_of(parse_domain, text)

    @pytest.mark.parametrize("text", ["10.0.0.1", "1", "a.1", "0x7f000001", "a.0xff", "0x"])
    def test_refuses_what_resolvers_take_for_an_address(self, text: str) -> None:
        refusal_of(parse_domain, text)

    def test_reads_up_to_253_characters(self) -> None:
        longest = ".".join(["a" * 49] * 5) + ".abc"
        assert len(longest) == 253
        assert parse_domain(longest, FIELD) == longest
        refusal_of(parse_domain, longest + "d")


class TestAddress:
    @pytest.mark.parametrize("text", ["10.20.0.5", "fd00::5"])
    def test_reads_both_families(self, text: str) -> None:
        assert parse_address(text, FIELD) == ip_address(text)

    @pytest.mark.parametrize(
        "text", ["10.20.0", "10.20.0.256", "10.20.0.05", "10.20.0.5/32", "169090600", "0x0a140005"]
    )
    def test_refuses_other_spellings(self, text: str) -> None:
        refusal_of(parse_address, text)

    def test_refuses_a_zone(self) -> None:
        assert "zone" in refusal_of(parse_address, "fe80::1%eth0").problem

    def test_refuses_ipv4_in_ipv6_and_tells_the_address(self) -> None:
        assert refusal_of(parse_address, "::ffff:10.20.0.5").hint == "write 10.20.0.5"


class TestNetwork:
    @pytest.mark.parametrize("text", ["10.20.0.0/24", "10.20.0.5/32", "0.0.0.0/0", "fd00::/64", "::/0"])
    def test_reads_both_families(self, text: str) -> None:
        assert parse_network(text, FIELD) == ip_network(text)

    @pytest.mark.parametrize(
        ("text", "corrected"),
        [("10.20.0.5/24", "10.20.0.0/24"), ("10.20.0.1/0", "0.0.0.0/0"), ("fd00::1:5/112", "fd00::1:0/112")],
    )
    def test_set_host_bits_are_refused_with_the_corrected_cidr(self, text: str, corrected: str) -> None:
        assert refusal_of(parse_network, text).hint == f"did you mean {corrected}?"

    @few
    @given(network=ip_networks(), offset=st.integers(1))
    def test_the_hint_for_host_bits_is_always_the_network_around_them(self, network: Any, offset: int) -> None:
        host = network.network_address + offset % network.num_addresses
        text = f"{host}/{network.prefixlen}"
        if host == network.network_address:
            assert parse_network(text, FIELD) == network
        else:
            assert refusal_of(parse_network, text).hint == f"did you mean {network}?"

    @pytest.mark.parametrize("text", ["10.20.0.0/255.255.255.0", "10.20.0.0/0.0.0.255"])
    def test_netmasks_are_refused_with_the_prefix_length(self, text: str) -> None:
        assert refusal_of(parse_network, text).hint == "write 10.20.0.0/24"

    @pytest.mark.parametrize(
        "text", ["10.20.0.0", "10.20.0.0/", "/24", "10.20.0.0/33", "fd00::/129", "10.20.0.0/-1", "10.0.0.0/8/8", "a/8"]
    )
    def test_refuses_the_rest(self, text: str) -> None:
        refusal_of(parse_network, text)

    @pytest.mark.parametrize("text", ["fe80::%eth0/64", "fe80::/64%eth0"])
    def test_refuses_a_zone(self, text: str) -> None:
        refusal_of(parse_network, text)

    def test_refuses_ipv4_in_ipv6(self) -> None:
        assert "IPv4" in refusal_of(parse_network, "::ffff:10.20.0.0/120").problem


class TestEndpoint:
    @pytest.mark.parametrize(
        ("text", "endpoint"),
        [
            ("198.51.100.7:51820", Endpoint("198.51.100.7", 51820)),
            ("[2001:db8::7]:1", Endpoint("2001:db8::7", 1)),
            ("[2001:DB8:0::7]:65535", Endpoint("2001:db8::7", 65535)),
            ("Gw.Example:51820", Endpoint("gw.example", 51820)),
            ("[::ffff:198.51.100.7]:51820", Endpoint("198.51.100.7", 51820)),
        ],
    )
    def test_reads_addresses_and_names_into_one_spelling(self, text: str, endpoint: Endpoint) -> None:
        assert Endpoint.parse(text) == endpoint
        assert Endpoint.parse(str(endpoint)) == endpoint

    @pytest.mark.parametrize("port", ["0", "65536", "99999", "100000", "000080"])
    def test_refuses_ports_outside_1_to_65535(self, port: str) -> None:
        assert "65535" in refusal_of(Endpoint.parse, f"gw.example:{port}").problem

    @pytest.mark.parametrize(
        "text", ["gw", "gw:", ":51820", "gw:-1", "gw:+1", "gw:1e3", "gw:\u0663", "gw: 80", "2001:db8::7:80"]
    )
    def test_refuses_what_is_not_host_and_port(self, text: str) -> None:
        assert "host:port" in refusal_of(Endpoint.parse, text).problem

    @pytest.mark.parametrize(
        "host", ["256.1.1.1", "1.2.3", "1", "0x7f000001", "a.0x1", "0127.0.0.1", "[gw]", "[]", "[1]"]
    )
    def test_refuses_hosts_that_only_look_like_addresses(self, host: str) -> None:
        assert refusal_of(Endpoint.parse, f"{host}:51820").problem == "is not an IP address"

    @pytest.mark.parametrize(
        "host", [str(DEFAULT_ROUTES[0][0]), "[::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "[::ffff:0.0.0.0]"]
    )
    def test_refuses_addresses_that_no_host_has(self, host: str) -> None:
        assert "host can have" in refusal_of(Endpoint.parse, f"{host}:51820").problem

    @pytest.mark.parametrize(
        "host", ["[198.51.100.7]", "[fe80::1%eth0]", "[::ffff:1.2.3.4%1]", "1.2.3.4.", "gw.", "a_b"]
    )
    def test_refuses_the_rest(self, host: str) -> None:
        refusal_of(Endpoint.parse, f"{host}:51820")


class TestNetworksOfBothFamilies:
    @few
    @given(one=ip_networks(), other=ip_networks())
    def test_two_overlap_exactly_when_one_holds_the_others_first_address(self, one: Any, other: Any) -> None:
        shared = one.version == other.version and (one[0] in other or other[0] in one)
        assert overlap(one, other) == overlap(other, one) == shared

    @few
    @given(st.lists(ip_networks(), max_size=8))
    def test_collapsing_keeps_the_addresses_in_fewest_disjoint_sorted_prefixes(self, networks: list[Any]) -> None:
        collapsed = collapse(networks)
        assert list(collapsed) == sorted(collapsed, key=sort_key)
        assert collapse(list(collapsed)) == collapse(networks[::-1]) == collapsed
        assert not any(overlap(one, other) for i, one in enumerate(collapsed) for other in collapsed[:i])
        for network in networks:
            assert any(network.version == each.version and network.subnet_of(each) for each in collapsed)
        for each in collapsed:
            assert sum(network.num_addresses for network in networks if overlap(network, each)) >= each.num_addresses

    def test_sorts_ipv4_first_and_a_wide_network_before_what_it_holds(self) -> None:
        texts = ["10.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "192.168.0.0/16", "::/0", "fd00::/64"]
        assert [str(each) for each in sorted(map(ip_network, reversed(texts)), key=sort_key)] == texts

    @pytest.mark.parametrize(("address", "network"), [("10.0.0.1", "10.0.0.1/32"), ("fd00::1", "fd00::1/128")])
    def test_a_host_is_a_network_of_one(self, address: str, network: str) -> None:
        assert host_network(ip_address(address)) == ip_network(network)

    @pytest.mark.parametrize(
        "text",
        [
            *("0.1.0.0/16", "126.0.0.0/7", "169.254.7.0/24", "239.0.0.0/8", "240.0.0.0/4", "255.255.255.255/32"),
            *("::/64", "::1/128", "fe80::/64", "fe00::/8", "ff02::/16"),
            *map(str, DEFAULT_ROUTES),
        ],
    )
    def test_ranges_that_touch_a_place_without_hosts_are_hostless(self, text: str) -> None:
        assert is_hostless(ip_network(text))

    @pytest.mark.parametrize(
        "text", ["10.0.0.0/8", "100.64.0.0/10", "126.0.0.0/8", "128.0.0.0/8", "223.0.0.0/8", "2000::/3", "fc00::/7"]
    )
    def test_other_ranges_are_not(self, text: str) -> None:
        assert not is_hostless(ip_network(text))
