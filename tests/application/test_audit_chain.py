"""The audit chain in the store: rows are linked in order and sealed in time, by one server or by two."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from isthmus.domain.audit import SEALED_AFTER, SEALED_ROWS, Found, Verifier, Wrong
from isthmus.protocol.audit import is_sealed
from isthmus.protocol.audit_row import content
from isthmus.protocol.message_key import MessageKey
from isthmus.server.adapters.db import open_store
from isthmus.server.application.audit_chain import ChainService
from isthmus.server.application.audit_log import ENDS, AuditLogService
from isthmus.server.audit_ports import AuditFilter
from isthmus.server.certificate_ports import MaterialUnusable
from isthmus.server.ports import Store
from isthmus.server.records import AuditEntry, Outcome
from tests.application.backend import BOTH_DATABASES, TurnedClock
from tests.application.own_certificates import FACTS
from tests.builders import NOON
from tests.tables import on_connection

KEY = MessageKey.generate()
ANY = AuditFilter()


async def write(store: Store, rows: int, **fields: Any) -> None:
    said = {"actor": "user:ada", "action": "network.create", "outcome": Outcome.DONE, "request_id": "r", **fields}
    async with store.transaction() as tx:
        first = await tx.chain.last_number() + 1
        await tx.journal.audit([AuditEntry(NOON, subject=str(first + n), **said) for n in range(rows)])


async def set_up(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.federation.add(FACTS)


def linking(store: Store, clock: TurnedClock | None = None, key: MessageKey | None = KEY) -> ChainService:
    return ChainService(store, clock or TurnedClock(), lambda: key)


async def verified(store: Store) -> Found:
    """The whole log as `isthmus audit verify` judges it."""
    async with store.reading() as tx:
        rows = await tx.chain.rows(-ENDS, ENDS, 100_000, ANY)
        seals = {each.seal.number: each.seal for each in await tx.chain.seals(0, 100_000)}
        last = await tx.chain.last_number()
    verifier = Verifier(lambda seal: is_sealed(seal, FACTS.domain, {KEY.id: KEY.public}))
    for each in rows:
        verifier.row(each.row.number, content(each.row.entry), each.hash)
        if each.row.number in seals:
            verifier.seal(seals.pop(each.row.number))
    for seal in seals.values():
        verifier.seal(seal)
    return verifier.end(last)


async def seals_of(store: Store) -> list[int]:
    return [each.seal.number for each in await AuditLogService(store).seals(1000, 0)]


@BOTH_DATABASES
async def test_rows_are_linked_in_their_order_and_sealed_by_number_or_by_time(store: Store) -> None:
    clock = TurnedClock()
    chain = linking(store, clock)
    await set_up(store)
    await write(store, 3)
    await chain.work()
    assert await seals_of(store) == [3]
    await write(store, SEALED_ROWS - 1)
    await chain.work()
    assert await seals_of(store) == [3]
    clock.turn(SEALED_AFTER)
    await chain.work()
    assert await seals_of(store) == [3, 2 + SEALED_ROWS]
    await write(store, 2 * SEALED_ROWS + 5)
    await chain.work()
    assert await seals_of(store) == [3, 2 + SEALED_ROWS, 2 + 2 * SEALED_ROWS, 2 + 3 * SEALED_ROWS]
    found = await verified(store)
    assert (found.rows, found.seals, found.unlinked, found.fault) == (7 + 3 * SEALED_ROWS, 4, 0, None)


@BOTH_DATABASES
async def test_before_the_federation_is_set_up_rows_are_linked_and_later_sealed(store: Store) -> None:
    await write(store, 3 * SEALED_ROWS)
    await linking(store, key=None).work()
    assert (await verified(store)).unlinked == 0
    assert await seals_of(store) == []
    await set_up(store)
    await linking(store).work()
    assert await seals_of(store) == [3 * SEALED_ROWS]
    assert (await verified(store)).fault is None


async def test_a_key_that_cannot_be_read_keeps_nobody_from_linking(store: Store) -> None:
    def unreadable() -> MessageKey:
        raise MaterialUnusable("gone")

    await set_up(store)
    await write(store, 3)
    await ChainService(store, TurnedClock(), unreadable).work()
    assert (await verified(store)).unlinked == 0
    assert await seals_of(store) == []


async def test_seals_grow_in_time_even_where_the_clock_is_set_back(store: Store) -> None:
    clock = TurnedClock()
    await set_up(store)
    await write(store, SEALED_ROWS)
    await linking(store, clock).work()
    clock.turn(timedelta(days=-1))
    await write(store, SEALED_ROWS)
    await linking(store, clock).work()
    first, second = (each.seal for each in await AuditLogService(store).seals(10, 0))
    assert first.at < second.at
    assert not first.contradicts(second)


@pytest.mark.parametrize("backend_name", ["postgresql"])
async def test_two_servers_that_link_at_once_make_one_chain(store: Store, database_url: str) -> None:
    other = await open_store(database_url)
    try:
        await set_up(store)
        chains = [linking(each) for each in (store, other)]

        async def keep_writing(into: Store) -> None:
            for _ in range(20):
                await write(into, 40)

        async def keep_linking(chain: ChainService) -> None:
            for _ in range(30):
                await chain.work()

        await asyncio.gather(*map(keep_writing, (store, other)), *map(keep_linking, chains))
        await chains[0].work()
        found = await verified(store)
        assert (found.rows, found.number, found.unlinked, found.fault) == (1600, 1600, 0, None)
    finally:
        await other.close()


def run(statement: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        for each in statement.split(";"):
            connection.execute(text(each))

    return work


SWAP = (
    "UPDATE audit_log SET number = -1 WHERE number = 400; "
    "UPDATE audit_log SET number = 400 WHERE number = 7; "
    "UPDATE audit_log SET number = 7 WHERE number = -1"
)
TAMPERING = {
    "a byte of the facts": ("""UPDATE audit_log SET facts = '{"a": 2}' WHERE number = 333""", 333, Wrong.CHANGED),
    "an actor": ("UPDATE audit_log SET actor = 'user:eve' WHERE number = 1", 1, Wrong.CHANGED),
    "a time": ("UPDATE audit_log SET at = at + 1 WHERE number = 600", 600, Wrong.CHANGED),
    "a deletion": ("DELETE FROM audit_log WHERE number = 300", 300, Wrong.MISSING),
    "a deletion with its link": (
        "DELETE FROM audit_log WHERE number = 300; DELETE FROM audit_links WHERE number = 300", 300, Wrong.MISSING
    ),
    "two that were swapped": (SWAP, 7, Wrong.OUT_OF_ORDER),
    "a link": ("DELETE FROM audit_links WHERE number = 5", 5, Wrong.UNLINKED),
    "a cut tail": ("DELETE FROM audit_log WHERE number > 590", 591, Wrong.TRUNCATED),
    "a cut tail with its links and number": (
        "DELETE FROM audit_log WHERE number > 500; DELETE FROM audit_links WHERE number > 500; "
        "UPDATE backend SET audited = 500",
        501,
        Wrong.TRUNCATED,
    ),
    "a seal": ("UPDATE audit_seals SET at = at + 1 WHERE number = 512", 257, Wrong.SEAL),
}  # fmt: skip


@pytest.mark.case("OPS-006")
@BOTH_DATABASES
@pytest.mark.parametrize("what", TAMPERING)
async def test_whatever_is_changed_behind_the_log_is_named(store: Store, database_url: str, what: str) -> None:
    statement, row, wrong = TAMPERING[what]
    await set_up(store)
    await write(store, 600, facts={"a": 1})
    await linking(store).work()
    assert (await verified(store)).fault is None
    await on_connection(database_url, run(statement))
    fault = (await verified(store)).fault
    assert fault is not None
    assert (fault.row, fault.wrong) == (row, wrong)


@BOTH_DATABASES
async def test_pages_hold_what_the_filter_says_in_both_directions(store: Store) -> None:
    await write(store, 3)
    await write(store, 2, action="network.delete", outcome=Outcome.DENIED)
    await write(store, 1, actor="remote:b.example/1")
    pages = AuditLogService(store)

    async def numbers(wanted: AuditFilter) -> list[int]:
        found, after = [], 0
        while True:
            page = await pages.oldest(2, after, wanted)
            found += [each.row.number for each in page.rows]
            if page.next is None:
                break
            after = page.next
        back, before = [], None
        while True:
            page = await pages.newest(2, before, wanted)
            back += [each.row.number for each in page.rows]
            if page.next is None:
                break
            before = page.next
        assert back == found[::-1]
        return found

    assert await numbers(ANY) == [1, 2, 3, 4, 5, 6]
    assert await numbers(AuditFilter(action="network.delete")) == [4, 5]
    assert await numbers(AuditFilter(action="network.*", outcome="done")) == [1, 2, 3, 6]
    assert await numbers(AuditFilter(actor="remote:b.example/*")) == [6]
    assert await numbers(AuditFilter(action="network.%")) == await numbers(AuditFilter(action="network")) == []
    assert await numbers(AuditFilter(subject="5")) == [5]
    assert await numbers(AuditFilter(since=NOON)) == [1, 2, 3, 4, 5, 6]
    assert await numbers(AuditFilter(until=NOON)) == []


async def test_a_filter_looks_at_a_bounded_part_of_a_long_log(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.server.application.audit_log.SCANNED", 10)
    await write(store, 1, actor="user:eve")
    await write(store, 30)
    pages = AuditLogService(store)
    eve = AuditFilter(actor="user:eve")
    first = await pages.newest(5, None, eve)
    assert (first.rows, first.next) == ([], 22)
    last = await pages.newest(5, 11, eve)
    assert ([each.row.number for each in last.rows], last.next) == ([1], None)
    forward = await pages.oldest(5, 0, eve)
    assert ([each.row.number for each in forward.rows], forward.next) == ([1], 10)
    assert (await pages.oldest(5, 30, eve)).next is None
