"""Addresses that are held and ranges that are free."""

from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.ipam import Range
from isthmus.server.ports import Store, Transaction
from isthmus.server.records import Held, Holding
from tests.builders import NOON, a_network, a_peer
from tests.contract.filling import put_network

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

OFFICE: NetworkId = a_network().id


def v4(host: int) -> IPv4Address:
    return IPv4Address("10.20.0.0") + host


def v6(host: int) -> IPv6Address:
    return IPv6Address("fd12:3456:789a:1::") + host


async def set_free(tx: Transaction, *hosts: tuple[int, int]) -> None:
    await tx.holdings.reset_free(OFFICE, 4, [Range(v4(first), v4(last)) for first, last in hosts])


async def test_the_lowest_free_range_is_lowest_by_number_in_its_family(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        await set_free(tx, (200, 254), (9, 9), (16, 100))
        await tx.holdings.reset_free(OFFICE, 6, [Range(v6(0x10), v6(0xFFFF)), Range(v6(0xA), v6(0xB))])
        assert await tx.holdings.lowest_free(OFFICE, 4) == Range(v4(9), v4(9))
        assert await tx.holdings.lowest_free(OFFICE, 6) == Range(v6(0xA), v6(0xB))
        await tx.holdings.reset_free(OFFICE, 4, [])
        assert await tx.holdings.lowest_free(OFFICE, 4) is None
        assert await tx.holdings.lowest_free(OFFICE, 6) is not None


@pytest.mark.parametrize(
    ("host", "around", "below", "above"),
    [
        (5, None, None, (10, 12)),
        (10, (10, 12), (10, 12), (20, 20)),
        (12, (10, 12), (10, 12), (20, 20)),
        (15, None, (10, 12), (20, 20)),
        (20, (20, 20), (20, 20), None),
        (21, None, (20, 20), None),
    ],
)
async def test_free_neighbours_are_found(
    store: Store,
    host: int,
    around: tuple[int, int] | None,
    below: tuple[int, int] | None,
    above: tuple[int, int] | None,
) -> None:
    def between(hosts: tuple[int, int] | None) -> Range | None:
        return None if hosts is None else Range(v4(hosts[0]), v4(hosts[1]))

    await put_network(store)
    async with store.transaction() as tx:
        await set_free(tx, (10, 12), (20, 20))
        assert await tx.holdings.free_around(OFFICE, v4(host)) == between(around)
        if around is None:
            assert await tx.holdings.free_beside(OFFICE, v4(host)) == (between(below), between(above))


async def test_ranges_are_swapped(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        await set_free(tx, (10, 20), (30, 40))
        await tx.holdings.swap_free(OFFICE, [Range(v4(10), v4(20))], [Range(v4(11), v4(20))])
        assert await tx.holdings.lowest_free(OFFICE, 4) == Range(v4(11), v4(20))
        assert await tx.holdings.free_around(OFFICE, v4(30)) == Range(v4(30), v4(40))
        await tx.holdings.swap_free(OFFICE, [Range(v4(11), v4(20)), Range(v4(30), v4(40))], [])
        assert await tx.holdings.lowest_free(OFFICE, 4) is None
        await tx.holdings.swap_free(OFFICE, [], [Range(v4(1), v4(1)), Range(v4(3), v4(3))])
        assert await tx.holdings.free_around(OFFICE, v4(3)) == Range(v4(3), v4(3))


HOLDINGS = [
    Holding(OFFICE, v4(2), Held.PEER, a_peer(2).id),
    Holding(OFFICE, v4(10), Held.RESERVED, note="printer, 2nd floor"),
    Holding(OFFICE, v4(200), Held.QUARANTINE, until=NOON + timedelta(microseconds=1)),
    Holding(OFFICE, v6(2), Held.PEER, a_peer(2).id),
]


async def test_holdings_read_back_in_order_of_addresses(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        for holding in reversed(HOLDINGS):
            await tx.holdings.hold(holding)
        assert await tx.holdings.of_network(OFFICE) == HOLDINGS
        assert await tx.holdings.of_network(OFFICE, Held.RESERVED) == HOLDINGS[1:2]
        assert await tx.holdings.get(OFFICE, v4(200)) == HOLDINGS[2]
        assert await tx.holdings.get(OFFICE, v4(201)) is None
        assert await tx.holdings.counts(OFFICE) == {
            (4, Held.PEER): 1,
            (4, Held.RESERVED): 1,
            (4, Held.QUARANTINE): 1,
            (6, Held.PEER): 1,
        }
        await tx.holdings.drop(OFFICE, [v4(2), v6(2), v4(99)])
        assert await tx.holdings.of_network(OFFICE) == HOLDINGS[1:3]


async def test_a_quarantine_is_over_at_its_end_and_only_a_quarantine(store: Store) -> None:
    await put_network(store)
    until = NOON + timedelta(hours=1)
    async with store.transaction() as tx:
        await tx.holdings.hold(HOLDINGS[0])
        await tx.holdings.hold(Holding(OFFICE, v4(10), Held.RESERVED, until=NOON))
        await tx.holdings.change(Holding(OFFICE, v4(2), Held.QUARANTINE, until=until))
        assert await tx.holdings.expired(OFFICE, until - timedelta(microseconds=1)) == []
        assert await tx.holdings.expired(OFFICE, until) == [Holding(OFFICE, v4(2), Held.QUARANTINE, until=until)]


async def test_what_is_not_held_cannot_be_changed(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        with pytest.raises(NotFound):
            await tx.holdings.change(HOLDINGS[0])
