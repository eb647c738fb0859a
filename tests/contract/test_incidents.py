"""Incidents and the access control list in both databases."""

from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.incident import (
    Changing,
    EnrollmentReuse,
    Evidence,
    Incident,
    Observation,
    Process,
    SessionConflict,
    SharedConfig,
    Sighting,
    State,
    SuspiciousActivity,
    Type,
    Voice,
)
from isthmus.server.ports import IncidentOpen, Store
from isthmus.server.records import IncidentFilter, Page, PeerFilter
from tests.builders import NOON, a_key, a_network, a_peer
from tests.contract.filling import put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD = NOON.replace(microsecond=999_999)
OBSERVATION = Observation(
    PeerId(UUID(int=9)), "gw", (Sighting(ODD, "198.51.100.9:1"), Sighting(NOON, "[2001:db8::1]:2"))
)
VOICES = (Voice(NOON, "198.51.100.9", Process("m", "b", 7)), Voice(ODD, None, None))
EVIDENCE: dict[Type, Evidence] = {
    Type.SESSION_CONFLICT: SessionConflict(VOICES),
    Type.SHARED_CONFIG: SharedConfig((OBSERVATION,), VOICES),
    Type.SUSPICIOUS_ACTIVITY: SuspiciousActivity(Changing.PORT, (OBSERVATION, Observation(None, "the server", ()))),
    Type.ENROLLMENT_REUSE: EnrollmentReuse("isthmus-enroll-abc", a_key(2), a_key(3), "host π", None),
}


def an_incident(number: int, kind: Type = Type.SESSION_CONFLICT, peer: int = 2, blocks: bool = True) -> Incident:
    return Incident(
        IncidentId(UUID(int=number)),
        a_network().id,
        a_peer(peer).id,
        f"peer-{peer}",
        kind,
        EVIDENCE[kind],
        blocks,
        ODD,
    )


async def put(store: Store, *incidents: Incident) -> None:
    await put_network(store)
    await put_peers(store, [a_peer(2), a_peer(3)])
    async with store.transaction() as tx:
        for incident in incidents:
            await tx.incidents.add(incident)
            if incident.blocks and incident.is_open:
                await tx.incidents.block(incident.peer_id, incident.id)


async def test_incidents_of_every_type_read_back_as_written(store: Store) -> None:
    written = [an_incident(number, kind) for number, kind in enumerate(Type, 1)]
    await put(store, *written)
    async with store.transaction() as tx:
        assert [await tx.incidents.get(each.id) for each in written] == written
        assert await tx.incidents.open_of_peer(a_peer(2).id) == written
        after = written[0].resolved("user:ada", "π is off", ODD)
        await tx.incidents.save(after)
        assert await tx.incidents.get(after.id) == after
        assert await tx.incidents.open_of_peer(a_peer(2).id) == written[1:]


async def test_a_page_is_newest_first_and_filtered(store: Store) -> None:
    first, second, third = (
        an_incident(1).resolved("user:ada", "over", ODD),
        an_incident(2),
        an_incident(3, Type.SHARED_CONFIG, peer=3, blocks=False),
    )
    await put(store, first, second, third)

    async def ids(page: Page | None = None, **fields: object) -> list[int]:
        async with store.reading() as tx:
            found = await tx.incidents.page(page or Page(), IncidentFilter(**fields))  # type: ignore[arg-type]
        return [incident.id.int for incident in found]

    assert await ids() == [3, 2, 1]
    assert await ids(Page(1)) == [3]
    assert await ids(Page(1, after=UUID(int=3))) == [2]
    assert await ids(state=State.OPEN) == [3, 2]
    assert await ids(peer_id=a_peer(2).id) == [2, 1]
    assert await ids(type=Type.SHARED_CONFIG) == [3]
    assert await ids(network_id=a_network().id, state=State.RESOLVED) == [1]
    assert await ids(network_id=UUID(int=404)) == []


async def test_one_incident_of_a_type_is_open_for_a_peer(store: Store) -> None:
    await put(store, an_incident(1))
    with pytest.raises(IncidentOpen):
        async with store.transaction() as tx:
            await tx.incidents.add(an_incident(2))
    async with store.transaction() as tx:
        await tx.incidents.save(an_incident(1).resolved("user:ada", "over", ODD))
        await tx.incidents.add(an_incident(2))
        await tx.incidents.add(an_incident(3, Type.SHARED_CONFIG))
        await tx.incidents.add(an_incident(4, peer=3))


async def test_a_peer_is_blocked_as_long_as_one_incident_says_so(store: Store) -> None:
    one, two = an_incident(1), an_incident(2, Type.SHARED_CONFIG)
    await put(store, one, two)
    async with store.transaction() as tx:
        assert await tx.incidents.blocking([a_peer(2).id, a_peer(3).id]) == {a_peer(2).id: (one.id, two.id)}
        assert (await tx.peers.get(a_peer(2).id)).blocked
        assert [peer.id for peer in await tx.peers.page(Page(), PeerFilter(blocked=True))] == [a_peer(2).id]
        await tx.incidents.unblock(one.id)
        assert (await tx.peers.get(a_peer(2).id)).blocked
        await tx.incidents.unblock(two.id)
        assert not (await tx.peers.get(a_peer(2).id)).blocked
        assert await tx.incidents.blocking([a_peer(2).id]) == {}


async def test_an_incident_outlives_its_peer_and_the_block_does_not(store: Store) -> None:
    await put(store, an_incident(1))
    async with store.transaction() as tx:
        await tx.peers.delete(a_peer(2).id)
        assert await tx.incidents.get(IncidentId(UUID(int=1))) == an_incident(1)
        assert await tx.incidents.blocking([a_peer(2).id]) == {}


async def test_an_unknown_incident_is_not_found(store: Store) -> None:
    await put(store)
    async with store.transaction() as tx:
        with pytest.raises(NotFound):
            await tx.incidents.get(IncidentId(UUID(int=404)))
        with pytest.raises(NotFound):
            await tx.incidents.save(an_incident(404))


async def test_keys_lead_to_the_networks_of_their_peers(store: Store) -> None:
    await put(store)
    async with store.reading() as tx:
        found = await tx.peers.with_keys([a_key(2), a_key(3), a_key(404)])
    assert found == {a_key(2): a_network().id, a_key(3): a_network().id}
