"""A newer release on the database of the one before, by real servers: everything is still there."""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from isthmus.domain.mesh.network import DirectPaths
from isthmus.server.adapters.db import open_store
from tests.api.agent import Agent, a_network, a_peer, a_public_key, enroll_body
from tests.previous import MADE_AT, Before, filled
from tests.server import Server, free_port, refused_start, running
from tests.stores import POSTGRES, PostgresServer
from tests.tables import contents, on_connection

NEWEST = "0018"
SERVERS = 3


@dataclass
class Place:
    """A database without content, and how to start servers on it. Only PostgreSQL takes more than one at a time."""

    url: str
    folder: Path

    def server(self, name: str = "server") -> contextlib.AbstractContextManager[Server]:
        return running(self.folder / name, database_url=self.url)


@pytest.fixture(params=["sqlite", POSTGRES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path / 'isthmus.db'}", tmp_path)
        return
    database: PostgresServer = request.getfixturevalue("postgres")
    yield Place(database.create("upgrade"), tmp_path)
    database.drop("upgrade")


def version_of(url: str) -> list[str]:
    def read(connection: Connection) -> list[str]:
        return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())

    return asyncio.run(on_connection(url, read))


def check_works(server: Server) -> None:
    """A network, a jump peer and an agent, from nothing."""
    with server.client(server.token("read", "write")) as admin:
        network = a_network(admin)
        gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
        config = Agent.enrolled(server, a_peer(admin, network)).config().config
    assert config is not None
    assert config.neighbours[0].public_key == gw.public_key


@pytest.mark.case("SEED-099")
def test_a_server_makes_its_schema_in_an_empty_database_once(place: Place) -> None:
    for _ in range(2):
        with place.server() as server:
            check_works(server)
    assert version_of(place.url) == [NEWEST]


@pytest.mark.case("SEED-099")
def test_a_server_goes_on_with_the_database_of_the_previous_release(place: Place) -> None:
    before = asyncio.run(filled(place.url))
    assert version_of(place.url) == ["0001"]
    with place.server() as server:
        assert version_of(place.url) == [NEWEST]
        check_kept(server, before)
        check_works(server)
    asyncio.run(check_rows(place.url, before))


def check_kept(server: Server, before: Before) -> None:
    """The old tokens and sessions open what they opened, and what they open is what it was."""
    with server.client(before.api_token) as client:
        network = client.get(f"/networks/{before.network}").raise_for_status().json()
        # The states of that moment are the one revision more: with them the history of configs begins.
        now = before.revision + 1
        assert (network["name"], network["cidr_v4"], network["revision"]) == ("office", "10.20.0.0/24", now)
        peers = {peer["name"]: peer for peer in client.get("/peers").raise_for_status().json()["items"]}
        assert {name: peer["id"] for name, peer in peers.items()} == {
            name: str(peer_id) for name, peer_id in before.peers.items()
        }
        assert {name: peer["public_key"] for name, peer in peers.items()} == {**before.keys, "waiting": None}
        assert peers["laptop"]["status"]["hostname"] == "moon"
        assert peers["laptop"]["additional_allowed_ips"] == ["192.168.9.0/24"]
    for name, session in before.sessions.items():
        with server.client(session) as agent:
            config = agent.get("/agent/config").raise_for_status().json()["config"]
        assert config["public_key"] == before.keys[name]
        assert set(before.keys.values()) - {before.keys[name], *phones(name, before)} <= {
            neighbour["public_key"] for neighbour in config["neighbours"]
        }
    with server.client() as anyone:
        body = enroll_body(before.enrollment_token, public_key=a_public_key())
        enrolled = anyone.post("/agent/enroll", json=body).raise_for_status().json()
    assert enrolled["peer"]["name"] == "waiting"
    assert enrolled["config"]["addresses"] == ["10.20.0.3", "fd75:bd09:2254:1::3"]


def phones(name: str, before: Before) -> list[str]:
    """Keys that a peer of this name is not told: those without an agent are their jump peers' affair."""
    return [] if name == "gw" else [before.keys["phone"]]


async def check_rows(url: str, before: Before) -> None:
    """What the step to the newest schema made of rows that knew nothing of it."""
    store = await open_store(url)
    try:
        async with store.reading() as tx:
            network = await tx.networks.get(before.network)
            peers = {peer.name: peer for peer in await tx.peers.of_network(before.network)}
            changes = await tx.journal.changes(before.network, 0, 100)
        assert (network.direct_paths, network.agents, network.key_max_age) == (DirectPaths.AUTO, 2, 0)
        for name in ("gw", "laptop", "phone"):
            assert peers[name].key_changed_at == peers[name].created_at
            assert int(peers[name].created_at.timestamp()) == MADE_AT // 1_000_000
        # One for the start, and one for who enrolled then.
        assert [change.revision for change in changes] == list(range(1, before.revision + 3))
        assert {change.keys for change in changes[: before.revision]} == {()}
    finally:
        await store.close()


@pytest.mark.case("SEED-099")
@pytest.mark.parametrize("place", [POSTGRES], indirect=True)
def test_servers_that_start_at_once_on_the_previous_schema_take_the_step_once(place: Place) -> None:
    before = asyncio.run(filled(place.url))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(SERVERS) as pool:
        starts = [pool.submit(stack.enter_context, place.server(f"server-{number}")) for number in range(SERVERS)]
        for start in starts:
            with start.result().client(before.api_token) as client:
                assert client.get(f"/networks/{before.network}").json()["name"] == "office"
    assert version_of(place.url) == [NEWEST]


@pytest.mark.case("SEED-099")
def test_a_server_refuses_a_newer_schema_and_leaves_it_alone(place: Place) -> None:
    with place.server():
        pass

    def claim(version: str) -> None:
        def write(connection: Connection) -> None:
            connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})

        asyncio.run(on_connection(place.url, write))

    claim("9999")
    before = asyncio.run(contents(place.url))
    settings = {
        "data_dir": str(place.folder / "server" / "data"),
        "listen": f"127.0.0.1:{free_port()}",
        "database_url": place.url,
    }
    done = refused_start(settings)
    assert done.returncode == 1, done.stderr
    for word in ("schema 9999", "start the newer isthmus", "restore a backup"):
        assert word in done.stderr
    assert asyncio.run(contents(place.url)) == before
    assert version_of(place.url) == ["9999"]
    claim(NEWEST)
    with place.server() as server, server.local() as local:
        assert local.get("/health/ready").status_code == 200
