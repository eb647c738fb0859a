"""The store: transactions over one of the two databases, chosen by URL."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from isthmus.server.adapters.db.accounts import SqlAccounts
from isthmus.server.adapters.db.audit import SqlAuditChain, SqlWitnesses
from isthmus.server.adapters.db.backend import SqlBackendFacts, SqlKeptKeys
from isthmus.server.adapters.db.bridges import SqlBridges
from isthmus.server.adapters.db.certificates import SqlOwnTrust
from isthmus.server.adapters.db.crossings import SqlCrossings
from isthmus.server.adapters.db.directory import SqlDirectoryUsers, SqlKeptAnswers
from isthmus.server.adapters.db.enrollment import SqlEnrollments, SqlSessions
from isthmus.server.adapters.db.federation import SqlFederationFacts, SqlFindings, SqlInvitations, SqlNonces
from isthmus.server.adapters.db.grants import SqlGrants, SqlHeldGrants
from isthmus.server.adapters.db.holdings import SqlHoldings
from isthmus.server.adapters.db.incidents import SqlIncidents
from isthmus.server.adapters.db.instances import SqlInstances
from isthmus.server.adapters.db.journal import SqlJournal
from isthmus.server.adapters.db.kinds import is_of_map, kinds_of
from isthmus.server.adapters.db.networks import SqlNetworks
from isthmus.server.adapters.db.outbox import SqlOutbox
from isthmus.server.adapters.db.overlays import SqlOverlayIngresses
from isthmus.server.adapters.db.peers import SqlPeers
from isthmus.server.adapters.db.postgres import Postgres
from isthmus.server.adapters.db.remotes import SqlRemoteInstances, SqlRemotes, SqlRevocations
from isthmus.server.adapters.db.services import SqlServices
from isthmus.server.adapters.db.sqlite import Sqlite
from isthmus.server.adapters.db.statements import Statements
from isthmus.server.adapters.db.statuses import SqlStatuses
from isthmus.server.adapters.db.templates import SqlTemplates
from isthmus.server.adapters.db.totals import SqlTotals

# The URL itself stays out of messages: it may hold a password.
URL_HINT = "the database is neither sqlite:///PATH nor postgresql://USER@HOST/NAME"


class Database(Protocol):
    """Runs the statements of transactions."""

    async def migrate(self) -> None: ...
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
        self.incidents = SqlIncidents(statements)
        self.statuses = SqlStatuses(statements)
        self.accounts = SqlAccounts(statements)
        self.journal = SqlJournal(statements)
        self.chain = SqlAuditChain(statements)
        self.witnesses = SqlWitnesses(statements)
        self.templates = SqlTemplates(statements)
        self.kept_keys = SqlKeptKeys(statements)
        self.backend = SqlBackendFacts(statements)
        self.directory = SqlDirectoryUsers(statements)
        self.answers = SqlKeptAnswers(statements)
        self.federation = SqlFederationFacts(statements)
        self.overlay_ingresses = SqlOverlayIngresses(statements)
        self.remotes = SqlRemotes(statements)
        self.invitations = SqlInvitations(statements)
        self.remote_instances = SqlRemoteInstances(statements)
        self.revocations = SqlRevocations(statements)
        self.nonces = SqlNonces(statements)
        self.outbox = SqlOutbox(statements)
        self.findings = SqlFindings(statements)
        self.own_trust = SqlOwnTrust(statements)
        self.instances = SqlInstances(statements)
        self.grants = SqlGrants(statements)
        self.held_grants = SqlHeldGrants(statements)
        self.services = SqlServices(statements)
        self.bridges = SqlBridges(statements)
        self.crossings = SqlCrossings(statements)
        self.totals = SqlTotals(statements)


class SqlStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.on_written: list[Callable[[frozenset[str]], None]] = []
        self.on_map_written: list[Callable[[], None]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self._database.writing() as statements:
            yield SqlTransaction(statements)
        if is_of_map(statements.written):
            for forget in self.on_map_written:
                forget()
        if kinds := kinds_of(statements.written):
            for told in self.on_written:
                told(kinds)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlTransaction]:
        async with self._database.reading() as statements:
            yield SqlTransaction(statements)

    async def check(self) -> None:
        async with self.transaction() as tx:
            await tx.backend.touch()

    async def close(self) -> None:
        await self._database.close()


async def open_store(url: str) -> SqlStore:
    """The store at `sqlite:///PATH` or `postgresql://…`, with its schema at the newest version.

    Raises `StoreUnavailable` with what to do, and `ValueError` for a URL of another kind.
    """
    database = database_at(url)
    try:
        await database.migrate()
    except BaseException:
        await database.close()
        raise
    return SqlStore(database)


async def migrate(url: str) -> None:
    """Bring the schema of the database at `url` to the newest version."""
    await (await open_store(url)).close()


def database_at(url: str) -> Database:
    place = place_of(url)
    return Sqlite(place) if isinstance(place, Path) else Postgres(place)


def place_of(url: str) -> Path | URL:
    """The file of SQLite, or where PostgreSQL has the database. Raises `ValueError`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError(URL_HINT) from None
    if parsed.drivername == "sqlite" and parsed.database:
        return Path(parsed.database)
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed
    raise ValueError(URL_HINT)
