"""PostgreSQL: asyncpg behind a bounded pool, row locks where a use case locks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.base import Executable

from isthmus.server.adapters.db.failures import meaning_of
from isthmus.server.adapters.db.migrate import upgrade
from isthmus.server.adapters.db.statements import ENGINE_OPTIONS, AnyResult, Run, Statements, Values
from isthmus.server.adapters.db.waiting import to_its_end

MOST_CONNECTIONS = 10
POOL_PATIENCE = 10  # seconds
CONNECT_TIMEOUT = 5  # seconds
COMMAND_TIMEOUT = 30  # seconds
MIGRATION_TIMEOUT = 600  # seconds
LOCK_TIMEOUT = 5  # seconds
MIGRATION_LOCK_TIMEOUT = 60  # seconds, for what another server migrates at this moment
IDLE_TIMEOUT = 60  # seconds that a transaction may do nothing; it ends those of a server that lost its network


class Postgres:
    """A database on a PostgreSQL server, which several servers may share."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = engine_of(url, COMMAND_TIMEOUT)

    async def migrate(self) -> None:
        """Bring the schema to the newest version; of several servers that start at once the first does."""
        engine = engine_of(self._url, MIGRATION_TIMEOUT, MIGRATION_LOCK_TIMEOUT)
        try:
            async with connected(engine) as connection:
                await connection.run_sync(upgrade)
                await commit(connection)
        except (SQLAlchemyError, OSError) as error:
            raise meaning_of(error) from error
        finally:
            await engine.dispose()

    # Writers see what others have committed by the time of each statement: what they locked stays as it is, and
    # nobody's transaction fails for having waited. Readers see one state.
    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Statements]:
        async with connected(self._engine) as connection:
            statements = Statements("postgresql", runner(connection), read_only=False)
            try:
                yield statements
                statements.check()
                await commit(connection)
            finally:
                statements.end()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Statements]:
        async with connected(self._engine) as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            statements = Statements("postgresql", runner(connection), read_only=True)
            try:
                yield statements
            finally:
                statements.end()

    async def close(self) -> None:
        await self._engine.dispose()


def engine_of(url: URL, command_timeout: int, lock_timeout: int = LOCK_TIMEOUT) -> AsyncEngine:
    settings = {
        "application_name": "isthmus",
        "lock_timeout": f"{lock_timeout}s",
        "statement_timeout": f"{command_timeout}s",
        "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT}s",
    }
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_PATIENCE,
        **ENGINE_OPTIONS,
        connect_args={"timeout": CONNECT_TIMEOUT, "command_timeout": command_timeout, "server_settings": settings},
    )


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool; what was not committed is rolled back when it returns there."""
    connection = engine.connect()
    try:
        await connection.start()
    except (SQLAlchemyError, OSError) as error:
        raise meaning_of(error) from error
    try:
        yield connection
    finally:
        await to_its_end(connection.close())


async def commit(connection: AsyncConnection) -> None:
    try:
        await to_its_end(connection.commit())
    except (SQLAlchemyError, OSError) as error:
        raise meaning_of(error) from error


def runner(connection: AsyncConnection) -> Run:
    async def run(statement: Executable, values: Values | None) -> AnyResult:
        return await connection.execute(statement, values)

    return run
