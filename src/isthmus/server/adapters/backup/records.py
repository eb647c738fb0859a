"""What is written in a backup, one record after the other: MessagePack, each behind its length in four bytes.

An `Opening`, then files and links, then the tables, then their rows in any order that references allow, then an `End`.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from isthmus.server.adapters.backup.unusable import BackupUnusable, damaged

LENGTH = 4

Columns = tuple[tuple[str, str], ...]
"""Names and kinds, as in `isthmus.server.adapters.db.copying`."""


class Opening(msgspec.Struct, frozen=True, tag="opening"):
    """`made_at` in microseconds since 1970; `schema` is the version of the tables."""

    made_at: int
    isthmus: str
    schema: str
    database: str


class File(msgspec.Struct, frozen=True, tag="file"):
    """`path` below the data folder."""

    path: str
    data: bytes


class Link(msgspec.Struct, frozen=True, tag="link"):
    """A symbolic link; one that leads out of the data folder has `is_outside`, and its file is not in the backup."""

    path: str
    target: str
    is_outside: bool


class Table(msgspec.Struct, frozen=True, tag="table"):
    name: str
    columns: Columns


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Values are text, whole numbers, truth values, bytes or nothing, as their columns say."""

    table: str
    rows: list[tuple[Any, ...]]


class End(msgspec.Struct, frozen=True, tag="end"):
    """How many there were of all."""

    tables: dict[str, int]
    files: int
    links: int


Record = Opening | File | Link | Table | Rows | End

_DECODER: "msgspec.msgpack.Decoder[Record]" = msgspec.msgpack.Decoder(Record)


class Readable(Protocol):
    def read(self, length: int, /) -> bytes: ...


def encoded(record: Record) -> bytes:
    data = msgspec.msgpack.encode(record)
    return len(data).to_bytes(LENGTH) + data


def records_of(stream: Readable) -> Iterator[Record]:
    """All records to the end. Raises `BackupUnusable`."""
    while head := stream.read(LENGTH):
        length = int.from_bytes(head)
        data = stream.read(length)
        if len(head) < LENGTH or len(data) < length:
            raise damaged("its last record is not whole")
        try:
            yield _DECODER.decode(data)
        except msgspec.DecodeError as error:
            hint = "restore it with the isthmus that made it, or tell its makers"
            raise BackupUnusable(f"a record of the backup cannot be read: {error}", hint) from None
