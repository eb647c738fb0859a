"""What a running server says of its health while its database goes away and comes back."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from lab.waiting import wait_until
from tests.server import running
from tests.stores import PostgresServer, start_postgres, wait_until_ready

SOON = 20.0


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """One that the test may stop."""
    # The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="isthmus-postgres-"))
    server = start_postgres(folder)
    try:
        wait_until_ready(server)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.mark.case("SEED-111")
def test_without_its_database_a_server_is_alive_but_not_ready_until_that_is_back(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    with running(tmp_path, database_url=own_postgres.create("health")) as server, server.client() as client:

        def health() -> tuple[int, str, str]:
            answer = client.get("/health/ready")
            return answer.status_code, answer.json()["status"], answer.json()["parts"]["store"]

        def live() -> httpx2.Response:
            return client.get("/health/live").raise_for_status()

        assert health() == (200, "ready", "ok")
        own_postgres.stop()
        wait_until(lambda: health() == (503, "not_ready", "not writable"), within=SOON, what="readiness to end")
        assert live().json() == {"status": "alive"}
        own_postgres.start_again()
        wait_until(lambda: health() == (200, "ready", "ok"), within=SOON, what="readiness to return")
        assert live().json() == {"status": "alive"}
