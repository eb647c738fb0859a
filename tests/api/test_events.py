"""The event stream: who hears of what, who hears nothing, and what a reader knows after it was away."""

import asyncio
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from isthmus.protocol import agent as agent_wire
from isthmus.protocol.notice import CLOSE_ACCESS_ENDED, CLOSE_GOING_AWAY, MANY
from isthmus.server.adapters.clock import SystemClock
from isthmus.server.adapters.events import hub
from isthmus.server.application.notices import notice
from tests.api.agent import Agent, Stream, a_name, a_network, a_peer
from tests.api.inprocess import Inside, inside
from tests.api.watcher import Watcher
from tests.builders import NOON
from tests.server import Server, running

SOON = 5.0
QUIET = 0.4


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    """A token that may read and nothing else."""
    return server.token("read")


async def silent(reader: Watcher | Stream) -> bool:
    """Whether nothing comes for a while."""
    try:
        async with asyncio.timeout(QUIET):
            await reader.next()
    except TimeoutError:
        return True
    return False


def of(network: Any) -> str:
    return f"?network={network['id']}"


def revision_of(admin: httpx2.Client, network: Any) -> int:
    return int(admin.get(f"/networks/{network['id']}").json()["revision"])


@pytest.mark.case("SEED-073")
async def test_everyone_whom_a_change_concerns_gets_one_notice_and_nobody_of_another_network_any(
    server: Server, admin: httpx2.Client, token: str
) -> None:
    first, second = a_network(admin), a_network(admin)
    jump = Agent.enrolled(server, a_peer(admin, first, kind="jump"))
    member = Agent.enrolled(server, a_peer(admin, first))
    far_jump = Agent.enrolled(server, a_peer(admin, second, kind="jump"))
    far = Agent.enrolled(server, a_peer(admin, second))
    agents: list[Stream] = [each.stream() for each in (jump, member, far_jump, far)]
    async with (
        agents[0],
        agents[1],
        agents[2],
        agents[3],
        Watcher(server, token, of(first)) as near,
        Watcher(server, token, of(second)) as other,
        Watcher(server, token) as everything,
    ):
        for stream in agents:
            await stream.next_of(agent_wire.Snapshot)
        admin.patch(f"/peers/{member.peer_id}", json={"isolated": True}).raise_for_status()
        revision = revision_of(admin, first)
        async with asyncio.timeout(SOON):
            for watcher in (near, everything):
                notice = await watcher.next()
                assert (notice.network, notice.revision, notice.event) == (first["id"], revision, "peer.changed")
                assert (notice.subject_kind, notice.subject) == ("peer", member.peer_id)
            for stream in agents[:2]:
                told = await stream.next_of(agent_wire.Snapshot, agent_wire.Delta)
                assert (told.revision if isinstance(told, agent_wire.Snapshot) else told.to) == revision
        for watcher in (near, everything, other):
            assert await silent(watcher)
        for stream in agents:
            assert await silent(stream)


async def test_every_kind_of_change_is_told(server: Server, admin: httpx2.Client, token: str) -> None:
    async with Watcher(server, token) as watcher, asyncio.timeout(SOON):
        network = a_network(admin)
        created = a_peer(admin, network)
        Agent.enrolled(server, created)
        static = a_peer(admin, network, kind="static")["peer"]["id"]
        admin.patch(f"/networks/{network['id']}", json={"mtu": 1380}).raise_for_status()
        admin.patch(f"/peers/{static}", json={"owner": "Ada"}).raise_for_status()
        admin.post(f"/peers/{static}/config/regenerate").raise_for_status()
        admin.delete(f"/peers/{static}").raise_for_status()
        revision = revision_of(admin, network)
        admin.delete(f"/networks/{network['id']}", params={"force": "true"}).raise_for_status()
        told = await watcher.until("network.deleted")
    peer = created["peer"]["id"]
    assert [(each.event, each.subject) for each in told] == [
        ("network.created", network["id"]),
        ("peer.created", peer),
        ("peer.enrolled", peer),
        ("peer.created", static),
        ("network.changed", network["id"]),
        ("peer.changed", static),
        ("peer.rekeyed", static),
        ("peer.deleted", static),
        ("network.deleted", network["id"]),
    ]
    assert [each.revision for each in told] == [*range(1, revision + 1), 0]
    assert {each.network for each in told} == {network["id"]}
    assert {each.subject_kind for each in told} == {"network", "peer"}


