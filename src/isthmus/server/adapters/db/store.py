"""The store: transactions over one of the two databases, chosen by URL."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from isthmus.server.adapters.db import postgres
from isthmus.server.adapters.db.accounts import SqlAccounts
from isthmus.server.adapters.db.backend import SqlBackendFacts, SqlKeptKeys
from isthmus.server.adapters.db.enrollment import SqlEnrollments, SqlSessions
from isthmus.server.adapters.db.holdings import SqlHoldings
from isthmus.server.adapters.db.journal import SqlJournal
from isthmus.server.adapters.db.networks import SqlNetworks
from isthmus.server.adapters.db.peers import SqlPeers
from isthmus.server.adapters.db.postgres import Postgres
from isthmus.server.adapters.db.sqlite import Sqlite
from isthmus.server.adapters.db.statements import Statements
from isthmus.server.adapters.db.statuses import SqlStatuses
from isthmus.server.ports import StoreUnavailable


class Database(Protocol):
    """Runs the statements of transactions."""

    def writing(self) -> AbstractAsyncContextManager[Statements]: ...
    def reading(self) -> AbstractAsyncContextManager[Statements]: ...
    async def close(self) -> None: ...


class SqlTransaction:
    """The collections of one transaction."""

    def __init__(self, statements: Statements) -> None:
        self.networks = SqlNetworks(statements)
        self.peers = SqlPeers(statements)
        self.holdings = SqlHoldings(statements)
        self.enrollments = SqlEnrollments(statements)
        self.sessions = SqlSessions(statements)
        self.statuses = SqlStatuses(statements)
        self.accounts = SqlAccounts(statements)
        self.journal = SqlJournal(statements)
        self.kept_keys = SqlKeptKeys(statements)
        self.backend = SqlBackendFacts(statements)


class SqlStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self._database.writing() as statements:
            yield SqlTransaction(statements)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlTransaction]:
        async with self._database.reading() as statements:
            yield SqlTransaction(statements)

    async def check(self) -> None:
        async with self.transaction() as tx:
            await tx.backend.touch()

    async def close(self) -> None:
        await self._database.close()
