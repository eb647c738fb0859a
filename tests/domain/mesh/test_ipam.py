"""Allocation by free ranges against brute force, and the arithmetic of CIDRs around it."""

import random
from bisect import insort
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.errors import InvalidValue
from isthmus.domain.mesh.ipam import (
    Capacity,
    Range,
    as_key,
    check_usable,
    free_ranges,
    from_key,
    joined,
    next_free_cidr,
    placed,
    prefix_for,
    renumbered,
    usable,
)
from tests.domain.strategies import few, ip_networks, near_networks

SMALL = [ip_network("10.20.0.0/30"), ip_network("10.20.0.8/29"), ip_network("10.20.1.240/28"), ip_network("fd00::/64")]
STEPS = st.lists(st.tuples(st.sampled_from(["allocate", "take", "release"]), st.integers(0, 15)), max_size=40)


class Ranges:
    """The free ranges of one CIDR, changed by the same three steps as a store changes its rows."""

    def __init__(self, cidr: IPNetwork) -> None:
        self.free = [usable(cidr)]

    def allocate(self) -> IPAddress | None:
        return self.take(self.free[0].first) if self.free else None

    def take(self, address: IPAddress) -> IPAddress | None:
        for part in self.free:
            if address in part:
                self._swap([part], part.without(address))
                return address
        return None

    def release(self, address: IPAddress) -> None:
        below = max((part for part in self.free if int(part.last) < int(address)), default=None)
        above = min((part for part in self.free if int(part.first) > int(address)), default=None)
        whole = joined(address, below, above)
        self._swap([part for part in (below, above) if part and part.first in whole], [whole])

    def _swap(self, old: Iterable[Range], new: Iterable[Range]) -> None:
        for part in old:
            self.free.remove(part)
        for part in new:
            insort(self.free, part)


class BruteForce:
    """The same by looking at one address after the other."""

    def __init__(self, cidr: IPNetwork) -> None:
        whole = usable(cidr)
        self.base = type(whole.first)
        self.hosts = range(int(whole.first), int(whole.last) + 1)
        self.taken: set[int] = set()

    def allocate(self) -> IPAddress | None:
        lowest = next((host for host in self.hosts if host not in self.taken), None)
        return None if lowest is None else self.take(self.base(lowest))

    def take(self, address: IPAddress) -> IPAddress | None:
        if int(address) not in self.hosts or int(address) in self.taken:
            return None
        self.taken.add(int(address))
        return address

    def release(self, address: IPAddress) -> None:
        self.taken.remove(int(address))


@few
@given(cidr=st.sampled_from(SMALL), steps=STEPS)
def test_a_walk_of_allocations_and_releases_equals_brute_force(cidr: IPNetwork, steps: list[tuple[str, int]]) -> None:
    ranges, oracle = Ranges(cidr), BruteForce(cidr)
    for step, number in steps:
        address = cidr.network_address + number
        if step == "allocate":
            assert ranges.allocate() == oracle.allocate()
        elif step == "take":
            assert ranges.take(address) == oracle.take(address)
        elif int(address) in oracle.taken:
            ranges.release(address)
            oracle.release(address)
        taken = [oracle.base(number) for number in oracle.taken]
        assert ranges.free == free_ranges(cidr, taken)
        assert sum(part.size for part in ranges.free) == usable(cidr).size - len(taken)


@pytest.mark.parametrize("cidr", [ip_network("10.0.0.0/16"), ip_network("fd00::/64")], ids=str)
def test_a_long_walk_in_a_large_network_equals_brute_force(cidr: IPNetwork) -> None:
    walk = random.Random(7)
    ranges, oracle = Ranges(cidr), BruteForce(cidr)
    for _ in range(1_500):
        step = walk.choices(["allocate", "take", "release"], [5, 2, 3])[0]
        if step == "release" and oracle.taken:
            address = oracle.base(walk.choice(sorted(oracle.taken)))
            ranges.release(address)
            oracle.release(address)
        elif step == "take":
            address = cidr.network_address + walk.randrange(1 << 16)
            assert ranges.take(address) == oracle.take(address)
        else:
            assert ranges.allocate() == oracle.allocate()
    assert ranges.free == free_ranges(cidr, map(oracle.base, oracle.taken))


@pytest.mark.parametrize("prefix", [30, 29, 24, 22])
def test_every_host_address_is_handed_out_once_in_order_and_then_none(prefix: int) -> None:
    cidr = IPv4Network(f"10.20.0.0/{prefix}")
    ranges = Ranges(cidr)
    assert [ranges.allocate() for _ in range(cidr.num_addresses - 2)] == list(cidr.hosts())
    assert ranges.allocate() is None