async def test_what_belongs_to_no_network_is_told_by_its_kind_to_who_hears_of_everything(
    server: Server, admin: httpx2.Client, token: str
) -> None:
    network = a_network(admin)
    async with (
        Watcher(server, token) as watcher,
        Watcher(server, token, of(network)) as elsewhere,
        asyncio.timeout(SOON),
    ):
        body = {"network_id": network["id"], "name": "printer", "address": "192.0.2.1", "ports": ["631"]}
        assert admin.post("/services", json=body).status_code == 422
        body["address"] = str(ip_network(network["cidr_v6"])[9])
        admin.post("/services", json=body).raise_for_status()
        told = await watcher.next()
        assert await silent(elsewhere)
    assert (told.event, told.subject_kind, told.network, told.subject) == ("service.changed", "service", "", "")


async def test_a_notice_holds_no_data(server: Server, admin: httpx2.Client, token: str) -> None:
    network = a_network(admin)
    async with Watcher(server, token, of(network)) as watcher, asyncio.timeout(SOON):
        created = a_peer(admin, network, owner="Ada")
        text = str(await watcher.connection.recv())
    assert json.loads(text).keys() == {"type", "network", "revision", "event", "subject_kind", "subject", "at"}
    for secret in (created["enrollment"]["token"], created["peer"]["name"], "Ada"):
        assert secret not in text


async def test_who_was_away_knows_by_the_hello_which_networks_to_read_again(
    server: Server, admin: httpx2.Client, token: str
) -> None:
    changed, same = a_network(admin), a_network(admin)
    async with Watcher(server, token) as watcher:
        before = watcher.hello.revisions
    assert before[same["id"]] == before[changed["id"]] == 1
    a_peer(admin, changed)
    async with Watcher(server, token) as watcher:
        after = watcher.hello.revisions
        assert await silent(watcher), "what is past is not told once more"
    assert {network for network in after if after[network] != before.get(network)} == {changed["id"]}
    async with Watcher(server, token, of(same)) as watcher:
        assert watcher.hello.revisions == {same["id"]: 1}


async def test_an_agent_that_comes_is_told_and_no_heartbeat_after_that(
    server: Server, admin: httpx2.Client, token: str
) -> None:
    network = a_network(admin)
    agent = Agent.enrolled(server, a_peer(admin, network))
    revision = revision_of(admin, network)
    async with Watcher(server, token, of(network)) as watcher, agent.stream() as stream, asyncio.timeout(SOON):
        nonce = (await stream.next_of(agent_wire.Hello)).nonce
        for _ in range(3):
            await stream.send(agent_wire.Heartbeat(nonce, revision))
            nonce = (await stream.next_of(agent_wire.Ack)).nonce
        online = await watcher.next()
        assert (online.event, online.subject, online.revision) == ("peer.online", agent.peer_id, revision)
        assert await silent(watcher)
    status = admin.get(f"/peers/{agent.peer_id}").json()["status"]
    assert status["state"] == "online"
    assert status["since"] <= status["last_seen"]


async def test_the_local_socket_hears_without_a_token(server: Server, admin: httpx2.Client) -> None:
    async with Watcher(server, None, local=True) as watcher, asyncio.timeout(SOON):
        network = a_network(admin)
        assert (await watcher.next()).subject == network["id"]


@pytest.mark.parametrize(
    ("bearer", "status", "code"),
    [(None, 401, "unauthenticated"), ("nonsense", 401, "unauthenticated"), ("write", 403, "forbidden")],
)
async def test_nobody_without_the_scope_hears_anything(
    server: Server, admin: httpx2.Client, bearer: str | None, status: int, code: str
) -> None:
    token = server.token("write", "admin") if bearer == "write" else bearer
    with pytest.raises(InvalidStatus) as refused:
        async with Watcher(server, token):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["code"] == code
    row = admin.get("/audit", params={"limit": 1}).json()["items"][0]
    assert (row["action"], row["outcome"], row["reason"]) == ("WS /api/v1/events", "denied", code)


async def test_an_agents_session_hears_nothing(server: Server, admin: httpx2.Client) -> None:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    with pytest.raises(InvalidStatus) as refused:
        async with Watcher(server, agent.session):
            pass
    assert refused.value.response.status_code == 403
    row = admin.get("/audit", params={"limit": 1}).json()["items"][0]
    assert (row["actor"], row["reason"]) == (f"agent:{agent.peer_id}", "forbidden")


