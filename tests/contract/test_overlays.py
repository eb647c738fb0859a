"""Where the ingress listens inside networks, on both databases."""

from ipaddress import IPv6Network
from uuid import UUID

import pytest

from isthmus.domain.ids import NetworkId
from isthmus.server.federation_records import OverlayIngress
from isthmus.server.ports import Store
from tests.builders import a_jump, a_network
from tests.contract.filling import put_network, put_peers

pytestmark = pytest.mark.case("SEED-099")


async def test_a_network_has_one_ingress_which_reads_back_as_written(store: Store) -> None:
    network, jump = await put_network(store), a_jump()
    await put_peers(store, [jump])
    async with store.transaction() as tx:
        await tx.overlay_ingresses.put(OverlayIngress(network.id, jump.id, 443))
        await tx.overlay_ingresses.put(placed := OverlayIngress(network.id, jump.id, 8444))
    async with store.transaction() as tx:
        assert await tx.overlay_ingresses.get(network.id) == placed
        assert await tx.overlay_ingresses.all() == [placed]
        assert await tx.overlay_ingresses.drop(network.id)
        assert not await tx.overlay_ingresses.drop(network.id)
        assert await tx.overlay_ingresses.get(network.id) is None


@pytest.mark.parametrize("goes", ["peer", "network"])
async def test_it_goes_with_its_peer_and_with_its_network(store: Store, goes: str) -> None:
    network, jump = await put_network(store), a_jump()
    other = a_network(id=NetworkId(UUID(int=7)), name="lab", cidr_v4=None, cidr_v6=IPv6Network("fd12:3456:789a:7::/64"))
    await put_network(store, other)
    await put_peers(store, [jump])
    async with store.transaction() as tx:
        await tx.overlay_ingresses.put(OverlayIngress(network.id, jump.id))
        await (tx.peers.delete(jump.id) if goes == "peer" else tx.networks.delete(network.id))
    async with store.reading() as tx:
        assert await tx.overlay_ingresses.all() == []
