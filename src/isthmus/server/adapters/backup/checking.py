"""Reading a backup from its beginning to its end: that it is whole, how much there is of all, and its audit chain."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from isthmus.domain.audit import EPOCH, MICROSECOND, Found, Seal, Verifier
from isthmus.protocol.audit import is_sealed
from isthmus.protocol.audit_row import Said, content
from isthmus.server.adapters.backup.records import (
    Columns,
    End,
    File,
    Link,
    Opening,
    Readable,
    Record,
    Rows,
    Table,
    records_of,
)
from isthmus.server.adapters.backup.unusable import damaged


@dataclass(frozen=True, slots=True)
class Summary:
    """`outside` are the files that links of the data folder lead to: they are not in the backup."""

    made_at: datetime
    isthmus: str
    schema: str
    database: str
    domain: str
    tables: dict[str, int]
    files: int
    outside: list[str]
    audit: Found


@dataclass
class _Chain:
    """The chain of the audit log. Links and seals come before the rows that they are of, and wait for them."""

    domain: str = ""
    _last: int = 0
    _links: dict[int, bytes] = field(default_factory=dict)
    _seals: list[dict[str, Any]] = field(default_factory=list)
    _keys: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._verifier = Verifier(lambda seal: is_sealed(seal, self.domain, self._keys))

    def look(self, table: str, rows: list[dict[str, Any]]) -> None:
        match table:
            case "federation":
                self.domain = rows[0]["domain"] if rows else ""
            case "backend":
                self._last = rows[0]["audited"] if rows else 0
            case "audit_links":
                self._links |= {row["number"]: row["hash"] for row in rows}
            case "audit_seals":
                self._seals += rows
            case "audit_log":
                for row in rows:
                    number = row["number"]
                    self._verifier.row(number, _said(row), self._links.pop(number, None))
                    self._seal(number)
                # Those of rows that are gone.
                self._links.clear()

    def found(self) -> Found:
        self._seal(None)
        return self._verifier.end(self._last)

    def _seal(self, up_to: int | None) -> None:
        while self._seals and (up_to is None or self._seals[0]["number"] <= up_to):
            row = self._seals.pop(0)
            self._keys.setdefault(row["key_id"], row.pop("public_key"))
            self._verifier.seal(Seal(**row | {"at": _moment(row["at"])}))


@dataclass
class Checked:
    """The records of a backup, one after the other; `summary` may be asked for once all have come."""

    stream: Readable
    columns: dict[str, Columns] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)
    _outside: list[str] = field(default_factory=list)
    _opening: Opening | None = None
    _end: End | None = None
    _chain: _Chain = field(default_factory=_Chain)

    def __iter__(self) -> Iterator[Record]:
        """Raises `BackupUnusable` at the first thing that is wrong, at the latest behind the last record."""
        for record in records_of(self.stream):
            if self._end is not None or (self._opening is None) != isinstance(record, Opening):
                raise damaged("its records are not in order")
            self._look(record)
            yield record
        self._check_end()

    @property
    def opening(self) -> Opening:
        if self._opening is None:
            raise damaged("it has no beginning")
        return self._opening

    def summary(self) -> Summary:
        opening = self.opening
        return Summary(
            made_at=EPOCH + opening.made_at * MICROSECOND,
            isthmus=opening.isthmus,
            schema=opening.schema,
            database=opening.database,
            domain=self._chain.domain,
            tables={name: self._counts[name] for name in self.columns},
            files=self._counts["files"],
            outside=self._outside,
            audit=self._chain.found(),
        )

    def _look(self, record: Record) -> None:
        match record:
            case Opening():
                self._opening = record
            case File():
                self._counts["files"] += 1
            case Link(path, target, is_outside):
                self._counts["links"] += 1
                self._outside += [f"{path} -> {target}"] if is_outside else []
            case Table(name, columns):
                self.columns[name] = columns
            case Rows(table, rows):
                if table not in self.columns:
                    raise damaged(f"it has rows of a table {table} that it does not describe")
                self._counts[table] += len(rows)
                names = [name for name, _ in self.columns[table]]
                if any(len(row) != len(names) for row in rows):
                    raise damaged(f"a row of {table} has more or less than its columns")
                self._chain.look(table, [dict(zip(names, row, strict=True)) for row in rows])
            case End():
                self._end = record

    def _check_end(self) -> None:
        if self._end is None:
            raise damaged("its last record is missing")
        said = {**self._end.tables, "files": self._end.files, "links": self._end.links}
        for name in sorted({*said, *self.columns}):
            if said.get(name, 0) != self._counts[name]:
                raise damaged(f"it has {self._counts[name]} of {name}, and {said.get(name, 0)} were written")


def _said(row: dict[str, Any]) -> bytes:
    """Nothing where the row was changed to something that no server writes."""
    try:
        texts = {name: row[name] for name in Said.__slots__}
        return content(Said(**texts | {"at": _moment(row["at"]), "facts": json.loads(row["facts"])}))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return b""


def _moment(micros: int) -> datetime:
    return EPOCH + micros * MICROSECOND
