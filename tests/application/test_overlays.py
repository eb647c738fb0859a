"""Whose host runs the ingress of a network, and that whoever goes by it hears of each change."""

from pathlib import Path

import pytest

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application import networks
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.overlays import OverlayService, overlay_listener
from isthmus.server.federation_records import Federation
from isthmus.server.records import Outcome
from tests.application.backend import ADA, Backend

FACTS = Federation(BackendDomain("b.example"), (InfraDomain("infra.b.example"),), Strategy.LIST)


@pytest.fixture
async def overlays(backend: Backend, tmp_path: Path) -> OverlayService:
    async with backend.store.transaction() as tx:
        await tx.federation.add(FACTS)
    return OverlayService(backend.store, backend.clock, FederationChanges(backend.store))


async def generation(backend: Backend) -> int:
    async with backend.store.reading() as tx:
        return await tx.federation.generation()


async def test_the_ingress_listens_at_the_addresses_of_its_peer(backend: Backend, overlays: OverlayService) -> None:
    network = await backend.network()
    gateway = await backend.peer(network, "gw", Kind.JUMP)
    before = await generation(backend)
    placed = await overlays.place(ADA, network.id, gateway.id, 443)
    assert placed == await overlays.get(network.id)
    async with backend.store.reading() as tx:
        found = await overlay_listener(tx, network.id)
    v4, v6 = gateway.addresses
    assert found == ((v6, v4), 443)
    assert await generation(backend) == before + 1
    row = (await backend.audit())[-1]
    assert (row.action, row.subject, row.outcome) == ("network.ingress", str(network.id), Outcome.DONE)
    assert row.facts.items() >= {"peer": str(gateway.id), "port": 443}.items()


async def test_a_network_without_one_has_no_listener(backend: Backend, overlays: OverlayService) -> None:
    network = await backend.network()
    with pytest.raises(NotFound):
        await overlays.get(network.id)
    with pytest.raises(NotFound):
        await overlays.withdraw(ADA, network.id)
    async with backend.store.reading() as tx:
        assert await overlay_listener(tx, network.id) is None


async def test_what_is_withdrawn_is_gone(backend: Backend, overlays: OverlayService) -> None:
    network = await backend.network()
    gateway = await backend.peer(network, "gw", Kind.JUMP)
    await overlays.place(ADA, network.id, gateway.id)
    before = await generation(backend)
    await overlays.withdraw(ADA, network.id)
    async with backend.store.reading() as tx:
        assert await overlay_listener(tx, network.id) is None
    assert await generation(backend) == before + 1


async def test_only_a_peer_of_the_network_with_an_agent_can_run_it(backend: Backend, overlays: OverlayService) -> None:
    network, other = await backend.network(), await backend.network("lab", "10.30.0.0/24")
    await backend.peer(network, "gw", Kind.JUMP)
    phone, stranger = await backend.peer(network, "phone", Kind.STATIC), await backend.peer(other, "gw", Kind.JUMP)
    for peer in (phone, stranger):
        with pytest.raises(InvalidValue, match="peer_id"):
            await overlays.place(ADA, network.id, peer.id)


async def test_a_peer_that_goes_or_moves_takes_the_listener_along(backend: Backend, overlays: OverlayService) -> None:
    network = await backend.network()
    await backend.peer(network, "gw", Kind.JUMP)
    host, other = await backend.peer(network, "host"), await backend.peer(network, "other")
    await overlays.place(ADA, network.id, host.id)
    before = await generation(backend)
    await backend.peers.delete(ADA, other.id, None, force=False)
    assert await generation(backend) == before
    await backend.networks.update(ADA, network.id, networks.Update(cidr_v4="10.40.0.0/24"), None)
    assert await generation(backend) == before + 1
    assert [str(each) for each in (await overlays.get(network.id)).addresses][1].startswith("10.40.0.")
    await backend.peers.delete(ADA, host.id, None, force=False)
    assert await generation(backend) == before + 2
    with pytest.raises(NotFound):
        await overlays.get(network.id)
