"""Pages by cursor: whoever reads to the end sees each row that was there at the start, once."""

from dataclasses import replace
from ipaddress import IPv6Network
from random import Random
from uuid import UUID

import pytest

from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.ports import Store
from isthmus.server.records import AuditEntry, Outcome, Page, PeerFilter
from tests.builders import NOON, a_jump, a_network, a_peer, a_static
from tests.contract.filling import ADA, a_token_of, put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

OTHER = a_network(id=NetworkId(UUID(int=8)), name="attic", cidr_v4=None, cidr_v6=IPv6Network("fd12:3456:789a:2::/64"))


async def test_a_walk_over_peers_loses_none_while_rows_come_and_go(store: Store) -> None:
    await put_network(store)
    present = [a_peer(number) for number in range(10, 200, 10)]
    await put_peers(store, present)
    others = [number for number in range(1, 190) if number % 10]
    Random(7).shuffle(others)
    seen: list[Peer] = []
    page = Page(limit=4)
    while True:
        async with store.reading() as tx:
            rows = await tx.peers.page(page, PeerFilter())
        if not rows:
            break
        seen += rows
        # New rows before and behind the cursor, and one gone that was seen.
        await put_peers(store, [a_peer(others.pop()) for _ in range(4)])
        async with store.transaction() as tx:
            await tx.peers.delete(rows[0].id)
        page = Page(limit=4, after=rows[-1].id)
    ids = [peer.id for peer in seen]
    assert {peer.id for peer in present} <= set(ids)
    assert ids == sorted(set(ids))


async def test_ids_sort_by_their_bytes_on_every_database(store: Store) -> None:
    await put_network(store)
    numbers = [1, 0x0A << 120, 0x7F << 120, 0x80 << 120, 0xFF << 120]
    peers = [
        a_peer(2, id=UUID(int=number), name=f"peer-{place}", public_key=None, addresses=())
        for place, number in enumerate(numbers)
    ]
    await put_peers(store, reversed(peers))
    async with store.reading() as tx:
        assert [peer.id.int for peer in await tx.peers.page(Page(), PeerFilter())] == numbers
        assert [peer.id.int for peer in await tx.peers.page(Page(2, peers[1].id), PeerFilter())] == numbers[2:4]


FILTERS = [
    (PeerFilter(), {1, 2, 3, 4}),
    (PeerFilter(network_id=OTHER.id), {4}),
    (PeerFilter(kind=Kind.STATIC), {3}),
    (PeerFilter(name="peer-2"), {2}),
    (PeerFilter(name="peer"), set()),
    (PeerFilter(search="PEER"), {2, 4}),
    (PeerFilter(search="%"), set()),
    (PeerFilter(search="_"), set()),
    (PeerFilter(search="/"), set()),
    (PeerFilter(search="' OR 1=1 --"), set()),
    (PeerFilter(enrolled=True), {1, 3, 4}),
    (PeerFilter(enrolled=False), {2}),
    (PeerFilter(network_id=a_network().id, kind=Kind.DYNAMIC, search="eer", enrolled=False), {2}),
]


@pytest.mark.parametrize(("where", "numbers"), FILTERS)
async def test_a_filter_gives_exactly_what_it_says(store: Store, where: PeerFilter, numbers: set[int]) -> None:
    await put_network(store)
    await put_network(store, OTHER)
    await put_peers(store, [a_jump(1), a_peer(2, public_key=None), a_static(3), a_peer(4, OTHER)])
    async with store.reading() as tx:
        assert {peer.id.int for peer in await tx.peers.page(Page(), where)} == numbers


async def test_networks_and_tokens_come_in_pages(store: Store) -> None:
    await put_network(store)
    await put_network(store, OTHER)
    bob = replace(ADA, id=UUID(int=502), name="bob")  # type: ignore[arg-type]
    async with store.transaction() as tx:
        for user, first in ((ADA, 1), (bob, 2)):
            await tx.accounts.add_user(user)
            for number in range(first, 11, 2):
                await tx.accounts.add_token(a_token_of(user, number))
    async with store.reading() as tx:
        assert await tx.networks.page(Page(limit=1)) == [a_network()]
        assert await tx.networks.page(Page(limit=1, after=a_network().id)) == [OTHER]
        assert await tx.networks.page(Page(after=a_network().id), name="office") == []
        every = await tx.accounts.tokens(Page(3, UUID(int=2)))
        assert [token.id.int for token in every] == [3, 4, 5]
        assert [token.id.int for token in await tx.accounts.tokens(Page(2, UUID(int=3)), ADA.id)] == [5, 7]


async def test_the_audit_log_pages_backwards(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.journal.audit(AuditEntry(NOON, "a", "b", str(n), Outcome.DONE, "r") for n in range(1, 8))
    async with store.reading() as tx:
        assert [row.entry.subject for row in await tx.journal.audit_page(3)] == ["7", "6", "5"]
        assert [row.number for row in await tx.journal.audit_page(3, after=5)] == [4, 3, 2]
        assert await tx.journal.audit_page(3, after=1) == []
