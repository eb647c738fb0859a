"""What agents were told of bridges, in both databases."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

import pytest

from isthmus.domain.addresses import Endpoint
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import INGRESS, Crossing, Flow, outline_of
from isthmus.server.ports import Store
from tests.builders import OFFICE_ID, a_key
from tests.contract.filling import put_network

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

BARE = Crossing(UUID(int=1), "b.example", a_key(1), None, (IPv4Network("10.99.0.0/16"),), ())
FULL = Crossing(
    UUID(int=2),
    "c.example",
    a_key(2),
    Endpoint("2001:db8::1", 51_820),
    (IPv4Network("10.98.0.0/16"), IPv6Network("fd99::/64")),
    (IPv4Network("10.20.0.0/24"),),
    (
        Flow(INGRESS, (IPv4Network("10.98.0.0/16"),), IPv4Address("10.20.0.2"), "tcp", ((8443, 8443),)),
        Flow(str(UUID(int=7)), (IPv6Network("fd99::7/128"),), IPv6Address("fd12::2"), "udp", ((1, 2), (53, 53))),
    ),
    (IPv6Network("fd99::9/128"),),
)


async def test_crossings_read_back_as_written_in_order_of_id_and_end_with_their_network(store: Store) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        await tx.crossings.put(OFFICE_ID, FULL)
        await tx.crossings.put(OFFICE_ID, BARE)
    async with store.reading() as tx:
        assert await tx.crossings.of_network(OFFICE_ID) == [BARE, FULL]
        assert await tx.crossings.outlines(OFFICE_ID) == [outline_of(BARE), outline_of(FULL)]
        assert await tx.crossings.get(FULL.id) == FULL
        assert await tx.crossings.get(UUID(int=404)) is None
        assert await tx.crossings.of_network(NetworkId(UUID(int=404))) == []
    after = replace(BARE, flows=FULL.flows)
    async with store.transaction() as tx:
        await tx.crossings.put(OFFICE_ID, after)
        await tx.crossings.delete(FULL.id)
        await tx.crossings.delete(UUID(int=404))
        assert await tx.crossings.of_network(OFFICE_ID) == [after]
    async with store.transaction() as tx:
        await tx.networks.delete(OFFICE_ID)
        assert await tx.crossings.of_network(OFFICE_ID) == []
