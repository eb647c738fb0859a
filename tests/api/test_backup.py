"""A backup of a backend under load becomes the whole backend on an empty machine, on either database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.protocol import agent as wire
from isthmus.server.backup import restore
from isthmus.server.settings import load
from lab.waiting import wait_until
from tests.api.agent import Agent, a_peer
from tests.api.backups import PASSPHRASE, Full, Load, Tables, a_full_backend, backup, done, tables_of, under_load, where
from tests.api.follower import following
from tests.api.test_kept_secrets import key_in, of_file
from tests.server import Server
from tests.stores import POSTGRES, PostgresServer

SOON = 20.0
# What the restored backend does not share with the lost one: agents must not take its configs for older ones.
COUNTERS = frozenset({"revision", "jump_revision", "shared_revision", "history_begins"})
CHAIN = ("audit_log", "audit_links", "audit_seals")
# What the load makes more of, and what the server does by itself.
MOVES = {"networks", "peers", "holdings", "free_ranges", "enrollment_tokens", "revision_log", "backend", *CHAIN}
# `federation` counts what its Federator was told.
NOTED = {"federation", "peer_statuses", "api_tokens", "outbox", "outbox_lanes", "remote_findings"}
MANY = 6


@dataclass
class Lost:
    """A backend of which a backup was made under load, and which went on for a while until its machine was gone; `last`
    was made when its server had stopped. `before` and `after` are its tables before the load and at its end; `safe`
    were made before the backup was begun, and all that were made before its end are among `asked`."""

    full: Full
    file: Path
    last: Path
    data: Path
    before: Tables
    after: Tables
    load: Load
    safe: list[str]
    asked: list[str]
    said: dict[str, Any]
    revisions: dict[str, int]


@pytest.fixture(scope="module", params=["sqlite", POSTGRES])
def lost(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lost]:
    folder, settings = tmp_path_factory.mktemp("lost"), {}
    if request.param == POSTGRES:
        database: PostgresServer = request.getfixturevalue("postgres")
        settings["database_url"] = database.create("lost")
    server = Server(folder, settings)
    full = a_full_backend(server)
    try:
        yield asyncio.run(made_and_lost(full, folder / "office.backup"))
    finally:
        server.kill()
        if request.param == POSTGRES:
            database.drop("lost")


async def made_and_lost(full: Full, file: Path) -> Lost:
    server, last = full.server, file.with_name("last.backup")
    settings = where(server)
    async with following(full.gateway, full.laptop) as followers:
        before = await at_rest(full.url)
        with under_load(server, full.token) as load:
            await asyncio.to_thread(wait_until, lambda: len(load.made) >= MANY, within=SOON, what="some load")
            safe = list(load.made)
            done(await asyncio.to_thread(backup, "create", file, **settings))
            asked = list(load.asked)
            more = len(load.made) + MANY
            await asyncio.to_thread(wait_until, lambda: len(load.made) >= more, within=SOON, what="more load")
        said = done(await asyncio.to_thread(backup, "verify", file))
        # The network goes on, and so do its agents.
        with server.client(full.token) as admin:
            later = [Agent.enrolled(server, a_peer(admin, full.network, kind="jump")) for _ in range(3)]
        for each in followers:
            await each.until(lambda now: all(now.neighbour(other) for other in later))
        revisions = {each.agent.peer_id: each.revision for each in followers}
    server.stop()
    done(backup("create", last, **settings))
    return Lost(full, file, last, server.data, before, await tables_of(full.url), load, safe, asked, said, revisions)


async def at_rest(url: str) -> Tables:
    """The tables once the server has done what follows from what it found."""
    before: Tables = {}
    found = await tables_of(url)
    while any(found[name] != before.get(name) for name in found.keys() - NOTED):
        await asyncio.sleep(1)
        found, before = await tables_of(url), found
    return found


@dataclass
class Place:
    """An empty machine, which is given the address of the lost one."""

    server: Server
    url: str
    settings: dict[str, str]


@pytest.fixture(params=["sqlite", POSTGRES])
def place(request: pytest.FixtureRequest, tmp_path: Path, lost: Lost) -> Iterator[Place]:
    settings = {"listen": lost.full.server.address}
    if request.param == POSTGRES:
        database: PostgresServer = request.getfixturevalue("postgres")
        settings["database_url"] = database.create("place")
    server = Server(tmp_path, settings)
    url = server.settings.get("database_url", f"sqlite:///{server.data / 'isthmus.db'}")
    yield Place(server, url, where(server))
    server.kill()
    if request.param == POSTGRES:
        database.drop("place")


@asynccontextmanager
async def restored(lost: Lost, place: Place) -> AsyncIterator[Tables]:
    """The backend lives at the place; its tables before it was started."""
    done(backup("restore", lost.file, **place.settings))
    tables = await tables_of(place.url)
    place.server.start()
    try:
        yield tables
    finally:
        place.server.stop()


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in COUNTERS} for row in rows]


def of(rows: list[dict[str, Any]], network: Any) -> list[dict[str, Any]]:
    return [row for row in rows if str(row["network_id"]) == network["id"]]


def check_equal(lost: Lost, found: Tables) -> None:
    """Every table is what it was at one moment between the beginning and the end of the backup."""
    for name, rows in lost.before.items():
        if name not in MOVES | NOTED:
            assert found[name] == rows, name
    for name in ("incidents", "blocked_peers", "bridges", "grants", "services", "remotes", "sessions", "kept_keys"):
        assert found[name], name
    assert bare(found["networks"])[0] == bare(lost.before["networks"])[0]
    # The network that stood still is there to the last row, and of its history what was before.
    for name in ("peers", "holdings", "free_ranges", "revision_log"):
        ours = of(found[name], lost.full.network)
        assert ours[: len(lost.before[name])] == of(lost.before[name], lost.full.network), name
    check_one_moment(lost, found)
    check_chain(lost, found)


def check_one_moment(lost: Lost, found: Tables) -> None:
    """Of what the load did there is all up to one moment, in every table alike."""
    network = lost.load.network
    busy = [peer["name"] for peer in of(found["peers"], network)]
    assert busy == lost.load.asked[: len(busy)]
    assert len(lost.safe) <= len(busy) <= len(lost.asked)
    made = {peer["id"]: peer for peer in of(lost.after["peers"], network)}
    assert of(found["peers"], network) == [made[peer["id"]] for peer in of(found["peers"], network)]
    assert len(of(found["holdings"], network)) == 1 * len(busy)
    log = [(row["revision"], row["event"]) for row in of(found["revision_log"], network)]
    known = [(row["revision"], row["event"]) for row in of(lost.after["revision_log"], network)]
    # One for the network itself, one for each peer, and where it goes on.
    assert log[:-1] == known[: len(busy) + 1]
    assert log[-1][1] == "network.checkpoint"
    (row,) = [row for row in found["networks"] if str(row["id"]) == network["id"]]
    assert (row["agents"], row["revision"]) == (len(busy), log[-1][0])


def check_chain(lost: Lost, found: Tables) -> None:
    """All rows, links and seals until the backup are the same; one row more says that it was restored."""
    *log, last = found["audit_log"]
    assert log == lost.after["audit_log"][: len(log)]
    assert len(log) == lost.said["audit"]["rows"] == last["number"] - 1 == found["backend"][0]["audited"] - 1
    assert (last["action"], last["actor"], last["outcome"]) == ("backup.restore", "local", "done")
    for name in ("audit_links", "audit_seals"):
        assert found[name], name
        assert found[name] == lost.after[name][: len(found[name])], name
    assert lost.said["audit"]["fault"] is None
    assert lost.said["audit"]["seals"] == len(found["audit_seals"])


@pytest.mark.case("SEED-116")
async def test_a_backup_restores_the_whole_backend(lost: Lost, place: Place) -> None:
    async with restored(lost, place) as found:
        check_equal(lost, found)
        check_files(lost, place)
        check_secrets(lost, place)
        await check_agents(lost, place)
        await check_log(place)


def check_files(lost: Lost, place: Place) -> None:
    """The CA, leaves and keys are the same files, for the owner alone."""
    names = ["vault.key", *(str(each.relative_to(lost.data)) for each in (lost.data / "federation").rglob("*"))]
    files = [name for name in names if (lost.data / name).is_file()]
    assert len(files) > 10
    for name in files:
        assert (place.server.data / name).read_bytes() == (lost.data / name).read_bytes(), name
        assert (place.server.data / name).stat().st_mode & 0o077 == 0, name
        assert (place.server.data / name).is_symlink() == (lost.data / name).is_symlink(), name
    folders = [each for each in place.server.data.rglob("*") if each.is_dir()]
    assert {each.stat().st_mode & 0o077 for each in folders} == {0}


def check_secrets(lost: Lost, place: Place) -> None:
    """What was sealed opens, who had a token or a password still has it, and bridge and grant are in force."""
    full = lost.full
    with place.server.client(full.token) as admin:
        config = admin.get(f"/peers/{full.phone['peer']['id']}/config").raise_for_status().text
        assert key_in(full.phone["config"]["text"]) in config
        assert admin.get(f"/grants/{full.grant}").json()["state"] == "live"
        assert admin.get(f"/bridges/{full.bridge}").json()["state"] == "active"
        incidents = admin.get("/incidents").json()["items"]
        assert sorted(each["state"] for each in incidents) == ["open", "resolved"]
    with place.server.client() as anyone:
        login = {"username": "admin", "password": full.server.password}
        assert anyone.post("/auth/login", json=login).status_code < 300


async def check_agents(lost: Lost, place: Place) -> None:
    """Agents go on with the session that they have, and take what they are told, however far they had come."""
    full = lost.full
    gateway, laptop, copied = [
        Agent(place.server, each.peer_id, each.public_key, each.token, each.session)
        for each in (full.gateway, full.laptop, full.copied)
    ]
    for each in (gateway, laptop):
        async with each.stream(lost.revisions[each.peer_id]) as stream:
            told = await stream.next_of(wire.Snapshot, wire.Delta, wire.Unchanged)
        assert isinstance(told, wire.Snapshot)
        assert told.revision > lost.revisions[each.peer_id]
        assert {lost.full.gateway.public_key} <= {
            each.public_key,
            *(other.public_key for other in told.config.neighbours),
        }
    async with following(gateway, laptop) as followers:
        for follower in followers:
            await follower.beat()
        with place.server.client(full.token) as admin:
            third = a_peer(admin, full.network, kind="jump")
        joined = Agent.enrolled(place.server, third)
        for follower in followers:
            await follower.until(lambda now: now.neighbour(joined) is not None)
        assert not [each for follower in followers for each in follower.refused]
    with copied.client() as client:
        assert client.get("/agent/config").json()["code"] == "agent_blocked"
    with place.server.client(full.token) as admin:
        rows = admin.get("/audit", params={"limit": 100, "action": "agent.enroll*"}).json()["items"]
        enrolled = [row for row in rows if row["number"] > lost.said["audit"]["rows"]]
        assert [row["subject"] for row in enrolled] == [joined.peer_id]
        assert len(admin.get("/incidents").json()["items"]) == 2


async def check_log(place: Place) -> None:
    """The chain of the audit log goes on where it was."""
    found = await at_rest(place.url)
    assert found["backend"][0]["audited"] == len(found["audit_log"]) == len(found["audit_links"])


@pytest.mark.case("SEED-116")
async def test_every_row_of_every_table_comes_back_as_it_was(lost: Lost, place: Place) -> None:
    settings = load(None, place.settings, {})
    await asyncio.to_thread(restore, settings, lost.last, PASSPHRASE)
    found = await tables_of(place.url)
    assert bare(found["networks"]) == bare(lost.after["networks"])
    assert [row.pop("audited") for row in found["backend"]] == [lost.after["backend"][0]["audited"] + 1]
    assert found["audit_log"].pop()["action"] == "backup.restore"
    begins = [row for row in found["revision_log"] if row["revision"] > 1_000_000]
    assert {row["event"] for row in begins} == {"network.checkpoint"}
    assert len(begins) == len(found["networks"]) == 2
    found["revision_log"] = [row for row in found["revision_log"] if row not in begins]
    for name in found.keys() - {"networks", "backend"}:
        assert found[name] == lost.after[name], name
    assert found.keys() == lost.after.keys()


@pytest.mark.case("SEED-116")
def test_nothing_in_a_backup_can_be_read_without_its_passphrase(lost: Lost) -> None:
    assert lost.file.stat().st_mode & 0o777 == 0o600
    sealed = lost.file.read_bytes()
    files = [each for each in (lost.data / "federation").rglob("*") if each.is_file() and "nginx" not in each.parts]
    secrets = [each for path in (lost.data / "vault.key", *files) for each in of_file(path.read_bytes())]
    kept = lost.before["kept_keys"][0]["sealed"]
    digests = [row["digest"] for name in ("sessions", "api_tokens") for row in lost.before[name]]
    names = [lost.full.phone["peer"]["name"].encode(), b"office", b"a.example", lost.full.gateway.public_key.encode()]
    assert len(secrets) > 10
    for each in (*secrets, kept, *digests, *names):
        assert len(each) > 4
        assert each not in sealed
    # The benign twin: what it was made of has them, letter by letter.
    everything = b"".join(path.read_bytes() for path in lost.data.rglob("*") if path.is_file())
    assert any(each in everything for each in secrets)
    if "database_url" not in lost.full.server.settings:
        assert all(each in everything for each in (kept, *digests, *names))
