"""`isthmus backup`: one sealed file with the whole backend, made and restored on the server's machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.ask import secret
from isthmus.cli.command import SHARED, command, noun
from isthmus.cli.errors import Failure, Misuse, missing_extra
from isthmus.cli.importing import importing
from isthmus.cli.options import DATA_DIR, SETTINGS, without_none
from isthmus.cli.session import Session
from isthmus.cli.text import fields, printable

if TYPE_CHECKING:
    from isthmus.server.adapters.backup.checking import Summary
    from isthmus.server.settings import Settings

app = noun("Backups: one sealed file with the whole backend.")

OPTION = "--passphrase-file"
SHORTEST = 12
COUNTED = ("networks", "peers", "incidents", "remotes", "bridges", "grants", "audit_log")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
Passphrase = Annotated[
    str | None, typer.Option(OPTION, metavar="FILE", help="Read the passphrase from FILE; asked for if left out.")
]
Config = Annotated[Path | None, SETTINGS]
DataDir = Annotated[str | None, DATA_DIR]


@command(app, "create", "isthmus backup create isthmus.backup --passphrase-file passphrase", options=SHARED)
def create(
    session: Session, file: File, passphrase_file: Passphrase = None, config: Config = None, data_dir: DataDir = None
) -> None:
    """Write a backup to a new file, while the server goes on."""
    passphrase = _new_passphrase(passphrase_file)
    with _work() as backup:
        found = backup.create(_settings(config, data_dir), file, passphrase)
    _show(session, file, found, "made, and read once")


@command(app, "verify", "isthmus backup verify isthmus.backup --passphrase-file passphrase", options=SHARED)
def verify(session: Session, file: File, passphrase_file: Passphrase = None) -> None:
    """Read a whole backup, and tell what is wrong with it.

    Every byte counts, every row, and the chain of the audit log. It needs neither a server nor a database. The exit
    code is 1 where anything is wrong.
    """
    passphrase = secret("passphrase", passphrase_file, OPTION)
    with _work() as backup:
        found = backup.verify(file, passphrase)
    _show(session, file, found, "whole")
    if found.audit.fault is not None:
        raise typer.Exit(1)


@command(app, "restore", "isthmus backup restore isthmus.backup --passphrase-file passphrase", options=SHARED)
def restore(
    session: Session, file: File, passphrase_file: Passphrase = None, config: Config = None, data_dir: DataDir = None
) -> None:
    """Make the backend anew out of a backup, all or nothing.

    The data folder must be empty, and the database hold no backend. SQLite and PostgreSQL take each other's backups.
    """
    passphrase = secret("passphrase", passphrase_file, OPTION)
    with _work() as backup:
        found = backup.restore(_settings(config, data_dir), file, passphrase)
    _show(session, file, found, "restored: start the server now, with the settings that it had")


def _new_passphrase(file: str | None) -> str:
    found = secret("passphrase", file, OPTION)
    if len(found) < SHORTEST:
        raise Misuse(
            f"the passphrase is shorter than {SHORTEST} characters", "take several words, or a long random text"
        )
    if file is None and secret("passphrase again", None, OPTION) != found:
        raise Misuse("the two passphrases differ", "type the same one twice")
    return found


@contextmanager
def _work() -> Iterator[Any]:
    """The module that does it; what it says of a failure is told as one."""
    try:
        with importing():
            from isthmus.server import backup
            from isthmus.server.adapters.backup.unusable import BackupUnusable
            from isthmus.server.settings import SettingsRefused
    except ModuleNotFoundError as error:
        raise missing_extra(error, "server") from None
    try:
        yield backup
    except BackupUnusable as error:
        raise Failure(error.title, error.hint) from None
    except SettingsRefused as error:
        raise Failure(str(error)) from None


def _settings(config: Path | None, data_dir: str | None) -> "Settings":
    from isthmus.server.settings import load

    return load(config, without_none({"data_dir": data_dir}), os.environ)


def _show(session: Session, file: Path, found: "Summary", done: str) -> None:
    fault = found.audit.fault
    answer = asdict(found) | {"made_at": found.made_at.isoformat(), "ok": fault is None}
    answer["audit"] |= {"head": found.audit.head.hex()}
    session.show(answer, lambda _: _told(file, found, done))


def _told(file: Path, found: "Summary", done: str) -> str:
    audit = found.audit
    contents = ", ".join(f"{name.replace('_log', ' rows')} {found.tables.get(name, 0)}" for name in COUNTED)
    rows: list[tuple[str, object]] = [
        ("made", f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC, by isthmus {found.isthmus}"),
        ("backend", found.domain or "without federation"),
        ("database", f"{found.database}, schema {found.schema}"),
        ("contents", contents),
        ("files", found.files),
        ("audit log", f"{audit.rows} rows and {audit.seals} seals checked; row {audit.number} is {audit.head.hex()}"),
    ]
    lines = [f"{file}: {done}", "", fields(rows)]
    if audit.fault is not None:
        lines += ["", f"row {audit.fault.row} of the audit log is bad: {audit.fault.wrong}: {audit.fault.detail}"]
    if found.outside:
        lines += ["", "not in the backup, for these links lead out of the data folder:"]
        lines += [f"  {printable(each)}" for each in found.outside]
    return "\n".join(lines)
