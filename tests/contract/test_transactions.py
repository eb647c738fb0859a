"""All or nothing, whatever ends a transaction; readers see one state; nothing runs where it must not."""

import asyncio
from dataclasses import replace

import pytest

from isthmus.server.ports import Conflict, Store, Transaction
from tests.builders import a_network, a_peer, a_static
from tests.contract.filling import ADA, add_peer, put_network, put_peers

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

ANSWER_WITHIN = 20.0


class Broken(Exception):
    """What a use case raises in these tests."""


async def fill(tx: Transaction) -> None:
    await tx.networks.add(a_network())
    await add_peer(tx, a_peer())
    await tx.accounts.add_user(ADA)


async def assert_empty_and_usable(store: Store) -> None:
    async with store.reading() as tx:
        assert await tx.networks.all() == []
        assert await tx.accounts.users() == []
    await asyncio.wait_for(store.check(), ANSWER_WITHIN)
    async with store.transaction() as tx:
        await fill(tx)
    async with store.reading() as tx:
        assert await tx.peers.of_network(a_network().id) == [a_peer()]


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    async def work() -> None:
        async with store.transaction() as tx:
            await fill(tx)
            raise Broken

    with pytest.raises(Broken):
        await work()
    await assert_empty_and_usable(store)


async def test_a_transaction_that_is_cancelled_leaves_nothing(store: Store) -> None:
    is_filled = asyncio.Event()

    async def work() -> None:
        async with store.transaction() as tx:
            await fill(tx)
            is_filled.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.wait_for(is_filled.wait(), ANSWER_WITHIN)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_empty_and_usable(store)


def cancel_later(task: asyncio.Task[None], turns: int) -> None:
    """Cancel `task` after so many turns of the loop."""
    if turns:
        asyncio.get_running_loop().call_soon(cancel_later, task, turns - 1)
    else:
        task.cancel()


@pytest.mark.parametrize("turns", range(15))
@pytest.mark.parametrize("moment", ["before", "between", "at the commit"])
async def test_a_cancellation_at_any_moment_leaves_all_or_nothing(store: Store, moment: str, turns: int) -> None:
    """The block ends normally exactly when its transaction has happened, so that it can be told."""
    is_told = False

    async def work() -> None:
        nonlocal is_told
        async with store.transaction() as tx:
            if moment == "between":
                cancel_later(task, turns)
            await fill(tx)
            if moment == "at the commit":
                cancel_later(task, turns)
        is_told = True

    task = asyncio.create_task(work())
    if moment == "before":
        cancel_later(task, turns)
    await asyncio.wait([task], timeout=ANSWER_WITHIN)
    assert task.done()
    async with store.reading() as tx:
        assert bool(await tx.networks.all()) == is_told
        assert bool(await tx.accounts.users()) == is_told
    await store.check()


async def test_whoever_waits_for_a_writer_may_give_up(store: Store) -> None:
    network = await put_network(store)

    async def wait_for_turn() -> None:
        async with store.transaction() as tx:
            await tx.networks.lock(network.id)

    async with store.transaction() as tx:
        await tx.networks.lock(network.id)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait_for_turn(), 0.1)
        await tx.networks.save(replace(network, revision=5))
    await asyncio.wait_for(wait_for_turn(), ANSWER_WITHIN)
    async with store.reading() as tx:
        assert (await tx.networks.get(network.id)).revision == 5


async def fail_within(tx: Transaction) -> None:
    """A use case that goes on after a conflict."""
    await fill(tx)
    with pytest.raises(Conflict):
        await tx.networks.add(a_network())


async def test_a_transaction_in_which_a_statement_failed_never_commits(store: Store) -> None:
    """Even when the use case swallows the conflict: PostgreSQL would roll back silently, SQLite commit the rest."""
    with pytest.raises(Conflict):
        async with store.transaction() as tx:
            await fail_within(tx)
    await assert_empty_and_usable(store)


async def test_a_transaction_in_which_a_statement_failed_runs_no_other(store: Store) -> None:
    async def work() -> None:
        async with store.transaction() as tx:
            await fail_within(tx)
            await tx.networks.all()
            raise Broken

    with pytest.raises(Conflict):
        await work()


async def test_readers_see_one_state_while_others_write(store: Store) -> None:
    network = await put_network(store)
    async with store.reading() as reader:
        assert await reader.peers.of_network(network.id) == []
        await put_peers(store, [a_peer()])
        assert await reader.peers.of_network(network.id) == []
        assert await reader.peers.count(network.id) == 0
    async with store.reading() as reader:
        assert await reader.peers.of_network(network.id) == [a_peer()]


async def test_readers_do_not_see_what_is_not_committed(store: Store) -> None:
    async with store.transaction() as tx:
        await fill(tx)
        async with store.reading() as reader:
            assert await reader.networks.all() == []
            assert await reader.peers.of_network(a_network().id) == []


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(RuntimeError, match="only reads"):
        async with store.reading() as tx:
            await tx.networks.add(a_network())
    await assert_empty_and_usable(store)


@pytest.mark.parametrize("kind", ["transaction", "reading"])
async def test_nothing_runs_after_the_block(store: Store, kind: str) -> None:
    async with getattr(store, kind)() as tx:
        await tx.networks.all()
    with pytest.raises(RuntimeError, match="is over"):
        await tx.networks.all()
    with pytest.raises(RuntimeError, match="is over"):
        await tx.networks.add(a_network())


async def test_many_readers_at_once_wait_for_each_other(store: Store) -> None:
    await put_network(store)
    await put_peers(store, [a_static(3)])

    async def read() -> str:
        async with store.reading() as tx:
            await asyncio.sleep(0)
            return (await tx.peers.get(a_static(3).id)).name

    assert set(await asyncio.gather(*(read() for _ in range(60)))) == {"static-3"}


async def test_a_large_transaction_commits_as_a_whole(store: Store) -> None:
    network = await put_network(store)
    peers = [a_peer(number) for number in range(2, 250)]
    await put_peers(store, peers)
    async with store.reading() as tx:
        assert await tx.peers.of_network(network.id) == peers
