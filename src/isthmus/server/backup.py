"""Backups of a whole backend: made beside a running server, verified anywhere, restored on an empty machine."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from isthmus.domain.audit import EPOCH, MICROSECOND
from isthmus.protocol.places import Places
from isthmus.server.adapters.backup.checking import Checked, Summary
from isthmus.server.adapters.backup.container import SealedReader, SealedWriter
from isthmus.server.adapters.backup.files import collected, staging
from isthmus.server.adapters.backup.records import End, File, Link, Opening, Record, Rows, Table, encoded
from isthmus.server.adapters.backup.unusable import BackupUnusable, UnknownVersion
from isthmus.server.adapters.clock import SystemClock
from isthmus.server.adapters.db.copying import Source, all_tables, filling, reading, rows_of
from isthmus.server.adapters.db.migrate import knows, newest_version
from isthmus.server.adapters.db.store import place_of
from isthmus.server.application.caller import Caller
from isthmus.server.application.restoring import goes_on
from isthmus.server.ports import StoreUnavailable
from isthmus.server.settings import Settings
from isthmus.x509.pair_files import sync

TRIES = 10
PAUSE = 0.5  # seconds

Files = list[File | Link]


def create(settings: Settings, path: Path, passphrase: str) -> Summary:
    """Write a backup of the backend to a new file at `path`, and read it once. Raises `BackupUnusable`."""
    with _told("made"), _new_file(path) as file:
        asyncio.run(_create(_checked(settings), SealedWriter(file, passphrase)))
    return verify(path, passphrase)


def verify(path: Path, passphrase: str) -> Summary:
    """Read the whole backup at `path`. Raises `BackupUnusable`; a bad audit chain is told in the summary."""
    with _told("read"), _opened(path) as file:
        checked = Checked(SealedReader(file, passphrase))
        for _ in _begun(checked):
            pass
    return checked.summary()


def restore(settings: Settings, path: Path, passphrase: str) -> Summary:
    """Make the backend anew out of the backup at `path`: all of it, or nothing. Raises `BackupUnusable`."""
    with _told("restored"), _opened(path) as file:
        checked = Checked(SealedReader(file, passphrase))
        asyncio.run(_restore(_checked(settings), checked))
    return checked.summary()


async def _create(settings: Settings, writer: SealedWriter) -> None:
    async with _snapshot(settings) as (source, files):
        made_at = (SystemClock().now() - EPOCH) // MICROSECOND
        counts: Counter[str] = Counter()
        tables = all_tables()

        def write(record: Record) -> None:
            writer.write(encoded(record))

        write(Opening(made_at, metadata.version("isthmus"), source.schema, source.database))
        for each in files:
            write(each)
        for name, columns in tables.items():
            write(Table(name, columns))
        async for name, rows in rows_of(source):
            write(Rows(name, list(rows)))
            counts[name] += len(rows)
        links = sum(isinstance(each, Link) for each in files)
        write(End({name: counts[name] for name in tables}, len(files) - links, links))
    writer.close()


@contextlib.asynccontextmanager
async def _snapshot(settings: Settings) -> AsyncIterator[tuple[Source, Files]]:
    """One state of the database, and the files as they were at that moment: those that did not change around it."""
    places = Places(settings.data_dir)
    for _ in range(TRIES):
        files = collected(places)
        async with reading(settings.database) as source:
            if collected(places) == files:
                yield source, files
                return
        await asyncio.sleep(PAUSE)
    raise BackupUnusable("the keys of the backend change all the time", "try again in a minute")


async def _restore(settings: Settings, checked: Checked) -> None:
    records = _begun(checked)
    with staging(Places(settings.data_dir)) as staged:
        async with filling(settings.database) as database:
            await database.begin(checked.opening.schema)
            for record in records:
                if isinstance(record, File | Link):
                    staged.take(record)
                elif isinstance(record, Rows):
                    await database.add(record.table, checked.columns[record.table], record.rows)
            now = SystemClock().now()
            await goes_on(await database.finish(), Caller("local", "restore"), _made_at(checked), now)
            staged.place()


def _begun(checked: Checked) -> Iterator[Record]:
    """The records behind the first one, which says whether the others can be understood."""
    records = iter(checked)
    next(records, None)
    schema = checked.opening.schema
    if not knows(schema):
        title = f"the backup has schema {schema}, and this isthmus knows those up to {newest_version()}"
        raise UnknownVersion(title, f"use isthmus {checked.opening.isthmus}, which made it, or a newer one")
    return records


def _made_at(checked: Checked) -> datetime:
    return EPOCH + checked.opening.made_at * MICROSECOND


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file for this user alone, which is there under its name once it is whole and on the disk."""
    if path.exists():
        raise BackupUnusable(f"{path} is there already", "name a file that is not, and delete old backups yourself")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BackupUnusable(
            f"{path} cannot be written: {error.strerror}", "name a file in a folder that you may write to"
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}", "name a file that is there") from None
    with file:
        yield file


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as error:
        raise BackupUnusable(
            str(error), "see to the database, and that the settings are those of the server"
        ) from error
    except OSError as error:
        hint = "see to the disk, and that you may read and write there what the server does"
        raise BackupUnusable(f"the backup could not be {what}: {error}", hint) from error


def _checked(settings: Settings) -> Settings:
    try:
        place_of(settings.database)
    except ValueError as error:
        raise BackupUnusable(f"database_url: {error}", "mend the settings of the server") from None
    return settings
