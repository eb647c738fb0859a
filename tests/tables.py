"""The tables as they are in a database, past the store."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine

from isthmus.server.adapters.db.tables import metadata

T = TypeVar("T")

Contents = dict[str, list[Any]]


async def on_connection(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work(connection)` in a transaction on the database at `url`."""
    if url.startswith("sqlite"):
        engine = create_engine(url)
        try:
            with engine.begin() as connection:
                return work(connection)
        finally:
            engine.dispose()
    postgres = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        async with postgres.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await postgres.dispose()


async def contents(url: str, *, without: frozenset[str] = frozenset()) -> Contents:
    """All rows of all tables by name; the audit log and its chain, which every refusal moves on, are left out, and so
    is `without`."""
    left_out = without | {"audit_log", "audit_links", "audit_seals", "audit_witnesses", "backend"}

    def read(connection: Connection) -> Contents:
        tables = [table for table in metadata.sorted_tables if table.name not in left_out]
        return {table.name: sorted(map(repr, connection.execute(select(table)))) for table in tables}

    return await on_connection(url, read)
