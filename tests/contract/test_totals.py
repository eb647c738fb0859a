"""Numbers of things, counted in both databases."""

from dataclasses import replace
from uuid import UUID

import pytest

from isthmus.domain.mesh.incident import State, Type
from isthmus.domain.mesh.peer import Kind
from isthmus.server.federation_records import Lane, RemoteFinding
from isthmus.server.ports import Store
from isthmus.server.records import Held, Holding
from tests.builders import NOON, a_key, a_network, a_peer
from tests.contract.filling import put_network, put_peers
from tests.contract.test_federation import A, B, C, a_message, a_remote
from tests.contract.test_federation import put as put_remotes
from tests.contract.test_grants import BARE, FULL, HELD, LATER, OF_C
from tests.contract.test_holdings import OFFICE, v4, v6
from tests.contract.test_incidents import an_incident

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")


async def test_of_nothing_there_is_nothing(store: Store) -> None:
    async with store.reading() as tx:
        totals = tx.totals
        counted = [await totals.peers(), await totals.held(), await totals.outbox()]
        assert [*counted, await totals.open_incidents(), await totals.open_findings()] == [{}] * 5
        assert (await totals.live_grants(NOON), await totals.held_grants(NOON)) == (0, 0)


async def test_peers_and_addresses_are_counted_as_those_of_one_network_are(store: Store) -> None:
    await put_network(store)
    peers = [a_peer(2, public_key=a_key(2)), a_peer(3, public_key=None), a_peer(4, public_key=None)]
    await put_peers(store, peers)
    async with store.transaction() as tx:
        rest = [Holding(OFFICE, v4(77), Held.RESERVED), Holding(OFFICE, v6(0x77), Held.QUARANTINE, until=NOON)]
        await tx.holdings.hold(*rest)
        kinds = await tx.totals.peers()
        assert kinds == {(Kind.DYNAMIC, True): 1, (Kind.DYNAMIC, False): 2}
        assert await tx.totals.held() == {a_network().id: await tx.holdings.counts(OFFICE)}
        assert (await tx.totals.held())[OFFICE][4, Held.RESERVED] == 1


async def test_incidents_and_findings_count_while_they_are_open(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_peer(2), a_peer(3)])
    resolved = replace(an_incident(3, peer=3), state=State.RESOLVED, resolved_at=NOON)
    found = [
        RemoteFinding(UUID(int=number), f"kind-{number % 2}", domain, NOON, NOON)
        for number, domain in enumerate((B, C, C), 1)
    ]
    async with store.transaction() as tx:
        for incident in (an_incident(1), an_incident(2, Type.SHARED_CONFIG, 3), resolved):
            await tx.incidents.add(incident)
        for finding in found:
            await tx.findings.put(finding)
        assert await tx.totals.open_incidents() == {Type.SESSION_CONFLICT: 1, Type.SHARED_CONFIG: 1}
        assert await tx.totals.open_findings() == {"kind-0": 1, "kind-1": 2}
        await tx.findings.clear("kind-1", B, NOON)
        assert await tx.totals.open_findings() == {"kind-0": 1, "kind-1": 1}


async def test_grants_count_until_they_end(store: Store) -> None:
    async with store.transaction() as tx:
        for grant in (BARE, FULL, OF_C):
            await tx.grants.add(grant)
        for held in (HELD, replace(HELD, id=UUID(int=2), ended_at=NOON)):
            await tx.held_grants.put(held)
        for now in (NOON, LATER):
            assert await tx.totals.live_grants(now) == len(await tx.grants.live(now))
            assert await tx.totals.held_grants(now) == len(await tx.held_grants.live(now))
        assert (await tx.totals.live_grants(NOON), await tx.totals.held_grants(NOON)) == (2, 1)


async def test_what_waits_for_remotes_is_counted_by_their_domains(store: Store) -> None:
    await put_remotes(store, a_remote(1), a_remote(2, C), a_remote(3, A, removed_at=NOON))
    async with store.transaction() as tx:
        for number in (1, 2):
            await tx.outbox.add(a_message(1, Lane.STATE, number))
        await tx.outbox.add(replace(a_message(2, Lane.STATE, 5), parked="refused"))
        assert await tx.totals.outbox() == {(B, False): 2, (B, True): 0, (C, False): 0, (C, True): 1}
