"""The zone of a network: every peer resolves to exactly its addresses and back, and nothing else does."""

import ipaddress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.mesh.dns import Kind, Labels, Zone, network_of, reverse_name, reverse_zones
from tests.domain.strategies import ip_networks

CIDRS = (ip_network("10.20.0.0/22"), ip_network("fd00:20::/64"))
NAMES = {
    "gw": (ip_address("10.20.0.1"), ip_address("fd00:20::1")),
    "laptop": (ip_address("10.20.3.2"), ip_address("fd00:20::2")),
    "six": (ip_address("fd00:20::6"),),
}
ZONE = Zone("office.internal", "gw", NAMES, CIDRS)
APEX = ("office", "internal")


def labels(name: str) -> Labels:
    return tuple(name.split("."))


def found(name: str, kind: str, zone: Zone = ZONE) -> list[object] | None:
    """The values of `kind` for a name, None for NXDOMAIN."""
    answer = zone.answer(labels(name), kind)
    assert answer is not None, "not a name of the network"
    return [record.value for record in answer.records] if answer.exists else None


def pointer(address: IPAddress) -> str:
    return ipaddress.ip_address(address).reverse_pointer


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("laptop.office.internal", "A", [ip_address("10.20.3.2")]),
        ("laptop.office.internal", "AAAA", [ip_address("fd00:20::2")]),
        ("LapTop.OFFICE.Internal", "A", [ip_address("10.20.3.2")]),
        ("laptop.office.internal", "ANY", list(NAMES["laptop"])),
        ("laptop.office.internal", "MX", []),
        ("laptop.office.internal", "TYPE65", []),
        ("six.office.internal", "A", []),
        ("gw.office.internal", "AAAA", [ip_address("fd00:20::1")]),
        ("nobody.office.internal", "A", None),
        ("www.laptop.office.internal", "A", None),
        ("office.internal", "A", []),
        ("office.internal", "NS", [("gw", *APEX)]),
        ("office.internal", "SOA", [("gw", *APEX)]),
        ("2.3.20.10.in-addr.arpa", "PTR", [("laptop", *APEX)]),
        ("2.3.20.10.IN-ADDR.arpa", "A", []),
        ("3.3.20.10.in-addr.arpa", "PTR", None),
        ("3.20.10.in-addr.arpa", "PTR", []),
        ("3.20.10.in-addr.arpa", "NS", [("gw", *APEX)]),
    ],
)
def test_answers_what_there_is_of_a_name(name: str, kind: str, values: list[object] | None) -> None:
    assert found(name, kind) == values


@pytest.mark.parametrize(
    "name",
    [
        "internal",
        "example.com",
        "office.internal.example.com",
        "myoffice.internal",
        "1.4.20.10.in-addr.arpa",  # outside the CIDR, though under the same /16
        "20.10.in-addr.arpa",
        "02.3.20.10.in-addr.arpa",
        "300.3.20.10.in-addr.arpa",
        "1.2.3.20.10.in-addr.arpa",
        "x.ip6.arpa",
        "ip6.arpa",
        "arpa",
    ],
)
def test_leaves_every_name_that_is_not_the_networks_own_to_others(name: str) -> None:
    assert ZONE.answer(labels(name), "A") is None


def test_an_empty_name_is_not_the_networks() -> None:
    assert ZONE.answer((), "NS") is None


@given(ip_networks().filter(lambda network: network.prefixlen >= 4))
def test_reverse_zones_cover_a_range_exactly_and_their_names_lead_back(network: IPNetwork) -> None:
    zones = reverse_zones(network)
    assert sum(zone.num_addresses for zone in zones) == network.num_addresses
    assert len(zones) <= 128
    for zone in zones:
        assert network_of(reverse_name(zone)) == zone
        assert zone.network_address in network


@given(st.ip_addresses())
def test_an_address_is_read_from_its_reverse_name(address: IPAddress) -> None:
    assert network_of(labels(pointer(address))) == ip_network(address)


@given(st.lists(st.text(max_size=4), max_size=40).map(tuple), st.sampled_from(["A", "PTR", "ANY", "X"]))
def test_no_name_breaks_the_zone(name: Labels, kind: str) -> None:
    for suffix in ((), APEX, ("in-addr", "arpa"), ("ip6", "arpa")):
        ZONE.answer(name + suffix, kind)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 200), max_size=8))
def test_every_peer_resolves_to_exactly_its_addresses_and_back(peers: dict[str, int]) -> None:
    names = {
        name: (CIDRS[0][number], CIDRS[1][number]) for number, name in {n: name for name, n in peers.items()}.items()
    }
    zone = Zone("office.internal", "a", names, CIDRS)
    for name, (v4, v6) in names.items():
        assert found(f"{name}.office.internal", Kind.A, zone) == [v4]
        assert found(f"{name}.office.internal", Kind.AAAA, zone) == [v6]
        for address in (v4, v6):
            assert found(pointer(address), Kind.PTR, zone) == [(name, *APEX)]
    for name in set("abcdefgh") - names.keys():
        assert found(f"{name}.office.internal", Kind.ANY, zone) is None


def test_what_is_not_there_comes_with_the_zone_that_says_so() -> None:
    absent = {"nobody.office.internal": APEX, "9.3.20.10.in-addr.arpa": labels("3.20.10.in-addr.arpa")}
    for name, apex in absent.items():
        answer = ZONE.answer(labels(name), "A")
        assert answer is not None
        assert (answer.exists, answer.records, answer.apex) == (False, (), apex)
