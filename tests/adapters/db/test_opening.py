"""A store that cannot be opened says why and what to do; one that breaks says so and recovers."""

import asyncio
import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isthmus.server.adapters.db import SqlStore, open_store
from isthmus.server.ports import Conflict, StoreUnavailable
from isthmus.server.records import AuditEntry, Outcome
from lab.waiting import wait_until
from tests.builders import NOON
from tests.contract.committing import a_committing_process
from tests.contract.filling import ADA
from tests.stores import PostgresServer

ON_SQLITE = pytest.mark.parametrize("backend_name", ["sqlite"])
ON_POSTGRES = pytest.mark.parametrize("backend_name", ["postgresql"])


def an_entry(reason: str = "") -> AuditEntry:
    return AuditEntry(NOON, "local", "test", "-", Outcome.DONE, "request", reason)


@ON_SQLITE
async def test_a_second_opening_of_a_file_is_refused(store: SqlStore, database_url: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"another server has .* open: stop it first"):
        await open_store(database_url)
    await store.check()
    await store.close()
    await (await open_store(database_url)).close()


@ON_SQLITE
async def test_a_second_process_on_a_file_is_refused_until_the_first_dies(database_url: str) -> None:
    async with a_committing_process(database_url) as first:
        assert await first.stdout.readline() == b"1\n"
        async with a_committing_process(database_url) as second:
            _, errors = await asyncio.wait_for(second.process.communicate(), 30)
        assert second.process.returncode
        assert b"another server has" in errors
        with pytest.raises(StoreUnavailable, match="another server"):
            await open_store(database_url)
    await (await open_store(database_url)).close()


@ON_SQLITE
async def test_a_store_that_is_closed_says_so_and_closes_again_without_harm(store: SqlStore) -> None:
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.check()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.reading().__aenter__()


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = await open_store(f"sqlite:///{tmp_path / 'new.db'}")
        await store.check()
        modes = modes_in(tmp_path)
        await store.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["new.db", "new.db-wal", "new.db-shm", "new.db.lock"], 0o600)


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot write to the folder .*/nowhere: No such file"):
        await open_store(f"sqlite:///{tmp_path}/nowhere/isthmus.db")


async def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "isthmus.db").mkdir()
    with pytest.raises(StoreUnavailable, match=r"cannot open .*/isthmus\.db: Is a directory"):
        await open_store(f"sqlite:///{tmp_path}/isthmus.db")


async def test_a_file_that_is_no_database_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear all, " * 1000)
    with pytest.raises(StoreUnavailable, match="file is not a database; name another file"):
        await open_store(f"sqlite:///{path}")
    assert path.read_text() == "Dear all, " * 1000


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "mysql://x/y", "isthmus.db", "postgresql+psycopg://x/y"]
)
async def test_a_url_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="neither sqlite:///PATH nor postgresql://") as caught:
        await open_store(url)
    assert not url or url not in str(caught.value).replace("sqlite:///PATH", "")


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await open_store(f"postgresql://ada:s3cret@/isthmus?host={tmp_path}")


@ON_POSTGRES
async def test_a_missing_database_is_named(postgres: PostgresServer, backend_name: str) -> None:
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
        await open_store(postgres.url("nowhere"))


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does, to this process alone."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@ON_SQLITE
async def test_a_full_disk_is_unavailable_and_loses_nothing(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.journal.audit([an_entry()])

    async def write_much() -> None:
        async with store.transaction() as tx:
            await tx.journal.audit([an_entry("x" * 1000)] * 1000)

    with files_no_larger_than(65_536), pytest.raises(StoreUnavailable, match="disk"):
        await write_much()
    async with store.reading() as reader:
        assert [row.entry for row in await reader.journal.audit_page(10)] == [an_entry()]
    await write_much()
    async with store.reading() as reader:
        assert len(await reader.journal.audit_page(5000)) == 1001


@ON_SQLITE
async def test_a_file_that_someone_else_writes_to_is_unavailable_for_as_long(
    store: SqlStore, database_url: str
) -> None:
    other = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.check()
        other.execute("ROLLBACK")
        await store.check()
    finally:
        other.close()


@ON_POSTGRES
async def test_connections_that_were_cut_are_unavailable_once_and_then_made_anew(
    store: SqlStore, postgres: PostgresServer
) -> None:
    async def cut_within() -> None:
        async with store.transaction() as tx:
            await tx.journal.audit([an_entry()])
            await asyncio.to_thread(postgres.cut_connections)
            await tx.journal.audit([an_entry()])

    with pytest.raises(StoreUnavailable):
        await cut_within()
    await store.check()
    async with store.reading() as reader:
        assert await reader.journal.audit_page(10) == []


@ON_POSTGRES
async def test_a_commit_that_gets_no_answer_is_unavailable(store: SqlStore, postgres: PostgresServer) -> None:
    async def cut_before_commit() -> None:
        async with store.transaction() as tx:
            await tx.journal.audit([an_entry()])
            await asyncio.to_thread(postgres.cut_connections)

    with pytest.raises(StoreUnavailable):
        await cut_before_commit()
    await store.check()


async def test_errors_do_not_repeat_what_was_to_be_stored(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.accounts.add_user(ADA)
    with pytest.raises(Conflict) as caught:
        async with store.transaction() as tx:
            await tx.accounts.add_user(ADA)
    told: BaseException | None = caught.value
    while told is not None:
        assert ADA.password_hash not in f"{told}{told.args}"
        told = told.__cause__


async def test_reopening_and_closing_leaves_no_threads_or_files_behind(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    url = f"sqlite:///{tmp_path / 'isthmus.db'}"
    await (await open_store(url)).close()
    before = open_files()
    for _ in range(5):
        store = await open_store(url)
        async with store.reading() as tx:
            await tx.networks.all()
        await store.check()
        await store.close()
    wait_until(lambda: open_files() <= before, within=5, what="files to be closed")
