"""What is kept of bridges, in both databases."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import Hold, Side, State
from isthmus.domain.ids import NetworkId
from isthmus.server.ports import BridgeExists, Store
from isthmus.server.records import Page
from tests.builders import NOON, OFFICE_ID, OFFICE_V6
from tests.trusting import PLANT_V6, THEIR_TERMS, A, B, C, a_bridge, a_statement

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ODD = NOON.replace(microsecond=999_999)
OTHER_NETWORK = NetworkId(UUID(int=2))
FULL = a_bridge(
    remote_generation=3,
    generation=2**31,
    proposed_by=Side.THEIRS,
    state=State.SUSPENDED,
    changed_at=ODD,
    holds=frozenset(Hold),
    revision=2**40,
    ours=THEIR_TERMS,
    offered=(OFFICE_V6,),
    accepted=(PLANT_V6,),
    theirs=a_statement(State.ACTIVE, revision=2**50, reason="π"),
    signed="e.y.J",
    reason="moving house",
    version=4,
)


async def put(store: Store, *bridges: Any) -> None:
    async with store.transaction() as tx:
        for bridge in bridges:
            await tx.bridges.add(bridge)


async def test_a_bridge_reads_back_as_written(store: Store) -> None:
    bare = a_bridge(2, remote=C, network_id=None, ours=None)
    await put(store, FULL, bare)
    async with store.transaction() as tx:
        assert [await tx.bridges.get(FULL.id), await tx.bridges.lock(bare.id)] == [FULL, bare]
        after = replace(FULL, ours=None, theirs=None, holds=frozenset(), network_id=OTHER_NETWORK, version=5)
        await tx.bridges.save(after)
        assert await tx.bridges.get(FULL.id) == after
        unknown = UUID(int=9)
        for attempt in (tx.bridges.get(unknown), tx.bridges.lock(unknown), tx.bridges.save(a_bridge(9))):
            with pytest.raises(NotFound):
                await attempt


@pytest.mark.parametrize("state", sorted(set(State) - {State.REVOKED}))
async def test_the_database_holds_one_live_bridge_of_a_network_with_a_remote(store: Store, state: State) -> None:
    ended = a_bridge(1, state=State.REVOKED)
    live = a_bridge(2, state=state, generation=2)
    await put(store, ended, replace(ended, id=UUID(int=3)), live)
    with pytest.raises(BridgeExists):
        await put(store, a_bridge(4, generation=3))
    # With another remote, of another network, and of none yet there is room.
    free = a_bridge(7, remote=B, network_id=None)
    await put(store, a_bridge(5, remote=C), a_bridge(6, network_id=OTHER_NETWORK), free, replace(free, id=UUID(int=8)))
    with pytest.raises(BridgeExists):
        async with store.transaction() as tx:
            await tx.bridges.save(replace(free, network_id=OFFICE_ID))
    async with store.transaction() as tx:
        assert await tx.bridges.live(B, OFFICE_ID) == live
        await tx.bridges.save(replace(live, state=State.REVOKED))
        assert await tx.bridges.live(B, OFFICE_ID) is None
        await tx.bridges.add(a_bridge(9, generation=3))


async def test_bridges_are_found_by_remote_and_by_network(store: Store) -> None:
    ended = a_bridge(1, state=State.REVOKED)
    one, two, three = a_bridge(2), a_bridge(3, remote=C), a_bridge(4, network_id=OTHER_NETWORK)
    await put(store, three, two, one, ended)
    async with store.reading() as tx:
        assert await tx.bridges.of_remote(B) == [ended, one, three]
        assert await tx.bridges.of_remote(A) == []
        assert await tx.bridges.of_network(OFFICE_ID) == [one, two]
        assert await tx.bridges.all_live() == [one, two, three]
        assert await tx.bridges.page(Page(3)) == [ended, one, two]
        assert await tx.bridges.page(Page(3, UUID(int=2))) == [two, three]
        assert await tx.bridges.page(Page(1, UUID(int=1)), B) == [one]
