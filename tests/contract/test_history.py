"""What the revision log still needs of the past, and peers found by name, key and group."""

from collections.abc import Iterable
from ipaddress import IPv6Network
from uuid import UUID

import pytest

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Audience
from isthmus.server.ports import Store
from isthmus.server.records import Change, Group
from tests.builders import NOON, OFFICE_ID, a_key, a_network, a_peer
from tests.contract.filling import put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ONE, TWO = UUID(int=11), UUID(int=12)
# Revisions 1 to 8 of a network, by event and subject.
LOG = [
    ("network.created", OFFICE_ID),
    ("peer.created", ONE),
    ("peer.created", TWO),
    ("peer.changed", ONE),
    ("network.renumbered", OFFICE_ID),
    ("network.changed", OFFICE_ID),
    ("peer.deleted", TWO),
    ("network.changed", OFFICE_ID),
]


async def put_log(store: Store, events: Iterable[tuple[str, UUID]] = LOG) -> None:
    await put_network(store)
    async with store.transaction() as tx:
        for revision, (event, subject) in enumerate(events, 1):
            state = None if event == "peer.deleted" else {"at": revision}
            change = Change(OFFICE_ID, revision, event, subject, Audience.NOBODY, NOON, (a_key(1),), state)
            await tx.journal.append(change)


async def latest(store: Store, revision: int) -> list[int]:
    async with store.reading() as tx:
        return [change.revision for change in await tx.journal.latest(OFFICE_ID, revision)]


async def test_the_latest_change_of_each_peer_and_each_event_of_the_network_are_told(store: Store) -> None:
    await put_log(store)
    assert await latest(store, 3) == [1, 2, 3]
    assert await latest(store, 6) == [1, 3, 4, 5, 6]
    assert await latest(store, 100) == [1, 4, 5, 7, 8]
    async with store.reading() as tx:
        change = (await tx.journal.latest(OFFICE_ID, 2))[1]
    assert (change.event, change.subject, change.state) == ("peer.created", ONE, {"at": 2})


@pytest.mark.parametrize(("cut", "left"), [(3, range(1, 9)), (6, [1, 3, 4, 5, 6, 7, 8]), (8, [1, 4, 5, 8])])
async def test_only_what_no_later_state_needs_is_forgotten(store: Store, cut: int, left: Iterable[int]) -> None:
    await put_log(store)
    expected = [await latest(store, revision) for revision in range(cut, 9)]
    async with store.transaction() as tx:
        while await tx.journal.forget(OFFICE_ID, cut, 2) == 2:
            pass
        assert await tx.journal.forget(OFFICE_ID, cut, 2) == 0
    async with store.reading() as tx:
        assert [change.revision for change in await tx.journal.changes(OFFICE_ID, 0)] == list(left)
    for revision, before in zip(range(cut, 9), expected, strict=True):
        # The end of a peer that was forgotten altogether need not be known either.
        assert set(before) - set(await latest(store, revision)) <= {7}


async def test_the_end_of_a_peer_that_a_checkpoint_names_is_kept(store: Store) -> None:
    await put_log(store, [("network.checkpoint", OFFICE_ID), *LOG[1:]])
    async with store.transaction() as tx:
        await tx.journal.forget(OFFICE_ID, 8, 100)
    assert await latest(store, 8) == [1, 4, 5, 7, 8]


async def test_where_a_history_begins_is_kept(store: Store) -> None:
    network = await put_network(store)
    async with store.transaction() as tx:
        assert await tx.journal.history_begins(OFFICE_ID) == 1
        await tx.journal.set_history_begins(OFFICE_ID, 2**40)
        await tx.networks.save(network)
        assert await tx.journal.history_begins(OFFICE_ID) == 2**40
        with pytest.raises(NotFound):
            await tx.journal.history_begins(NetworkId(UUID(int=404)))


async def test_peers_are_found_by_name_and_keys_are_known_in_all_networks(store: Store) -> None:
    office = await put_network(store)
    v6 = IPv6Network("fd12:3456:789a:2::/64")
    lab = await put_network(store, a_network(id=NetworkId(UUID(int=9)), name="lab", cidr_v4=None, cidr_v6=v6))
    two, three = a_peer(2, groups=("a", "b")), a_peer(3, groups=("b",))
    far = a_peer(4, lab, id=PeerId(UUID(int=4)), name="peer-2", groups=("b",))
    await put_peers(store, [two, three, far])
    async with store.reading() as tx:
        assert await tx.peers.named(office.id, ["peer-2", "nobody"]) == [two]
        assert await tx.peers.named(office.id, []) == []
        assert (await tx.peers.with_keys([a_key(2), a_key(4), a_key(5)])).keys() == {a_key(2), a_key(4)}
        groups = [Group(office.id, "a", 1), Group(office.id, "b", 2), Group(lab.id, "b", 1)]
        assert await tx.peers.groups(None, 10) == groups
        assert await tx.peers.groups(frozenset({office.id}), 10) == groups[:2]
        assert await tx.peers.groups(None, 1, (office.id, "a")) == groups[1:2]
        assert await tx.peers.groups(None, 10, (office.id, "b")) == groups[2:]