@pytest.mark.parametrize(
    "query", ["?network=office", "?network=", "?after=1", "?network=%00", "?network=" + "f" * 5000]
)
async def test_a_question_that_makes_no_sense_is_refused(server: Server, token: str, query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with Watcher(server, token, query):
            pass
    assert refused.value.response.status_code == 422


async def test_what_a_reader_says_changes_nothing(server: Server, admin: httpx2.Client, token: str) -> None:
    async with Watcher(server, token) as watcher, asyncio.timeout(SOON):
        for text in ("", "{", b"\xff", "x" * 60_000):
            await watcher.connection.send(text)
        network = a_network(admin)
        assert (await watcher.next()).subject == network["id"]


async def test_a_token_that_is_taken_back_ends_its_streams_at_once_and_no_others(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, await server.admin() as admin:
        made = [(await admin.post("/tokens", json={"name": "screen", "scopes": ["read"]})).json() for _ in range(2)]
        async with Watcher(server, made[0]["token"]) as watcher, Watcher(server, made[1]["token"]) as other:
            (await admin.delete(f"/tokens/{made[0]['id']}")).raise_for_status()
            async with asyncio.timeout(1):
                assert await watcher.closed() == CLOSE_ACCESS_ENDED
            assert (await other.next()).event == "token.changed"
            assert await silent(other)


async def test_a_token_whose_time_is_over_ends_its_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "CHECK_SECONDS", 0.1)
    async with inside(tmp_path) as server, await server.admin() as admin:
        body = {"name": "screen", "scopes": ["read"], "lifetime": 60}
        made = (await admin.post("/tokens", json=body)).json()
        async with Watcher(server, made["token"]) as watcher, asyncio.timeout(SOON):
            monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(minutes=2))
            assert await watcher.closed() == CLOSE_ACCESS_ENDED


def stalling(server: Inside) -> socket.socket:
    """A connection whose kernel takes little for a reader who does not read."""
    host, _, port = server.address.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    sock.setblocking(False)
    return sock


async def test_a_reader_that_stalls_is_dropped_and_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SEND_SECONDS", 0.5)
    async with inside(tmp_path) as server, await server.admin() as admin:
        token = (await admin.post("/tokens", json={"name": "screen", "scopes": ["read"]})).json()["token"]
        stuck = Watcher(server, token, options={"sock": stalling(server), "max_queue": 1, "ping_interval": None})
        async with stuck, Watcher(server, token) as reader:
            lags, revision = [], 0
            while server.events.count == 2:
                revision += 1
                server.events.tell(notice("office", revision, "peer.changed", f"peer-{revision}", NOON))
                before = time.perf_counter()
                async with asyncio.timeout(SOON):
                    assert (await reader.next()).revision == revision
                lags.append(time.perf_counter() - before)
                assert revision < 100_000, "the reader was never dropped"
            assert max(lags) < 0.5
            # What its buffers held is all that it gets.
            async with asyncio.timeout(SOON):
                await stuck.closed()


async def test_a_reader_who_is_late_gets_one_notice_for_all_that_it_missed(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, await server.admin() as admin:
        token = (await admin.post("/tokens", json={"name": "screen", "scopes": ["read"]})).json()["token"]
        async with Watcher(server, token) as reader, asyncio.timeout(SOON):
            # Nothing can be sent before this function waits for something.
            for revision in range(1, 1001):
                server.events.tell(notice("office", revision, "peer.changed", "laptop", NOON))
            server.events.tell(notice("home", 1, "network.created", "home", NOON))
            told = [await reader.next(), await reader.next()]
            assert [(each.network, each.event, each.revision) for each in told] == [
                ("home", "network.created", 1),
                ("office", MANY, 1000),
            ]
            server.events.tell(notice("office", 1001, "peer.changed", "laptop", NOON))
            assert (await reader.next()).revision == 1001


async def test_a_server_that_stops_says_so(tmp_path: Path) -> None:
    with running(tmp_path / a_name()) as server:
        async with Watcher(server, server.token("read")) as watcher:
            await asyncio.to_thread(server.stop)
            assert await watcher.closed() == CLOSE_GOING_AWAY
