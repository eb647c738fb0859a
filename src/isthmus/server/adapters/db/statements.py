"""How collections run SQL: the statements of one transaction, whichever database is behind it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from sqlalchemy import Insert, Row, Table, UpdateBase
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.base import Executable

from isthmus.server.adapters.db.failures import meaning_of
from isthmus.server.adapters.db.often import Often, Raw
from isthmus.server.ports import StoreUnavailable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AnyRow = Row[*tuple[Any, ...]]
AnyResult = CursorResult[*tuple[Any, ...]]
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Run = Callable[[Executable, Values | None], Awaitable[AnyResult]]
Read = Callable[[str, Sequence[Any]], Sequence[Raw]]
"""Asks the driver itself. Raises `StoreUnavailable`."""
T = TypeVar("T")

QUIET = "is_quiet"
"""An execution option of statements that write down what nobody waits for, such as when something was used last."""

# SQLite and asyncpg both refuse more than 32,766 parameters in one statement.
MOST_PARAMETERS = 10_000


class Statements:
    """Runs the statements of one transaction. After one that failed it runs no other, and nothing is committed:
    so PostgreSQL has it, and a use case that passes on SQLite shall not fail there."""

    def __init__(self, dialect: str, run: Run, *, read_only: bool, read: Read | None = None) -> None:
        self.dialect = dialect
        self._run = run
        self._read = read
        self._read_only = read_only
        self._failure: Exception | None = None
        self.written: set[str] = set()
        """The tables of which rows were made, changed or deleted."""
        self._is_over = False

    async def rows(self, statement: Executable, values: Values | None = None) -> Sequence[AnyRow]:
        """All rows that the statement returns. Raises `Conflict` or `StoreUnavailable`, as the other two do."""
        return await self._do(statement, values, lambda result: result.all())

    async def row(self, statement: Executable, values: Values | None = None) -> AnyRow | None:
        """The first row that the statement returns, None when there is none."""
        return await self._do(statement, values, lambda result: result.first())

    async def write(self, statement: Executable, values: Values | None = None) -> int:
        """Run a statement that returns nothing, with a list of values once for each; returns how many rows it hit."""
        return await self._do(statement, values, lambda result: result.rowcount)

    async def records(self, often: Often[T], values: Mapping[str, Any]) -> list[T]:
        """What the rows of a SELECT stand for that is asked for often."""
        if self._read is None:
            return [often.make(row) for row in await self.rows(often.statement, values)]
        self._check_use(often.statement)
        try:
            return [often.made(raw) for raw in self._read(*often.spelt(values))]
        except StoreUnavailable as failure:
            self._failure = failure
            raise

    async def _do(self, statement: Executable, values: Values | None, taken: Callable[[AnyResult], T]) -> T:
        self._check_use(statement)
        try:
            result = await self._run(statement, values)
            if isinstance(statement, UpdateBase) and result.rowcount:
                self._note(statement)
            return taken(result)
        except (SQLAlchemyError, OSError) as error:
            self._failure = meaning_of(error)
            if self._failure is error:
                raise
            raise self._failure from error

    def _note(self, statement: UpdateBase) -> None:
        if isinstance(statement.table, Table) and QUIET not in statement.get_execution_options():
            self.written.add(statement.table.name)

    def _check_use(self, statement: Executable) -> None:
        if self._is_over:
            raise RuntimeError("this transaction is over: use it only inside its block")
        if self._read_only and isinstance(statement, UpdateBase):
            raise RuntimeError("this transaction only reads: open one with Store.transaction() to write")
        self.check()

    def check(self) -> None:
        """Raise the failure that has already spoilt this transaction."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        self._is_over = True


@cache
def upsert_into(table: Table, dialect: str) -> Insert:
    """Insert a row, or give the row with its primary key these values; both databases spell it alike."""
    key = table.primary_key.columns.keys()
    if dialect == "postgresql":
        insert = postgresql.insert(table)
        new = {column.name: insert.excluded[column.name] for column in table.c if column.name not in key}
        return insert.on_conflict_do_update(index_elements=key, set_=new)
    other = sqlite.insert(table)
    new = {column.name: other.excluded[column.name] for column in table.c if column.name not in key}
    return other.on_conflict_do_update(index_elements=key, set_=new)


def values_of(record: "DataclassInstance") -> dict[str, Any]:
    """A record's fields by name; `asdict` would copy each value, which costs more than the statement."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def in_parts(items: Sequence[T], most: int = MOST_PARAMETERS) -> Iterator[Sequence[T]]:
    """`items` in slices that fit into one statement."""
    return (items[start : start + most] for start in range(0, len(items), most))


def json_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# What both engines are made with. Values stay out of error messages: there are digests and hashes among them.
ENGINE_OPTIONS: dict[str, Any] = {
    "hide_parameters": True,
    "json_serializer": json_of,
    "json_deserializer": msgspec.json.decode,
}