@few
@given(cidr=st.sampled_from(SMALL), taken=st.sets(st.integers(-2, 20)), foreign=ip_networks())
def test_free_ranges_are_the_gaps_between_taken_addresses(cidr: IPNetwork, taken: set[int], foreign: IPNetwork) -> None:
    addresses = [cidr.network_address + number for number in taken if int(cidr.network_address) + number >= 0]
    ranges = free_ranges(cidr, [*addresses, foreign.network_address])
    gone = {*addresses, foreign.network_address}
    seen = [cidr.network_address + number for number in range(min(cidr.num_addresses, 64))]
    inside = [each for each in seen if any(each in part for part in ranges)]
    assert inside == [each for each in seen if each in usable(cidr) and each not in gone]
    assert all(int(one.last) + 1 < int(other.first) for one, other in pairwise(ranges))


class TestRange:
    LOW, MIDDLE, HIGH = ip_address("10.0.0.1"), ip_address("10.0.0.2"), ip_address("10.0.0.3")

    def test_knows_its_addresses_and_no_other_familys(self) -> None:
        part = Range(self.LOW, self.HIGH)
        assert list(part) == [self.LOW, self.MIDDLE, self.HIGH]
        assert part.size == 3
        assert self.LOW in part
        assert self.HIGH in part
        assert self.HIGH + 1 not in part
        assert self.LOW - 1 not in part
        assert IPv6Address(int(self.MIDDLE)) not in part

    def test_loses_an_address_at_either_end_in_the_middle_or_as_its_last(self) -> None:
        part = Range(self.LOW, self.HIGH)
        assert part.without(self.LOW) == [Range(self.MIDDLE, self.HIGH)]
        assert part.without(self.HIGH) == [Range(self.LOW, self.MIDDLE)]
        assert part.without(self.MIDDLE) == [Range(self.LOW, self.LOW), Range(self.HIGH, self.HIGH)]
        assert Range(self.LOW, self.LOW).without(self.LOW) == []

    def test_joins_only_neighbours_that_touch(self) -> None:
        below, above = Range(self.LOW, self.LOW), Range(self.HIGH, self.HIGH + 5)
        assert joined(self.MIDDLE, below, above) == Range(self.LOW, self.HIGH + 5)
        assert joined(self.MIDDLE, below, None) == Range(self.LOW, self.MIDDLE)
        assert joined(self.MIDDLE, None, above) == Range(self.MIDDLE, self.HIGH + 5)
        assert joined(self.MIDDLE + 9, below, above) == Range(self.MIDDLE + 9, self.MIDDLE + 9)

    def test_reaches_the_last_address_of_all_without_stepping_over_it(self) -> None:
        last = ip_address("255.255.255.255")
        assert Range(last - 1, last).without(last) == [Range(last - 1, last - 1)]
        assert list(Range(last, last)) == [last]


class TestUsable:
    @pytest.mark.parametrize("prefix", range(20, 31))
    def test_ipv4_leaves_out_network_and_broadcast(self, prefix: int) -> None:
        cidr = IPv4Network(f"10.20.0.0/{prefix}")
        assert list(usable(cidr)) == list(cidr.hosts())

    def test_ipv6_leaves_out_the_anycast_addresses(self) -> None:
        whole = usable(IPv6Network("fd00::/64"))
        assert (str(whole.first), str(whole.last)) == ("fd00::1", "fd00::ffff:ffff:ffff:ff7f")

    @pytest.mark.parametrize("text", ["10.20.0.0", "10.20.0.255", "10.20.1.1", "fd00::5"])
    def test_a_wish_outside_is_refused_under_its_field(self, text: str) -> None:
        with pytest.raises(InvalidValue, match=text) as caught:
            check_usable(ip_address(text), ip_network("10.20.0.0/24"), "/address_v4")
        assert caught.value.field == "/address_v4"

    def test_a_wish_in_a_family_that_the_network_lacks_is_refused(self) -> None:
        with pytest.raises(InvalidValue, match="this network"):
            check_usable(ip_address("10.20.0.5"), None, "/address_v4")

    @pytest.mark.parametrize("text", ["10.20.0.1", "10.20.0.254"])
    def test_a_wish_inside_is_granted(self, text: str) -> None:
        check_usable(ip_address(text), ip_network("10.20.0.0/24"), "/address_v4")


def test_what_is_free_is_the_total_without_peers_reservations_and_quarantine() -> None:
    assert Capacity(ip_network("10.20.0.0/29"), total=6, used=2, reserved=1, held=1).free == 2


