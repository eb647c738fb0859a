"""What a backup refuses: files that are not whole, places that are not empty, and halves of a backend."""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, inspect, text

from isthmus.server import backup as module
from isthmus.server.adapters.backup.container import HEADER_BYTES, Cost, SealedReader, SealedWriter
from isthmus.server.adapters.backup.records import End, Opening, Record, Rows, Table, encoded, records_of
from isthmus.server.adapters.backup.unusable import BackupUnusable, Damaged, UnknownVersion
from isthmus.server.settings import Settings
from lab.waiting import wait_until
from tests.api.agent import Agent, a_network, a_peer
from tests.api.backups import PASSPHRASE, backup, done, failed
from tests.server import COMMAND, Server, clean_environment, refused_start
from tests.stores import POSTGRES, PostgresServer
from tests.tables import contents, on_connection

SOON = 20.0
CHEAP = Cost(log2_n=2)


@dataclass
class Made:
    """A backup of the server that all tests share, which runs on; `file` has the same under a key that costs less."""

    original: Path
    file: Path
    server: Server
    summary: Any

    @property
    def bytes(self) -> bytes:
        return self.file.read_bytes()


def rewritten(file: Path, target: Path, change: Callable[[Record], list[Record]]) -> Path:
    """A backup whose records were changed by somebody who knows the passphrase, or by a defect."""
    with file.open("rb") as old, target.open("wb") as new:
        writer = SealedWriter(new, PASSPHRASE, CHEAP)
        for record in records_of(SealedReader(old, PASSPHRASE)):
            for each in change(record):
                writer.write(encoded(each))
        writer.close()
    return target


@pytest.fixture(scope="module")
def made(server: Server, admin: httpx2.Client, tmp_path_factory: pytest.TempPathFactory) -> Made:
    network = a_network(admin)
    for _ in range(30):
        a_peer(admin, network)
    Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    file = tmp_path_factory.mktemp("made") / "isthmus.backup"
    summary = done(backup("create", file, data_dir=str(server.data)))
    return Made(file, rewritten(file, file.with_name("cheap.backup"), lambda each: [each]), server, summary)


@dataclass
class Place:
    """An empty machine."""

    data: Path
    url: str | None

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.data, database_url=self.url)

    @property
    def given(self) -> dict[str, str]:
        return {"data_dir": str(self.data)} | ({} if self.url is None else {"database_url": self.url})

    def restore(self, file: Path) -> Any:
        return module.restore(self.settings, file, PASSPHRASE)

    def check_empty(self) -> None:
        assert not self.data.exists() or list(self.data.iterdir()) == []
        if self.url is not None:
            assert asyncio.run(on_connection(self.url, lambda connection: inspect(connection).get_table_names())) == []

    def check_full(self, made: Made) -> None:
        assert (self.data / "vault.key").read_bytes() == (made.server.data / "vault.key").read_bytes()
        rows = asyncio.run(contents(self.settings.database))
        assert len(rows["peers"]) == made.summary["tables"]["peers"] > 30


