"""Servers that tests share."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conforming import judge
from tests.server import LOOKING_ON, Server, running
from tests.stores import POSTGRES, PostgresServer


@pytest.fixture(autouse=True)
def told_as_described() -> Iterator[None]:
    """Whatever a test of this folder is answered fits the OpenAPI document."""
    LOOKING_ON.append(judge)
    yield
    LOOKING_ON.remove(judge)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite that all tests of a worker share."""
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module", params=["sqlite", POSTGRES])
def either_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite, and one on PostgreSQL, for the tests of one module."""
    folder: Path = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        with running(folder) as started:
            yield started
        return
    database: PostgresServer = request.getfixturevalue("postgres")
    name = request.node.path.stem
    with running(folder, database_url=database.create(name)) as started:
        yield started
    database.drop(name)


@pytest.fixture(scope="session")
def admin(server: Server) -> Iterator[httpx2.Client]:
    """Calls with all scopes."""
    with server.client(server.token("read", "write", "admin")) as client:
        yield client