class TestRenumbering:
    @few
    @given(old=st.sampled_from(SMALL[:3]), new=st.sampled_from(SMALL[:3]), number=st.integers(1, 14))
    def test_keeps_the_host_part_exactly_where_the_new_network_has_it(
        self, old: IPv4Network, new: IPv4Network, number: int
    ) -> None:
        moved = renumbered(old, new, old.network_address + number)
        expected = [host for host in new.hosts() if int(host) - int(new.network_address) == number]
        assert ([] if moved is None else [moved]) == expected

    def test_moves_ipv6_addresses_between_prefixes(self) -> None:
        moved = renumbered(ip_network("fd00:0:0:1::/64"), ip_network("fd00:0:0:2::/64"), ip_address("fd00:0:0:1::7"))
        assert moved == ip_address("fd00:0:0:2::7")

    @few
    @given(wishes=st.lists(st.none() | st.integers(1, 6), max_size=7), taken=st.sets(st.integers(1, 6), max_size=3))
    def test_wishes_come_true_and_the_others_get_the_lowest_free_addresses(
        self, wishes: list[int | None], taken: set[int]
    ) -> None:
        new = IPv4Network("10.20.0.8/29")
        distinct = [
            wish if wish not in wishes[:index] and wish not in taken else None for index, wish in enumerate(wishes)
        ]
        wanted = [None if wish is None else new.network_address + wish for wish in distinct]
        kept = [new.network_address + number for number in taken]
        free = [host for host in new.hosts() if host not in {*wanted, *kept}]
        if wanted.count(None) > len(free):
            with pytest.raises(InvalidValue, match="too small"):
                placed(new, wanted, kept)
        else:
            lowest = iter(free)
            assert placed(new, wanted, kept) == [wish or next(lowest) for wish in wanted]


class TestSuggestions:
    @pytest.mark.parametrize("prefix", range(8, 31))
    def test_the_longest_prefix_with_room_is_suggested(self, prefix: int) -> None:
        room = usable(IPv4Network((0, prefix))).size
        assert prefix_for(room) == prefix
        if prefix > 8:
            assert prefix_for(room + 1) == prefix - 1

    def test_more_peers_than_a_slash_8_holds_are_refused(self) -> None:
        with pytest.raises(InvalidValue) as caught:
            prefix_for((1 << 24) - 1)
        assert caught.value.field == "/peers"

    @few
    @given(
        pool_prefix=st.integers(22, 26),
        prefix=st.integers(20, 30),
        taken=st.lists(near_networks() | ip_networks(), max_size=6),
    )
    def test_the_next_free_cidr_equals_brute_force(self, pool_prefix: int, prefix: int, taken: list[IPNetwork]) -> None:
        pool = IPv4Network((int(IPv4Address("10.20.0.0")), pool_prefix))
        candidates = pool.subnets(new_prefix=prefix) if prefix >= pool_prefix else []
        v4 = [block for block in taken if isinstance(block, IPv4Network)]
        expected = next((each for each in candidates if not any(map(each.overlaps, v4))), None)
        assert next_free_cidr(pool, prefix, taken) == expected

    def test_a_gap_that_just_fits_is_used(self) -> None:
        pool, taken = IPv4Network("10.20.0.0/24"), [IPv4Network("10.20.0.0/26"), IPv4Network("10.20.0.128/25")]
        assert next_free_cidr(pool, 26, taken) == IPv4Network("10.20.0.64/26")

    def test_behind_a_smaller_block_the_next_one_starts_at_a_boundary_of_its_own_size(self) -> None:
        pool, taken = IPv4Network("10.20.0.0/24"), [IPv4Network("10.20.0.0/27")]
        assert next_free_cidr(pool, 26, taken) == IPv4Network("10.20.0.64/26")

    def test_the_last_block_of_the_address_space_can_be_suggested(self) -> None:
        pool = IPv4Network("255.255.255.0/24")
        assert next_free_cidr(pool, 25, [IPv4Network("255.255.255.0/25")]) == IPv4Network("255.255.255.128/25")
        assert next_free_cidr(pool, 25, [IPv4Network("255.255.255.128/26"), IPv4Network("255.255.255.0/25")]) is None


class TestKeys:
    @few
    @given(st.lists(st.ip_addresses(v=4), max_size=5) | st.lists(st.ip_addresses(v=6), max_size=5))
    def test_sort_as_text_as_their_addresses_do(self, addresses: list[IPAddress]) -> None:
        assert sorted(addresses, key=as_key) == sorted(addresses)

    @few
    @given(st.ip_addresses())
    def test_give_their_address_back(self, address: IPAddress) -> None:
        assert from_key(as_key(address)) == address