@pytest.fixture(params=["sqlite", POSTGRES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(tmp_path / "data", None)
        return
    database: PostgresServer = request.getfixturevalue("postgres")
    yield Place(tmp_path / "data", database.create("empty"))
    database.drop("empty")


# ---- files that are not what was written

TAMPERED: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "flipped": (lambda file: file[:-100] + bytes([file[-100] ^ 1]) + file[-99:], "damaged", "another copy"),
    "short": (lambda file: file[:-1], "cut short", "copy it again"),
    "ends early": (lambda file: file[:HEADER_BYTES], "cut short", "copy it again"),
    "newer": (lambda file: file[:16] + b"\x00\x09" + file[18:], "version 9", "newer"),
    "foreign": (lambda _: b"PK\x03\x04", "no backup", "isthmus backup create"),
}


@pytest.mark.case("SEED-116")
@pytest.mark.parametrize(("change", "word", "remedy"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_file_that_is_not_whole_is_named_and_nothing_of_it_restored(
    made: Made, place: Place, change: Callable[[bytes], bytes], word: str, remedy: str
) -> None:
    file = place.data.with_name("tampered.backup")
    file.write_bytes(change(made.bytes))
    for work in (lambda: module.verify(file, PASSPHRASE), lambda: place.restore(file)):
        with pytest.raises(BackupUnusable, match=word) as caught:
            work()
        assert remedy in caught.value.hint
        place.check_empty()
    # The benign twin, at the same place.
    file.write_bytes(made.bytes)
    place.restore(file)
    place.check_full(made)


@pytest.mark.case("SEED-116")
def test_the_command_names_what_is_wrong_and_ends_with_1(made: Made, tmp_path: Path) -> None:
    assert done(backup("verify", made.original)) == made.summary
    failed(backup("verify", made.original, passphrase="correct horse batteries"), "another passphrase")
    file = tmp_path / "tampered.backup"
    file.write_bytes(made.bytes[:-1])
    failed(backup("verify", file), "cut short")
    failed(backup("verify", tmp_path / "missing.backup"), "missing.backup", "No such file")
    refused = backup("restore", made.file, data_dir=str(tmp_path / "data"), passphrase="correct horse batteries")
    failed(refused, "another passphrase")
    assert not (tmp_path / "data").exists()


FORGED: dict[str, tuple[Callable[[Record], list[Record]], type[BackupUnusable], str]] = {
    "rows are missing": (
        lambda each: [] if isinstance(each, Rows) and each.table == "peers" else [each], Damaged, "0 of peers"
    ),
    "rows came twice": (
        lambda each: [each, each] if isinstance(each, Rows) and each.table == "peers" else [each], Damaged, "of peers"
    ),
    "no end": (lambda each: [] if isinstance(each, End) else [each], Damaged, "last record"),
    "no beginning": (lambda each: [] if isinstance(each, Opening) else [each], Damaged, "order"),
    "a schema of tomorrow": (
        lambda each: [Opening(1, "9.0", "9999", "sqlite")] if isinstance(each, Opening) else [each],
        UnknownVersion,
        "9999",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "reason", "word"), FORGED.values(), ids=FORGED.keys())
def test_records_that_do_not_add_up_are_found_before_anything_is_there(
    made: Made, tmp_path: Path, change: Callable[[Record], list[Record]], reason: type[BackupUnusable], word: str
) -> None:
    forged = rewritten(made.file, tmp_path / "forged.backup", change)
    with pytest.raises(BackupUnusable, match=word) as caught:
        module.verify(forged, PASSPHRASE)
    assert type(caught.value) is reason
    place = Place(tmp_path / "data", None)
    with pytest.raises(BackupUnusable):
        place.restore(forged)
    place.check_empty()
    module.verify(rewritten(made.file, tmp_path / "same.backup", lambda each: [each]), PASSPHRASE)


@pytest.mark.case("SEED-116")
@pytest.mark.parametrize("said", [("user:mallory", "audit.nothing"), (None, 7)], ids=["lies", "nonsense"])
def test_a_row_of_the_audit_log_that_was_changed_is_named(made: Made, tmp_path: Path, said: tuple[Any, Any]) -> None:
    def changed(record: Record) -> list[Record]:
        if not isinstance(record, Rows) or record.table != "audit_log":
            return [record]
        return [Rows(record.table, [(*row[:2], *said, *row[4:]) if row[0] == 7 else row for row in record.rows])]

    forged = rewritten(made.file, tmp_path / "forged.backup", changed)
    process = backup("verify", forged)
    assert process.returncode == 1, process.stderr
    answer = json.loads(process.stdout)
    assert (answer["ok"], answer["audit"]["fault"]["row"], answer["audit"]["fault"]["wrong"]) == (False, 7, "changed")
    assert made.summary["ok"] is True


# ---- places that are not empty


def test_nothing_is_restored_over_a_folder_with_something_in_it(made: Made, place: Place) -> None:
    place.data.mkdir()
    (place.data / "notes").write_text("mine")
    with pytest.raises(BackupUnusable, match="not empty") as caught:
        place.restore(made.file)
    assert "--data-dir" in caught.value.hint
    assert [each.name for each in place.data.iterdir()] == ["notes"]
    (place.data / "notes").unlink()
    (place.data / "lost+found").mkdir()  # what a file system of its own has
    place.restore(made.file)
    place.check_full(made)


def test_nothing_is_restored_over_a_database_that_holds_a_backend(
    made: Made, postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.create("full")
    try:
        Place(tmp_path / "first", url).restore(made.file)
        before = asyncio.run(contents(url))
        place = Place(tmp_path / "data", url)
        with pytest.raises(BackupUnusable, match="nothing is restored over") as caught:
            place.restore(made.file)
        assert "createdb" in caught.value.title
        assert asyncio.run(contents(url)) == before
        assert list(place.data.iterdir()) == []
    finally:
        postgres.drop("full")


def test_nothing_is_restored_over_a_file_of_sqlite_elsewhere(made: Made, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.write_bytes(b"mine")
    place = Place(tmp_path / "data", f"sqlite:///{elsewhere}")
    with pytest.raises(BackupUnusable, match="already"):
        place.restore(made.file)
    assert elsewhere.read_bytes() == b"mine"
    assert list(place.data.iterdir()) == []
    elsewhere.unlink()
    place.restore(made.file)
    place.check_full(made)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "elsewhere.db"]


# ---- all or nothing


def test_a_restore_that_fails_at_its_end_leaves_nothing(
    made: Made, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(module, "goes_on", fails)
        with pytest.raises(BackupUnusable, match="the disk is gone"):
            place.restore(made.file)
    place.check_empty()
    place.restore(made.file)
    place.check_full(made)


def test_a_restore_that_was_killed_never_starts_as_a_backend(made: Made, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", None)
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    command = [str(COMMAND), "backup", "restore", str(made.file), "--passphrase-file", str(secret)]
    with subprocess.Popen(command, env=clean_environment(place.given)) as process:
        wait_until((place.data / ".restoring" / "vault.key").exists, within=SOON, what="half of a restore")
        process.send_signal(signal.SIGKILL)
    start = refused_start(place.given)
    assert start.returncode == 1
    assert "cut short" in start.stderr
    assert "delete all that is in the folder" in start.stderr
    with pytest.raises(BackupUnusable, match="cut short") as caught:
        place.restore(made.file)
    assert "delete all" in caught.value.hint
    shutil.rmtree(place.data)
    place.restore(made.file)
    place.check_full(made)


# ---- making one


def test_a_backup_is_never_written_over_another_file(made: Made, tmp_path: Path) -> None:
    settings = Settings(data_dir=made.server.data)
    file = tmp_path / "isthmus.backup"
    file.write_text("the one of yesterday")
    with pytest.raises(BackupUnusable, match="there already"):
        module.create(settings, file, PASSPHRASE)
    assert file.read_text() == "the one of yesterday"
    with pytest.raises(BackupUnusable, match="cannot be written"):
        module.create(settings, tmp_path / "missing" / "isthmus.backup", PASSPHRASE)
    with pytest.raises(BackupUnusable, match="no data folder"):
        module.create(Settings(data_dir=tmp_path), tmp_path / "other.backup", PASSPHRASE)
    assert [each.name for each in tmp_path.iterdir()] == ["isthmus.backup"]
    module.create(settings, tmp_path / "other.backup", PASSPHRASE)
    assert (tmp_path / "other.backup").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["isthmus.backup", "other.backup"]


def test_a_passphrase_that_can_be_guessed_is_refused(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "isthmus.backup"
    short = backup("create", file, data_dir=str(made.server.data), passphrase="hunter2")
    assert short.returncode == 2
    assert "12 characters" in short.stderr
    assert not file.exists()


def test_a_database_of_another_schema_is_no_backup_of_ours(made: Made, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", None)
    place.restore(made.file)

    def claim(version: str) -> None:
        with closing(sqlite3.connect(place.data / "isthmus.db")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", (version,))

    with closing(sqlite3.connect(place.data / "isthmus.db")) as database:
        (present,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    claim("0016")
    with pytest.raises(BackupUnusable, match="schema 0016"):
        module.create(place.settings, tmp_path / "other.backup", PASSPHRASE)
    claim(present)
    assert module.create(place.settings, tmp_path / "other.backup", PASSPHRASE).schema == present


def test_a_key_that_the_operator_keeps_elsewhere_is_named_and_stays_there(made: Made, tmp_path: Path) -> None:
    place = Place(tmp_path / "data", None)
    place.restore(made.file)
    key = tmp_path / "ca.key"
    key.write_bytes(b"a secret that belongs elsewhere")
    (place.data / "federation" / "ca").mkdir(parents=True, exist_ok=True)
    (place.data / "federation" / "ca" / "ca.key").symlink_to(key)
    file = tmp_path / "other.backup"
    found = module.create(place.settings, file, PASSPHRASE)
    assert found.outside == [f"federation/ca/ca.key -> {key}"]
    with file.open("rb") as opened:
        records = list(records_of(SealedReader(opened, PASSPHRASE)))
    assert key.read_bytes() not in b"".join(map(encoded, records))
    again = Place(tmp_path / "again", None)
    assert again.restore(file).outside == found.outside
    assert (again.data / "federation" / "ca" / "ca.key").readlink() == key


def test_a_backup_of_an_older_schema_is_brought_to_the_newest(made: Made, place: Place) -> None:
    """Of an isthmus whose audit rows had no index yet, and whose accounts no identity elsewhere."""
    kept: list[int] = []

    def as_it_was(each: Record) -> list[Record]:
        match each:
            case Opening():
                return [Opening(each.made_at, "0.0.9", "0016", "sqlite")]
            case Table("users", columns):
                kept[:] = [place for place, (name, _) in enumerate(columns) if name not in {"issuer", "subject"}]
                return [Table("users", tuple(columns[place] for place in kept))]
            case Rows("users", rows):
                return [Rows("users", [tuple(row[place] for place in kept) for row in rows])]
        return [each]

    older = rewritten(made.file, place.data.with_name("older.backup"), as_it_was)
    place.restore(older)
    place.check_full(made)

    def indexes(connection: Connection) -> tuple[str, set[str]]:
        version = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
        return version, {str(each["name"]) for each in inspect(connection).get_indexes("audit_log")}

    version, names = asyncio.run(on_connection(place.settings.database, indexes))
    assert version == made.summary["schema"]
    assert "ix_audit_log_request_id" in names
