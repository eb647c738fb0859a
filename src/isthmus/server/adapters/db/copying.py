"""A whole database as rows of plain values that fit into the other kind as well: read at one moment while servers go
on, and written into an empty one in one transaction."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    cast,
    column,
    inspect,
    select,
    table,
    text,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from isthmus.server.adapters.db import postgres, sqlite
from isthmus.server.adapters.db.audit_tables import audit_links, audit_seals
from isthmus.server.adapters.db.failures import meaning_of
from isthmus.server.adapters.db.migrate import newest_version, present_version, upgrade
from isthmus.server.adapters.db.statements import Run, Statements
from isthmus.server.adapters.db.store import SqlTransaction, place_of
from isthmus.server.adapters.db.tables import audit_log, metadata
from isthmus.server.ports import StoreUnavailable
from isthmus.x509.pair_files import sync

T = TypeVar("T")

BATCH = 200
BEFORE_ALL, AFTER_ALL = -(2**62), 2**62
VERSION_TABLE = "alembic_version"
# In this order, so that one look at each part of the log sees its links, its seals and then its rows.
CHAIN = tuple(str(each.name) for each in (audit_links, audit_seals, audit_log))

Columns = tuple[tuple[str, str], ...]
"""Names of columns and the kinds of their values, which are keys of `KINDS`."""
Batch = Sequence[tuple[Any, ...]]


class StoredJson(TypeDecorator[str]):
    """The text of a JSON column, letter by letter: what was `null` in it stays another thing than no value."""

    impl = JSON
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        return None

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        # One of the drivers would parse it before any type is asked.
        return cast(column, Text())


KINDS: dict[str, TypeEngine[Any]] = {
    "text": Text(),
    "integer": BigInteger(),
    "boolean": Boolean(),
    "bytes": LargeBinary(),
    "id": Uuid(as_uuid=False),
    "json": StoredJson(),
}
_KINDS_OF: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (Uuid, "id"),
    (JSON, "json"),
    (Boolean, "boolean"),
    (Integer, "integer"),
    (LargeBinary, "bytes"),
    (String, "text"),
)


def kind_of(stored: TypeEngine[Any]) -> str:
    """Which kind of value a column of this type holds in the database, whatever its rows are read as."""
    bare = stored.impl_instance if isinstance(stored, TypeDecorator) else stored
    return next(kind for type_, kind in _KINDS_OF if isinstance(bare, type_))


def all_tables() -> dict[str, Columns]:
    """Every table with its columns, those that others refer to first."""
    return {str(each.name): _columns(each) for each in metadata.sorted_tables}


def _columns(stored: Table) -> Columns:
    return tuple((str(each.name), kind_of(each.type)) for each in stored.columns)


def plain(name: str, columns: Columns) -> Any:
    return table(name, *(column(each, KINDS[kind]) for each, kind in columns))


@dataclass(frozen=True)
class Source:
    """One state of a database: its version, its kind, and what answers queries, part by part."""

    schema: str
    database: str
    batches: Callable[[Select[Any]], AsyncIterator[Batch]]


async def rows_of(source: Source) -> AsyncIterator[tuple[str, Batch]]:
    """All rows of all tables, in parts; the audit log comes last, each part of it behind its links and seals."""
    tables = all_tables()
    for name, columns in tables.items():
        if name not in CHAIN:
            async for batch in source.batches(select(plain(name, columns))):
                yield name, batch
    after, links, seals, log = BEFORE_ALL, *(plain(name, tables[name]) for name in CHAIN)
    while after < AFTER_ALL:
        part = select(log).where(log.c.number > after).order_by(log.c.number).limit(BATCH)
        rows = [row async for batch in source.batches(part) for row in batch]
        up_to = rows[-1][0] if len(rows) == BATCH else AFTER_ALL
        for each in (links, seals):
            beside = select(each).where(each.c.number > after, each.c.number <= up_to).order_by(each.c.number)
            async for batch in source.batches(beside):
                yield str(each.name), batch
        yield str(log.name), rows
        after = up_to


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Source]:
    """The state of the database at `url` at this moment, beside the servers that write to it.

    Raises `StoreUnavailable`, and `ValueError` for a URL of another kind.
    """
    place = place_of(url)
    with _meaning():
        if isinstance(place, Path):
            async with _reading_sqlite(place) as source:
                yield source
        else:
            async with _reading_postgres(place) as source:
                yield source


@asynccontextmanager
async def _reading_sqlite(path: Path) -> AsyncIterator[Source]:
    _check_there(path)
    engine = sqlite.engine_of(path)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            driver = sqlite.driver_of(connection)
            driver.execute("PRAGMA query_only = ON")
            sqlite.begin(driver, "BEGIN")
            try:
                yield Source(_checked(present_version(connection)), "sqlite", _asking_sqlite(connection))
            finally:
                driver.rollback()
    finally:
        engine.dispose()


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise StoreUnavailable(f"there is no database {path}: name the data folder or the settings of the server")


def _asking_sqlite(connection: Connection) -> Callable[[Select[Any]], AsyncIterator[Batch]]:
    async def ask(query: Select[Any]) -> AsyncIterator[Batch]:
        for part in connection.execute(query, execution_options={"yield_per": BATCH}).partitions():
            yield [tuple(row) for row in part]

    return ask


@asynccontextmanager
async def _reading_postgres(url: URL) -> AsyncIterator[Source]:
    engine = postgres.engine_of(url, postgres.MIGRATION_TIMEOUT)
    try:
        async with postgres.connected(engine) as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

            async def ask(query: Select[Any]) -> AsyncIterator[Batch]:
                async with connection.stream(query, execution_options={"yield_per": BATCH}) as result:
                    async for part in result.partitions():
                        yield [tuple(row) for row in part]

            yield Source(_checked(await connection.run_sync(present_version)), "postgresql", ask)
    finally:
        await engine.dispose()


def _checked(present: str | None) -> str:
    newest = newest_version()
    if present is None:
        raise StoreUnavailable("the database holds no backend yet: start the server once")
    if present != newest:
        raise StoreUnavailable(
            f"the database has schema {present}, and this isthmus makes backups of schema {newest}: use the isthmus of "
            "the server, or start the newer server once"
        )
    return present


@dataclass
class Filling:
    """An empty database that is being filled. `begin` comes first and `finish` last."""

    statements: Statements
    _run: Run
    _on_connection: Callable[[Callable[[Connection], None]], Awaitable[None]]

    async def begin(self, schema: str) -> None:
        """Make the tables of `schema`. Raises `StoreUnavailable` where there are some already."""
        await self._on_connection(_refuse_full)
        await self._on_connection(lambda connection: upgrade(connection, schema))
        # The first step has put a row in.
        await self._run(text("DELETE FROM backend"), None)

    async def add(self, name: str, columns: Columns, rows: Iterable[Sequence[Any]]) -> None:
        names = [each for each, _ in columns]
        if values := [dict(zip(names, row, strict=True)) for row in rows]:
            await self._run(plain(name, columns).insert(), values)

    async def finish(self) -> SqlTransaction:
        """Take the steps to the newest schema. What the transaction does then belongs to the same commit."""
        await self._on_connection(upgrade)
        return SqlTransaction(self.statements)


@asynccontextmanager
async def filling(url: str) -> AsyncIterator[Filling]:
    """The database at `url`, which must hold no backend. It is there after the block, or as it was if the block raises.

    Raises `StoreUnavailable`, and `ValueError` for a URL of another kind.
    """
    place = place_of(url)
    with _meaning():
        if isinstance(place, Path):
            async with _filling_sqlite(place) as filled:
                yield filled
        else:
            async with _filling_postgres(place) as filled:
                yield filled


@asynccontextmanager
async def _filling_sqlite(path: Path) -> AsyncIterator[Filling]:
    with _new_sqlite(path) as fresh, _transaction(fresh) as connection:
        run = sqlite.runner(connection)

        async def on_connection(work: Callable[[Connection], None]) -> None:
            work(connection)

        statements = Statements("sqlite", run, read_only=False, read=sqlite.reader(sqlite.driver_of(connection)))
        yield Filling(statements, run, on_connection)
        statements.check()


@contextmanager
def _new_sqlite(path: Path) -> Iterator[Path]:
    """A file beside `path`, which takes that name once it is whole."""
    claim = sqlite.claim(path)
    fresh = path.with_name(f".{path.name}.restoring")
    try:
        if path.exists():
            raise StoreUnavailable(f"there is a database {path} already: move it away, or name another data folder")
        _remove(fresh)
        sqlite.create_private(fresh)
        yield fresh
        fresh.rename(path)
        sync(path.parent)
    finally:
        _remove(fresh)
        Path(f"{path}.lock").unlink(missing_ok=True)
        os.close(claim)


@contextmanager
def _transaction(path: Path) -> Iterator[Connection]:
    engine = sqlite.engine_of(path)
    try:
        # Closing takes what was committed into the file itself, and onto the disk.
        with sqlite.opened(engine, path) as connection:
            sqlite.begin(sqlite.driver_of(connection), "BEGIN IMMEDIATE")
            yield connection
            sqlite.driver_of(connection).commit()
    finally:
        engine.dispose()


@asynccontextmanager
async def _filling_postgres(url: URL) -> AsyncIterator[Filling]:
    engine = postgres.engine_of(url, postgres.MIGRATION_TIMEOUT)
    try:
        async with postgres.connected(engine) as connection:
            run = postgres.runner(connection)
            statements = Statements("postgresql", run, read_only=False)
            yield Filling(statements, run, connection.run_sync)
            statements.check()
            await postgres.commit(connection)
    finally:
        await engine.dispose()


def _refuse_full(connection: Connection) -> None:
    ours = {*metadata.tables, VERSION_TABLE}
    if found := sorted(ours.intersection(inspect(connection).get_table_names())):
        raise StoreUnavailable(
            f"the database has a table {found[0]} already, and nothing is restored over what is there: name an empty "
            "database, made with createdb for example"
        )


def _remove(path: Path) -> None:
    for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
        name.unlink(missing_ok=True)


@contextmanager
def _meaning() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        meaning = meaning_of(error)
        if isinstance(meaning, StoreUnavailable):
            raise meaning from error
        raise StoreUnavailable(f"the database failed: {getattr(error, 'orig', None) or error}") from error
