"""Fresh stores for tests: copies of one migrated SQLite file, and one database on a PostgreSQL server of our own."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import delete

from isthmus.server.adapters.db import SqlStore, migrate, open_store
from isthmus.server.adapters.db.tables import backend, metadata

START_TIMEOUT = 30.0
MIGRATED = "migrated"
POSTGRES = "postgresql"


@dataclass
class PostgresServer:
    """A server on a Unix socket, as a user who is not root, without the waits for the disk that tests do not need."""

    folder: Path
    process: subprocess.Popen[bytes]

    def url(self, database: str, owner: str = "postgres") -> str:
        return f"postgresql://{owner}@/{database}?host={self.folder}"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # ends the sessions that are left; SIGTERM would wait for them
        try:
            self.process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(START_TIMEOUT)

    def start_again(self) -> None:
        """After a stop, with everything that it had."""
        self.process = served(self.folder, unprivileged(self.folder))
        wait_until_ready(self)

    def create(self, name: str, owner: str = "postgres") -> str:
        self.run("createdb", "--template", "template0", "--owner", owner, name)
        return self.url(name, owner)

    def drop(self, name: str) -> None:
        self.run("dropdb", "--force", name)

    def clear(self, name: str) -> None:
        """Delete all rows: to do so takes a tenth of the time of making another database."""
        tables = [table for table in reversed(metadata.sorted_tables) if table is not backend]
        commands = [str(delete(table)) for table in tables] + ["UPDATE backend SET ula = NULL, audited = 0"]
        self.run("psql", "--dbname", name, *(f"--command={command}" for command in commands))

    def cut_connections(self) -> None:
        """What a restart of the server does to its clients."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        self.query(f"{others} AND application_name = 'isthmus'")

    def query(self, statements: str, database: str = "postgres", timeout: float = START_TIMEOUT) -> None:
        """What somebody else does beside the servers of tests."""
        self.run("psql", "--dbname", database, "--command", statements, timeout=timeout)

    def run(self, name: str, *arguments: str, timeout: float = START_TIMEOUT) -> None:
        command = [program(name), "--host", str(self.folder), "--username", "postgres", "--no-password", *arguments]
        subprocess.run(command, timeout=timeout, check=True, capture_output=True)


def program(name: str) -> str:
    """Debian keeps the server's programs out of PATH, in a folder that names the version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(versions[-1]) if versions else name


def unprivileged(folder: Path) -> list[str]:
    """How to start PostgreSQL, which refuses to run as root; it ends when the process that started it does."""
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig", "INT"]
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig", "INT"]


def start_postgres(folder: Path) -> PostgresServer:
    as_user = unprivileged(folder)
    data = folder / "data"
    made = subprocess.run(
        [*as_user, program("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8"],
        cwd=folder,
        capture_output=True,
        timeout=START_TIMEOUT,
        check=False,
    )
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed: {made.stderr.decode()}")
    return PostgresServer(folder, served(folder, as_user))


def served(folder: Path, as_user: list[str]) -> subprocess.Popen[bytes]:
    """The process that serves what `initdb` has made there."""
    settings = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off"}
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    command = [*as_user, program("postgres"), "-D", str(folder / "data"), *options]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def wait_until_ready(server: PostgresServer) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while subprocess.run([program("pg_isready"), "-q", "-h", server.folder], timeout=10, check=False).returncode:
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {(server.folder / 'log').read_text()}")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="isthmus-postgres-"))
    try:
        server = start_postgres(folder)
        try:
            wait_until_ready(server)
            asyncio.run(migrate(server.create(MIGRATED)))
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "isthmus.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", POSTGRES])
def backend_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(backend_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database without content; the test runs once with each kind."""
    if backend_name == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "isthmus.db")
        yield f"sqlite:///{tmp_path / 'isthmus.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        yield server.url(MIGRATED)
        server.clear(MIGRATED)


@pytest.fixture
def empty_database_url(backend_name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that no server has ever used."""
    if backend_name == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        yield server.create("fresh")
        server.drop("fresh")


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    opened = await open_store(database_url)
    yield opened
    await opened.close()
