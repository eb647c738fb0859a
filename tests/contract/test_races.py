"""Transactions at the same time: what one has locked the others wait for."""

import asyncio
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

import pytest

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import EnrollmentTokenInvalid, NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience
from isthmus.server.ports import Conflict, Store
from isthmus.server.records import AuditEntry, Change, Held, Holding, Outcome, PeerStatus
from tests.builders import NOON, ULA, a_key, a_network, a_peer, a_token
from tests.contract.filling import put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")


def an_entry(subject: str) -> AuditEntry:
    return AuditEntry(NOON, "local", "test", subject, Outcome.DONE, "request")


async def allocate(store: Store, network: Network, number: int) -> IPAddress:
    """The lowest free IPv4 address, as the use case takes it."""
    async with store.transaction() as tx:
        await tx.networks.lock(network.id)
        free = await tx.holdings.lowest_free(network.id, 4)
        assert free is not None
        await asyncio.sleep(0)
        await tx.holdings.swap_free(network.id, [free], free.without(free.first))
        await tx.holdings.hold(Holding(network.id, free.first, Held.PEER, PeerId(UUID(int=number))))
        return free.first


async def test_fifty_allocations_at_once_give_fifty_addresses(store: Store) -> None:
    network = await put_network(store)
    addresses = await asyncio.gather(*(allocate(store, network, number) for number in range(1, 51)))
    expected = [network.cidr_v4[host] for host in range(1, 51)] if network.cidr_v4 else []
    assert sorted(addresses, key=int) == expected
    async with store.reading() as tx:
        assert await tx.holdings.counts(network.id) == {(4, Held.PEER): 50}
        free = await tx.holdings.lowest_free(network.id, 4)
        assert free is not None
        assert int(free.first) == int(expected[-1]) + 1


@pytest.mark.parametrize("callers", [2, 20])
async def test_one_of_many_claims_a_token(store: Store, callers: int) -> None:
    await put_network(store)
    await put_peers(store, [a_peer(2, public_key=None)])
    async with store.transaction() as tx:
        await tx.enrollments.put(a_token())

    async def claim(number: int) -> bool:
        try:
            async with store.transaction() as tx:
                token = await tx.enrollments.lock(a_token().digest)
                assert token is not None
                await asyncio.sleep(0)
                await tx.enrollments.save(token.claimed(a_key(number), NOON + timedelta(minutes=1)))
        except EnrollmentTokenInvalid:
            return False
        return True

    outcomes = await asyncio.gather(*(claim(number) for number in range(callers)))
    assert sorted(outcomes) == [False] * (callers - 1) + [True]
    async with store.reading() as tx:
        token = (await tx.enrollments.of_peers([a_peer().id]))[a_peer().id]
    assert token.used_by == a_key(outcomes.index(True))


async def test_networks_made_at_once_see_each_other(store: Store) -> None:
    """Each takes the first /24 that nobody has; without the lock on the list two would take the same."""

    async def create(number: int) -> None:
        async with store.transaction() as tx:
            taken = len(await tx.networks.lock_all())
            await asyncio.sleep(0)
            await tx.networks.add(
                a_network(
                    id=NetworkId(UUID(int=number)),
                    name=f"net-{number}",
                    cidr_v4=IPv4Network((10 << 24 | taken << 8, 24)),
                    cidr_v6=IPv6Network((int(ULA.network_address) | taken << 64, 64)),
                )
            )

    await asyncio.gather(*(create(number) for number in range(1, 13)))
    async with store.reading() as tx:
        cidrs = [network.cidr_v4 for network in await tx.networks.all()]
    assert len(set(cidrs)) == 12


