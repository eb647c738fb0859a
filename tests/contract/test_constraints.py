"""The schema refuses what must not be, and says by which constraint."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

import pytest

from isthmus.domain.ids import NetworkId, PeerId, SessionId
from isthmus.domain.mesh.peer import Audience
from isthmus.server.ports import AddressTaken, Conflict, Store, Transaction
from isthmus.server.records import Change, Held, Holding, KeptKey, PeerStatus
from tests.builders import NOON, OFFICE_V6, a_jump, a_key, a_network, a_peer, a_session, a_static, a_token
from tests.contract.filling import ADA, a_token_of, add_peer, put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

OTHER_V6 = IPv6Network("fd12:3456:789a:2::/64")
ATTIC = a_network(id=NetworkId(UUID(int=8)), name="attic", cidr_v4=None, cidr_v6=OTHER_V6)
OFFER = (IPv4Network("192.168.1.0/24"),)
CHANGE = Change(a_network().id, 1, "e", UUID(int=1), Audience.NOBODY, NOON)

Write = Callable[[Transaction], Awaitable[None]]
# What is there already: network office, its peer 2 with token, session and an offer, user ada with API token 1.
CONFLICTS: dict[str, Write] = {
    "uq_networks_name": lambda tx: tx.networks.add(replace(ATTIC, name="office")),
    "uq_networks_cidr_v6": lambda tx: tx.networks.add(replace(ATTIC, cidr_v6=OFFICE_V6)),
    "pk_networks": lambda tx: tx.networks.add(replace(ATTIC, id=a_network().id)),
    "uq_peers_network_id_name": lambda tx: tx.peers.add(a_peer(3, name="peer-2")),
    "uq_peers_public_key": lambda tx: tx.peers.add(a_peer(3, public_key=a_key(2))),
    "pk_peers": lambda tx: tx.peers.add(a_peer(2, name="other", public_key=None)),
    "pk_offers": lambda tx: tx.peers.add(a_peer(3, additional_allowed_ips=OFFER)),
    "uq_enrollment_tokens_digest": lambda tx: tx.enrollments.put(a_token(peer_id=a_jump().id)),
    "uq_sessions_digest": lambda tx: tx.sessions.add(a_session(id=SessionId(UUID(int=9)))),
    "uq_users_name": lambda tx: tx.accounts.add_user(replace(ADA, id=UUID(int=9))),  # type: ignore[arg-type]
    "uq_api_tokens_digest": lambda tx: tx.accounts.add_token(
        replace(a_token_of(ADA, 2), digest=a_token_of(ADA, 1).digest)
    ),
    "pk_revision_log": lambda tx: tx.journal.append(CHANGE),
    "uq_holdings_peer_id_family": lambda tx: tx.holdings.hold(
        Holding(a_network().id, a_peer(9).addresses[0], Held.PEER, a_peer(2).id)
    ),
}


async def fill(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_jump(1), a_peer(2, additional_allowed_ips=OFFER)])
    async with store.transaction() as tx:
        await tx.enrollments.put(a_token())
        await tx.sessions.add(a_session())
        await tx.accounts.add_user(ADA)
        await tx.accounts.add_token(a_token_of(ADA, 1))
        await tx.journal.append(CHANGE)


@pytest.mark.parametrize("constraint", CONFLICTS)
async def test_a_second_one_is_a_conflict_that_names_its_constraint(store: Store, constraint: str) -> None:
    await fill(store)
    with pytest.raises(Conflict) as caught:
        async with store.transaction() as tx:
            await CONFLICTS[constraint](tx)
    assert caught.value.constraint == constraint


async def test_an_address_has_one_holder_in_its_network(store: Store) -> None:
    network, other = await put_network(store), await put_network(store, ATTIC)
    address = a_peer(2).addresses[0]
    async with store.transaction() as tx:
        await tx.holdings.hold(Holding(network.id, address, Held.RESERVED))
        await tx.holdings.hold(Holding(other.id, address, Held.RESERVED))
    with pytest.raises(AddressTaken) as caught:
        async with store.transaction() as tx:
            await tx.holdings.hold(Holding(network.id, address, Held.PEER, a_peer(2).id))
    assert caught.value.constraint == "pk_holdings"


async def test_many_peers_may_lack_a_key(store: Store) -> None:
    network = await put_network(store)
    await put_peers(store, [a_peer(number, public_key=None) for number in (2, 3, 4)])
    async with store.reading() as tx:
        assert await tx.peers.count(network.id) == 3


@pytest.mark.parametrize("what", ["peer", "session", "token", "kept key", "revision", "holding"])
async def test_nothing_belongs_to_what_is_not_there(store: Store, what: str) -> None:
    writes: dict[str, Write] = {
        "peer": lambda tx: tx.peers.add(a_peer()),
        "session": lambda tx: tx.sessions.add(a_session()),
        "token": lambda tx: tx.enrollments.put(a_token()),
        "kept key": lambda tx: tx.kept_keys.put(KeptKey(a_static().id, b"sealed")),
        "revision": lambda tx: tx.journal.append(CHANGE),
        "holding": lambda tx: tx.holdings.hold(Holding(ATTIC.id, OTHER_V6[1], Held.RESERVED)),
    }
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await writes[what](tx)


async def test_a_deleted_peer_takes_all_but_its_addresses_along(store: Store) -> None:
    network = await put_network(store)
    gone, stays = a_static(2, additional_allowed_ips=OFFER), a_static(3)
    await put_peers(store, [gone, stays])
    async with store.transaction() as tx:
        for peer in (gone, stays):
            await tx.enrollments.put(a_token(peer_id=peer.id, digest=peer.id.bytes * 2))
            await tx.sessions.add(a_session(id=SessionId(peer.id), peer_id=peer.id, digest=peer.id.bytes * 2))
            await tx.kept_keys.put(KeptKey(peer.id, b"sealed"))
            await tx.statuses.save([PeerStatus(peer.id)])
        await tx.peers.delete(gone.id)
    async with store.reading() as tx:
        both = [gone.id, stays.id]
        assert await tx.peers.of_network(network.id) == [stays]
        assert await tx.peers.offers(network.id) == []
        assert set(await tx.enrollments.of_peers(both)) == {stays.id}
        assert set(await tx.statuses.of_peers(both)) == {stays.id}
        assert await tx.sessions.with_digest(gone.id.bytes * 2) is None  # type: ignore[arg-type]
        assert await tx.sessions.with_digest(stays.id.bytes * 2) is not None  # type: ignore[arg-type]
        assert await tx.kept_keys.get(gone.id) is None
        assert await tx.kept_keys.get(stays.id) is not None
        assert len(await tx.holdings.of_network(network.id, Held.PEER)) == 4


async def test_a_deleted_network_takes_all_along_and_leaves_others_alone(store: Store) -> None:
    office, attic = await put_network(store), await put_network(store, ATTIC)
    kept = a_peer(5, attic)
    await put_peers(store, [a_jump(1), a_peer(2, additional_allowed_ips=OFFER), kept])
    async with store.transaction() as tx:
        await tx.journal.append(CHANGE)
        await tx.journal.append(replace(CHANGE, network_id=attic.id))
        await tx.networks.delete(office.id)
    async with store.reading() as tx:
        assert await tx.networks.all() == [attic]
        assert await tx.peers.of_network(office.id) == []
        assert await tx.peers.of_network(attic.id) == [kept]
        assert await tx.holdings.of_network(office.id) == []
        assert await tx.holdings.lowest_free(office.id, 6) is None
        assert await tx.holdings.lowest_free(attic.id, 6) is not None
        assert await tx.journal.changes(office.id, after=0) == []
        assert len(await tx.journal.changes(attic.id, after=0)) == 1


async def test_a_peer_that_is_added_needs_no_address(store: Store) -> None:
    await put_network(store)
    bare = a_peer(2, addresses=())
    async with store.transaction() as tx:
        await tx.peers.add(bare)
        assert await tx.peers.get(PeerId(UUID(int=2))) == bare
        await add_peer(tx, a_peer(3))
