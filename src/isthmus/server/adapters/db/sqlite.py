"""SQLite: one process, one writer, statements run right on the event loop.

A statement takes 10 to 100 µs, less than handing it to a thread would. Only the commit, which waits for the disk,
leaves the loop.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.base import Executable

from isthmus.server.adapters.db.migrate import upgrade
from isthmus.server.adapters.db.often import Raw
from isthmus.server.adapters.db.statements import ENGINE_OPTIONS, AnyResult, Read, Run, Statements, Values
from isthmus.server.adapters.db.waiting import to_its_end
from isthmus.server.ports import StoreUnavailable

PATIENCE = 10.0  # seconds that a transaction waits for those before it
MOST_READERS = 8
# Seconds that the whole loop waits for another program that writes to the file; no second server can.
LOCK_PATIENCE = 0.25
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",  # a commit that was answered survives a power cut
    "foreign_keys": "ON",
    "cache_size": "-65536",  # KiB, when negative
    "temp_store": "MEMORY",
}


class Sqlite:
    """The database in one file, which this process alone may open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claim = claim(path)
        try:
            create_private(path)
            self._engine = engine_of(path)
            self._writer = opened(self._engine, path)
        except BaseException:
            os.close(self._claim)
            raise
        self._writers = asyncio.Lock()
        self._committer = ThreadPoolExecutor(1, "sqlite-commit")
        self._idle_readers: list[Connection] = []
        self._readers = asyncio.Semaphore(MOST_READERS)
        self._is_closed = False

    async def migrate(self) -> None:
        """Bring the schema to the newest version; nobody else may use the store meanwhile."""
        driver = driver_of(self._writer)
        try:
            begin(driver, "BEGIN IMMEDIATE")
            upgrade(self._writer)
            await self._commit(driver)
        finally:
            if driver.in_transaction:
                driver.rollback()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Statements]:
        async with self._turn(self._writers, "write to"):
            driver = driver_of(self._writer)
            statements = Statements("sqlite", runner(self._writer), read_only=False, read=reader(driver))
            try:
                begin(driver, "BEGIN IMMEDIATE")
                yield statements
                statements.check()
                await self._commit(driver)
            finally:
                statements.end()
                # Still in it after any exception, one of the commit included: then nothing shall stay.
                if driver.in_transaction:
                    driver.rollback()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Statements]:
        async with self._turn(self._readers, "read"):
            connection = self._idle_readers.pop() if self._idle_readers else self._new_reader()
            driver = driver_of(connection)
            statements = Statements("sqlite", runner(connection), read_only=True, read=reader(driver))
            try:
                begin(driver, "BEGIN")
                yield statements
            finally:
                statements.end()
                driver.rollback()
                if self._is_closed:
                    connection.close()
                else:
                    self._idle_readers.append(connection)

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Lock | asyncio.Semaphore, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE):
                await turns.acquire()
        except TimeoutError:
            raise StoreUnavailable(f"too many others {what} the database: try again later") from None
        try:
            if self._is_closed:
                raise StoreUnavailable("the database is closed: the server is stopping")
            yield
        finally:
            turns.release()

    async def _commit(self, driver: sqlite3.Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            await to_its_end(loop.run_in_executor(self._committer, driver.commit))
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database refused the commit: {error}") from error

    def _new_reader(self) -> Connection:
        connection = opened(self._engine, self._path)
        driver_of(connection).execute("PRAGMA query_only = ON")
        return connection

    async def close(self) -> None:
        """Waits for the writer, then gives the file free; a second call does nothing."""
        if self._is_closed:
            return
        async with self._turn(self._writers, "write to"):
            self._is_closed = True
        for connection in (*self._idle_readers, self._writer):
            connection.close()
        self._engine.dispose()
        self._committer.shutdown()
        os.close(self._claim)


def claim(path: Path) -> int:
    """A lock on `<path>.lock` that lasts as long as the returned file descriptor is open."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot write to the folder {path.parent}: {error.strerror}; create it for the user who runs the server"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreUnavailable(
            f"another server has {path} open: stop it first, or choose another --data-dir"
        ) from error
    return descriptor


def create_private(path: Path) -> None:
    """Make the file readable by its owner alone before SQLite would make it readable by all."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"cannot open {path}: {error.strerror}; give it to the user who runs the server"
        ) from error


def engine_of(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # Autocommit: transactions begin and end with statements of ours, never by a guess of the driver.
        return sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, **ENGINE_OPTIONS)


def opened(engine: Engine, path: Path) -> Connection:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        for name, value in PRAGMAS.items():
            driver_of(connection).execute(f"PRAGMA {name} = {value}")
    except sqlite3.Error as error:
        connection.close()
        raise StoreUnavailable(
            f"cannot use {path}: {error}; name another file, or restore this one from a backup"
        ) from error
    return connection


def driver_of(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"{driver!r} is no connection of sqlite3")
    return driver


def begin(driver: sqlite3.Connection, how: str) -> None:
    try:
        driver.execute(how)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database failed: {error}") from error


def runner(connection: Connection) -> Run:
    async def run(statement: Executable, values: Values | None) -> AnyResult:
        return connection.execute(statement, values)

    return run


def reader(driver: sqlite3.Connection) -> Read:
    def read(text: str, parameters: Sequence[Any]) -> Sequence[Raw]:
        try:
            return driver.execute(text, parameters).fetchall()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database failed: {error}") from error

    return read
