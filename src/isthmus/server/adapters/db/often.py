"""Reads that nearly every federated call makes: on SQLite without what SQLAlchemy works out anew for each of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import Row, Select
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.engine import result_tuple
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

Raw = tuple[Any, ...]
"""A row as the driver has it."""

DIALECT = pysqlite.dialect(json_deserializer=msgspec.json.decode)
MOST_MADE = 256


class Often(Generic[T]):
    """A SELECT, and what one of its rows stands for.

    What `make` returns must depend on the row alone and be changed by nobody: equal rows are given the same object,
    for as long as it is among the last few hundred.
    """

    def __init__(self, statement: Select[Any], make: Callable[[Row[Any]], T]) -> None:
        self.statement = statement
        self.make = make
        self.made = lru_cache(MOST_MADE)(self._made)

    def spelt(self, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """Text and parameters for SQLite's driver."""
        text, parameters = self._text
        return text, [
            (process(values[name]) if process else values[name]) if name in values else constant
            for name, process, constant in parameters
        ]

    def _made(self, raw: Raw) -> T:
        row_of, processors = self._columns
        return self.make(
            row_of([process(value) if process else value for process, value in zip(processors, raw, strict=True)])
        )

    @cached_property
    def _text(self) -> tuple[str, list[tuple[str, Callable[[Any], Any] | None, Any]]]:
        compiled = self.statement.compile(dialect=DIALECT)
        constants = compiled.params
        return str(compiled), [
            (name, implementation(compiled.binds[name].type).bind_processor(DIALECT), constants[name])
            for name in compiled.positiontup or ()
        ]

    @cached_property
    def _columns(self) -> tuple[Callable[[list[Any]], Row[Any]], Sequence[Callable[[Any], Any] | None]]:
        columns = self.statement.selected_columns
        processors = [implementation(column.type).result_processor(DIALECT, None) for column in columns]
        return result_tuple(columns.keys()), processors


def implementation(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.dialect_impl(DIALECT)
