"""Prefixes of remotes: what can be nobody's, and what is somebody else's already."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.federation.prefixes import PrefixRefused, Taken, check_prefixes, lies_in
from tests.builders import OFFICE_V4, ULA
from tests.domain.strategies import far_networks, ip_networks

OURS = [Taken(OFFICE_V4, "our network office"), Taken(ULA, "the prefix of this backend")]


@pytest.mark.parametrize("text", ["10.99.0.0/16", "fd99:1:2:1::/64", "192.168.7.0/24", "2001:db8:7::/48"])
def test_a_free_prefix_may_be_let_in(text: str) -> None:
    check_prefixes([ip_network(text)], OURS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *((text, "wider than") for text in ("0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "2000::/3", "10.0.0.0/7")),
        *((text, "no host") for text in ("127.0.0.0/8", "169.254.7.0/24", "224.0.0.0/24", "255.255.255.255/32")),
        *((text, "no host") for text in ("::1/128", "fe80::/64", "ff02::/64", "::ffff:a00:0/112")),
        *((text, "our network office") for text in ("10.20.0.0/24", "10.20.0.7/32", "10.20.0.0/16")),
        *((text, "this backend") for text in ("fd12:3456:789a:7::/64", "fd12:3456:789a::/48", "fd12:3456::/32")),
    ],
)
def test_an_impossible_prefix_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(PrefixRefused, match=problem) as refused:
        check_prefixes([ip_network("10.99.0.0/16"), ip_network(text)], OURS)
    assert refused.value.code == "validation_failed"
    assert refused.value.prefix == text


def test_a_remote_offers_so_many_prefixes_at_most() -> None:
    many = [ip_network(f"10.99.{number}.0/24") for number in range(17)]
    check_prefixes(many[:16], OURS)
    with pytest.raises(PrefixRefused, match="more than 16"):
        check_prefixes(many, OURS)


@given(far_networks(), st.lists(ip_networks(), max_size=3))
def test_what_is_let_in_shares_no_address_with_anybody(prefix: IPNetwork, others: list[IPNetwork]) -> None:
    taken = [Taken(each, "somebody") for each in others]
    try:
        check_prefixes([prefix], taken)
    except PrefixRefused:
        return
    first, last = int(prefix[0]), int(prefix[-1])
    for each in others:
        assert each.version != prefix.version or last < int(each[0]) or first > int(each[-1])


@given(ip_networks(), ip_networks())
def test_a_prefix_lies_in_another_that_has_its_first_and_its_last_address(one: IPNetwork, other: IPNetwork) -> None:
    holds = one.version == other.version and one[0] in other and one[-1] in other
    assert lies_in(one, [other]) is holds
