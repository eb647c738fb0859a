"""Whose host runs the ingress of a network, and that whoever goes by it hears of each change."""

from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.bridge import Bridge, State
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Remote, Strategy
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Kind
from isthmus.protocol.federator import Bridged
from isthmus.server.application import networks
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.overlays import OverlayService, overlay_listener, overlays_of
from isthmus.server.federation_records import Federation
from isthmus.server.ports import Store
from isthmus.server.records import Outcome
from tests.application.backend import ADA, Backend
from tests.trusting import a_bridge, a_statement, an_active_remote

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


async def test_what_the_federator_and_the_ingress_hear_of_bridges(backend: Backend, overlays: OverlayService) -> None:
    """The listener is there while a bridge is effective, and what the remote is reached by with it; the ranges stay."""
    network, bare = await backend.network(), await backend.network("lab", "10.30.0.0/24")
    gateway = await backend.peer(network, "gw", Kind.JUMP)
    await overlays.place(ADA, network.id, gateway.id)
    remote, bridge = await an_active_bridge(backend.store, network.id)
    async with backend.store.reading() as tx:
        found = await overlays_of(tx)
    v4, v6 = map(str, gateway.addresses)
    assert {(each.address, each.port, each.network) for each in found.listeners} == {
        (v6, 8443, str(network.id)),
        (v4, 8443, str(network.id)),
    }
    assert found.bridged == {str(network.id): "office"}
    vip = bridge.theirs.terms.vip if bridge.theirs else None
    prefixes = [str(each) for each in bridge.accepted]
    (bridged,) = found.bridges[remote.id]
    assert bridged == Bridged(str(network.id), prefixes, str(vip), 8443, [v6, v4])
    for cidr in (*network.cidrs, *bare.cidrs, *bridge.accepted):
        assert any(cidr.version == each.version and cidr.subnet_of(each) for each in found.ranges)  # type: ignore[arg-type]
    for changed in (
        replace(bridge, state=State.SUSPENDED),
        replace(bridge, remote_generation=bridge.remote_generation + 1),
        replace(bridge, theirs=None),
    ):
        async with backend.store.transaction() as tx:
            await tx.bridges.save(changed)
        async with backend.store.reading() as tx:
            after = await overlays_of(tx)
        assert (after.bridged, after.bridges) == ({}, {})
        assert after.listeners == found.listeners
        assert after.ranges == found.ranges


async def an_active_bridge(store: Store, network_id: NetworkId) -> tuple[Remote, Bridge]:
    remote = an_active_remote()
    statement = a_statement(State.ACTIVE)
    prefixes = statement.terms.prefixes
    bridge = a_bridge(network_id=network_id, state=State.ACTIVE, theirs=statement, offered=prefixes, accepted=prefixes)
    async with store.transaction() as tx:
        await tx.remotes.add(remote)
        await tx.bridges.add(bridge)
    return remote, bridge
