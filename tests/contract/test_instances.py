"""The instances of this backend in the store: as written, one live of a name, and the addresses of those that run."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.instance import Instance, Maker
from isthmus.domain.federation.names import InfraDomain, InstanceId
from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.incident import EnrollmentReuse, Incident, State, Type
from isthmus.server.certificate_records import OwnLeaf, Purpose
from isthmus.server.instance_ports import Host
from isthmus.server.ports import Conflict, InstanceNameTaken, Store
from isthmus.server.records import Page
from tests.builders import NOON, a_network, a_peer
from tests.contract.filling import put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD = NOON.replace(microsecond=999_999)


def an_instance(number: int = 1, **fields: Any) -> Instance:
    bare = Instance(InstanceId(UUID(int=number)), f"instance-{number}", Maker.OPERATOR, ODD)
    return replace(bare, **fields)


def a_leaf(serial: int = 2**159 + 1, **fields: Any) -> OwnLeaf:
    bare = OwnLeaf(
        serial,
        serial.to_bytes(32),
        b"a" * 32,
        Purpose.INSTANCE,
        "spiffe://a.example/instance/x",
        (InfraDomain("infra.a.example"), InfraDomain("infra2.a.example")),
        NOON,
        ODD,
    )
    return replace(bare, **fields)


REVOKED = an_instance(
    2, maker=Maker.AGENT, peer_id=PeerId(UUID(int=9)), revoked_at=ODD, revoked_by="user:ada", reason="lost"
)


async def test_instances_and_leaves_read_back_as_written(store: Store) -> None:
    one, leaf, later = an_instance(), a_leaf(), a_leaf(1, issued_at=ODD, ends_at=ODD + timedelta(days=1))
    async with store.transaction() as tx:
        await tx.instances.add(one)
        await tx.instances.add(REVOKED)
        await tx.instances.add_leaf(one.id, later)
        await tx.instances.add_leaf(one.id, leaf)
    async with store.transaction() as tx:
        assert await tx.instances.get(REVOKED.id) == await tx.instances.lock(REVOKED.id) == REVOKED
        assert await tx.instances.page(Page(10)) == [one]
        assert await tx.instances.page(Page(10), revoked=True) == [one, REVOKED]
        assert await tx.instances.page(Page(10, one.id), revoked=True) == [REVOKED]
        assert await tx.instances.count() == 1
        assert await tx.instances.leaves([one.id, REVOKED.id]) == {one.id: [leaf, later]}
        await tx.instances.drop_leaves(one.id, before=ODD + timedelta(seconds=1))
        assert await tx.instances.leaves([one.id]) == {one.id: [later]}
        await tx.instances.drop_leaves(one.id)
        assert await tx.instances.leaves([one.id]) == {}
        with pytest.raises(NotFound):
            await tx.instances.get(InstanceId(UUID(int=77)))


async def test_a_name_is_free_again_once_its_instance_is_revoked(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.instances.add(an_instance(1, name="billing"))
    with pytest.raises(InstanceNameTaken):
        async with store.transaction() as tx:
            await tx.instances.add(an_instance(2, name="billing"))
    async with store.transaction() as tx:
        await tx.instances.save(an_instance(1, name="billing").revoked(NOON, "user:ada", "lost"))
        await tx.instances.add(an_instance(2, name="billing"))
        live = await tx.instances.live_named("billing")
        assert live is not None
        assert live.id == UUID(int=2)
        assert await tx.instances.live_named("other") is None


async def test_the_agent_of_a_peer_has_one_live_instance(store: Store) -> None:
    of_agent: dict[str, Any] = {"maker": Maker.AGENT, "peer_id": PeerId(UUID(int=9))}
    first = an_instance(1, **of_agent)
    async with store.transaction() as tx:
        await tx.instances.add(first)
        # An operator may make others there.
        await tx.instances.add(an_instance(2, peer_id=first.peer_id))
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await tx.instances.add(an_instance(3, **of_agent))
    async with store.transaction() as tx:
        await tx.instances.save(first.revoked(NOON, "user:ada", "lost"))
        last = await tx.instances.of_agent(PeerId(UUID(int=9)))
        assert last == first.revoked(NOON, "user:ada", "lost")
        await tx.instances.add(an_instance(4, **of_agent))
        assert await tx.instances.of_agent(PeerId(UUID(int=9))) == an_instance(4, **of_agent)
        assert await tx.instances.of_agent(PeerId(UUID(int=10))) is None


async def test_addresses_are_those_of_live_instances_on_peers_that_are_not_blocked(store: Store) -> None:
    network = await put_network(store, a_network())
    peers = [a_peer(number, network) for number in (2, 3, 4)]
    await put_peers(store, peers)
    blocked = peers[1]
    incident = Incident(
        IncidentId(UUID(int=50)),
        network.id,
        blocked.id,
        blocked.name,
        Type.ENROLLMENT_REUSE,
        EnrollmentReuse("p", "a", "b", "h", None),
        blocks=True,
        detected_at=NOON,
    )
    async with store.transaction() as tx:
        for number, peer in enumerate(peers, 2):
            await tx.instances.add(an_instance(number, peer_id=peer.id))
        await tx.instances.add(an_instance(20, peer_id=peers[0].id))
        await tx.instances.add(an_instance(21))
        await tx.instances.save(an_instance(4, peer_id=peers[2].id).revoked(NOON, "user:ada", "lost"))
        await tx.incidents.add(incident)
        await tx.incidents.block(blocked.id, incident.id)
        ids = [InstanceId(UUID(int=number)) for number in (2, 3, 20, 21)]
        expected = {ids[0]: peers[0].addresses, ids[2]: peers[0].addresses}
        assert await tx.instances.addresses(network.id) == expected
        hosts = await tx.instances.hosts(ids)
        assert hosts[ids[1]] == Host(blocked.id, blocked.name, network.id, network.name)
        assert hosts.keys() == {ids[0], ids[1], ids[2]}
        assert await tx.instances.stranded() == []
        await tx.incidents.save(replace(incident, state=State.RESOLVED, resolved_at=NOON))
        await tx.incidents.unblock(incident.id)
        assert await tx.instances.addresses(network.id) == expected | {ids[1]: blocked.addresses}
        await tx.peers.delete(peers[0].id)
        assert await tx.instances.addresses(network.id) == {ids[1]: blocked.addresses}
        assert [each.id for each in await tx.instances.stranded()] == [ids[0], ids[2]]