async def test_a_network_added_without_the_lock_waits_for_whoever_has_it(store: Store) -> None:
    is_locked, may_end = asyncio.Event(), asyncio.Event()

    async def hold_the_list() -> int:
        async with store.transaction() as tx:
            await tx.networks.lock_all()
            is_locked.set()
            await may_end.wait()
            return len(await tx.networks.all())

    holder = asyncio.create_task(hold_the_list())
    await asyncio.wait_for(is_locked.wait(), 10)
    adder = asyncio.create_task(put_network(store))
    done, _ = await asyncio.wait([adder], timeout=0.2)
    assert not done
    may_end.set()
    assert await holder == 0
    await adder


async def test_a_network_deleted_meanwhile_is_not_found_by_who_waited(store: Store) -> None:
    network = await put_network(store)
    is_locked = asyncio.Event()

    async def delete() -> None:
        async with store.transaction() as tx:
            await tx.networks.lock(network.id)
            is_locked.set()
            await asyncio.sleep(0.05)
            await tx.networks.delete(network.id)

    async def use() -> None:
        await is_locked.wait()
        async with store.transaction() as tx:
            await tx.networks.lock(network.id)

    outcomes = await asyncio.gather(delete(), use(), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], NotFound)


async def test_audit_numbers_have_no_gap_and_follow_the_commits(store: Store) -> None:
    """A reader who has seen number n has seen all below it, although some transactions fail and all overlap."""
    seen: list[list[int]] = []

    async def write(number: int) -> None:
        async with store.transaction() as tx:
            await tx.journal.audit([an_entry(f"{number}"), an_entry(f"{number} again")])
            await asyncio.sleep(0)
            if number % 5 == 0:
                raise ValueError("a use case that fails")

    async def look() -> None:
        for _ in range(15):
            async with store.reading() as tx:
                seen.append([row.number for row in await tx.journal.audit_page(1000)])
            await asyncio.sleep(0)

    await asyncio.gather(*(write(number) for number in range(40)), look(), return_exceptions=True)
    async with store.reading() as tx:
        rows = await tx.journal.audit_page(1000)
    seen.append([row.number for row in rows])
    assert len(rows) == 64
    assert all(numbers == list(range(len(numbers), 0, -1)) for numbers in seen)


async def test_revisions_of_one_network_are_given_once(store: Store) -> None:
    network = await put_network(store)

    async def advance() -> None:
        async with store.transaction() as tx:
            after = (await tx.networks.lock(network.id)).advanced(jumps=False, shared=False)
            await asyncio.sleep(0)
            await tx.networks.save(after)
            await tx.journal.append(Change(network.id, after.revision, "e", network.id, Audience.NOBODY, NOON))

    await asyncio.gather(*(advance() for _ in range(30)))
    async with store.reading() as tx:
        assert [change.revision for change in await tx.journal.changes(network.id, 0)] == list(range(1, 31))


async def test_statuses_saved_while_their_peers_are_deleted_do_no_harm(store: Store) -> None:
    await put_network(store)
    peers = [a_peer(number) for number in range(2, 42)]
    await put_peers(store, peers)

    async def delete(peer_id: PeerId) -> None:
        async with store.transaction() as tx:
            await tx.peers.delete(peer_id)

    async def save(backwards: bool) -> None:
        statuses = [PeerStatus(peer.id, NOON) for peer in peers]
        async with store.transaction() as tx:
            await tx.statuses.save(statuses[::-1] if backwards else statuses)

    await asyncio.gather(
        *(delete(peer.id) for peer in peers[::2]), *(save(backwards=bool(turn % 2)) for turn in range(6))
    )
    async with store.reading() as tx:
        assert set(await tx.statuses.of_peers([peer.id for peer in peers])) == {peer.id for peer in peers[1::2]}


async def test_two_first_starts_draw_one_prefix(store: Store) -> None:
    async def draw(number: int) -> bool:
        try:
            async with store.transaction() as tx:
                await tx.backend.set_ula(IPv6Network((0xFD << 120 | number << 80, 48)))
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(draw(number) for number in range(1, 5)))) == [False, False, False, True]
