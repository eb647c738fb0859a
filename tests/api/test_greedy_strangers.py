"""Whoever has not said who they are gets a little of each listener's time and room, however many they are.

What the catalogue's thousand sockets of two hundred clients each come to here stands in docs/decisions/0087.
"""

import asyncio
import contextlib
import json
import resource
import sqlite3
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bench.procfs import resident_bytes
from isthmus.protocol import agent as wire
from lab.waiting import wait_until
from tests.api.agent import Stream, a_network, a_peer, enroll_body, heartbeat
from tests.api.hoard import ENDLESS, PIECE, End, Hoard, Target, pour
from tests.server import API, Server, free_port, running

CLIENTS = 200
HOARDERS, IDLE, KEPT = 3, 1_000, 256
FILES = 16_384
MIB = 1024 * 1024
HUGE = 100 * MIB
# So much is thrown away at most, and what the kernel has taken meanwhile.
ON_THE_WAY = 10 * MIB
# Each may have one body of the bound under way, and what TLS has read of the next bytes.
# A body each and as much again under TLS, and what Python has not given back yet; one of them would send 100 MiB.
CEILING = CLIENTS * MIB
IDLE_CEILING = 48 * MIB
# After those who are too many have gone, those who may wait are cut for having waited for too long.
LATER_SECONDS = 2.0
PROMPT_SECONDS = 10.0
CUT_SECONDS = 15.0
BEAT_SECONDS = 0.1
# What is said of those who do as they should: when they were heard of last.
LOGS = tuple(f'INSERT INTO "{name}"' for name in ("audit_log", "audit_links", "backend", "peer_statuses", "api_tokens"))


@dataclass
class Place:
    """A server with a listener for people and one for agents, and an agent at work."""

    server: Server
    people: Target
    agents: Target
    session: str
    trusted: ssl.SSLContext | None

    def stream(self) -> Stream:
        return Stream(self.server.settings["agent_listen"], self.session, tls=self.trusted)

    def rows(self, since: int) -> list[Any]:
        with self.server.local() as local:
            items = local.get("/audit", params={"limit": 1000}).raise_for_status().json()["items"]
        return [row for row in items if row["number"] > since]

    def last_row(self) -> int:
        return int(self.rows(0)[0]["number"])

    def state(self) -> list[str]:
        """The whole database but its audit log and who was heard of."""
        with closing(sqlite3.connect(self.server.data / "isthmus.db")) as database:
            return [line for line in database.iterdump() if not line.startswith(LOGS)]


@pytest.fixture(scope="module", autouse=True)
def many_files() -> None:
    """As many as we may have: servers that are started here inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < FILES:
        pytest.fail(f"a process may open {most} files: ulimit -Hn {FILES}")


@pytest.fixture(scope="module", params=["plain", "tls"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("greedy")
    ports = free_port(), free_port()
    settings = {"listen": f"127.0.0.1:{ports[0]}", "agent_listen": f"127.0.0.1:{ports[1]}"}
    trusted = None
    if request.param == "tls":
        cert, key = certificate(folder)
        settings |= {"tls_certificate": str(cert), "tls_key": str(key)}
        trusted = ssl.create_default_context(cafile=str(cert))
    with running(folder / "server", **settings) as server:
        with server.local() as local:
            created = a_peer(local, a_network(local))
            enrolled = local.post("/agent/enroll", json=enroll_body(created["enrollment"]["token"]))
        session = enrolled.raise_for_status().json()["session_token"]
        people = Target("people", ports[0], f"{API}/networks", trusted)
        yield Place(server, people, Target("agents", ports[1], f"{API}/agent/enroll", trusted), session, trusted)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *names, "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "cert.pem", folder / "key.pem"


@contextlib.asynccontextmanager
async def at_work(place: Place, beats: list[float], memory: list[int]) -> AsyncIterator[None]:
    """An agent beats until the block ends, over the one stream that it has all the time; beside it the server's memory
    is looked at. Each beat is the seconds until it was acknowledged."""
    async with place.stream() as stream:
        tasks = [asyncio.create_task(each) for each in (beat(stream, beats), look_at(place.server.pid, memory))]
        await asyncio.sleep(2 * BEAT_SECONDS)
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def beat(stream: Stream, beats: list[float]) -> None:
    clock = asyncio.get_running_loop().time
    nonce = (await stream.next_of(wire.Hello)).nonce
    while True:
        began = clock()
        await stream.send(json.dumps(heartbeat(nonce) | {"type": "heartbeat"}))
        nonce = (await stream.next_of(wire.Ack)).nonce
        beats.append(clock() - began)
        await asyncio.sleep(BEAT_SECONDS)


async def look_at(pid: int, seen: list[int]) -> None:
    while True:
        seen.append(resident_bytes(pid))
        await asyncio.sleep(BEAT_SECONDS)


JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
TOO_LARGE, TOO_LONG = (413, "body_too_large"), (431, "headers_too_large")
GREED: dict[str, tuple[Callable[[Target], bytes], bytes, tuple[int, str]]] = {
    "an announced body": (lambda to: to.head(JSON, f"Content-Length: {HUGE}", ""), PIECE, TOO_LARGE),
    "a body without end": (lambda to: to.head(JSON, CHUNKED, ""), b"10000\r\n%s\r\n" % PIECE, TOO_LARGE),
    "headers without end": (lambda to: to.head(), ENDLESS, TOO_LONG),
    "a header without end": (lambda to: to.head() + b"X-Endless: ", PIECE, TOO_LONG),
    "a path without end": (lambda to: b"POST /", PIECE, TOO_LONG),
    "trailers without end": (lambda to: to.head(JSON, CHUNKED, "") + b"0\r\n", ENDLESS, TOO_LONG),
}


BODIES, HEADS = list(GREED)[:2], list(GREED)[2:]


async def greed_of_all(targets: Sequence[Target], kinds: Sequence[str]) -> list[tuple[str, End]]:
    """Each client sends one of `kinds` to one of `targets`, all at once."""

    async def greed(client: int) -> tuple[str, End]:
        target, kind = targets[client % 2], kinds[client // 2 % len(kinds)]
        begun, piece, _ = GREED[kind]
        return kind, await pour(target, client, begun(target), piece, HUGE)

    return await asyncio.gather(*(greed(client) for client in range(CLIENTS)))


def counted(rows: list[Any]) -> Counter[str]:
    """How many denials the rows of strangers stand for, by their reason."""
    found: Counter[str] = Counter()
    for row in rows:
        assert (row["actor"], row["outcome"]) == ("anyone", "denied")
        found[row["reason"]] += row["facts"].get("left_out", 1)
    return found


@pytest.mark.timeout(120)
@pytest.mark.case("DOS-005")
async def test_nothing_is_buffered_of_strangers_who_send_without_end(place: Place) -> None:
    beats: list[float] = []
    memory: list[int] = []
    before, refused, listeners = place.last_row(), Counter[str](), (place.people, place.agents)
    async with at_work(place, beats, memory):
        state = place.state()
        for kinds in (BODIES, HEADS):
            for kind, end in await asyncio.to_thread(uvloop.run, greed_of_all(listeners, kinds)):
                assert end.told == GREED[kind][2], kind
                assert end.taken < ON_THE_WAY, kind
                refused[end.code] += 1
        await asyncio.to_thread(wait_until, lambda: counted(place.rows(before)) == refused, within=10, what="rows")
    assert place.state() == state
    assert max(memory) - memory[0] < CEILING
    assert max(beats) < PROMPT_SECONDS
    # Bodies that grew have a row each; everything else is summed up once a second.
    assert sum(row["reason"] == TOO_LONG[1] for row in place.rows(before)) < CLIENTS / 2


@pytest.mark.timeout(120)
@pytest.mark.case("DOS-005")
async def test_idle_sockets_are_cut_the_oldest_first_and_others_are_served(place: Place) -> None:
    beats: list[float] = []
    memory: list[int] = []
    token = place.server.token("read")
    before, hoard, listeners = place.last_row(), Hoard(), (place.people, place.agents)
    too_many = len(listeners) * HOARDERS * (IDLE - KEPT)
    async with at_work(place, beats, memory):
        state = place.state()
        known = await Kept.at(place.people, 0)
        assert await known.asked("/networks", token) == 200
        idle = [await Kept.at(place.people, client) for client in (0, HOARDERS)]
        await asyncio.gather(*(hoard.open(each, client, IDLE) for each in listeners for client in range(HOARDERS)))
        assert hoard.ends.total() == 0
        slow = asyncio.create_task(trickle(place.agents))
        # Others are served, be they at one of these addresses.
        for each in idle:
            assert await each.asked("/health/live") == 200
            each.writer.close()
        gone = await hoard.have_ended(too_many)
        assert await hoard.have_ended(2 * HOARDERS * IDLE) - gone > LATER_SECONDS
        # Whoever has said who they are keeps their connection, in spite of all those at their address.
        assert await known.asked("/networks", token) == 200
        known.writer.close()
        assert await slow < CUT_SECONDS
    if place.trusted is None:
        assert hoard.ends == {(429, "connection_limit"): too_many, (0, ""): 2 * HOARDERS * KEPT}
        wait_until(lambda: counted(place.rows(before))["connection_limit"] == too_many, within=10, what="rows")
        assert len(place.rows(before)) < 10
    else:
        # Nothing can be said to somebody who has shaken no hands.
        assert hoard.ends == {(0, ""): 2 * HOARDERS * IDLE}
        assert place.rows(before) == []
    assert place.state() == state
    assert max(memory) - memory[0] < IDLE_CEILING
    assert max(beats) < PROMPT_SECONDS


@dataclass
class Kept:
    """A connection of somebody who waits for each answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def at(cls, target: Target, client: int) -> "Kept":
        return cls(*await target.connected(client))

    async def asked(self, path: str, token: str | None = None) -> int:
        """The status of one small request."""
        lines = [f"GET {API}{path} HTTP/1.1", "Host: 127.0.0.1", *([f"Authorization: Bearer {token}"] if token else [])]
        async with asyncio.timeout(PROMPT_SECONDS):
            self.writer.write("\r\n".join([*lines, "", ""]).encode())
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            await self.reader.readexactly(length)
        return int(head[9:12])


async def trickle(target: Target) -> float:
    """Send a head byte by byte; returns the seconds until somebody has had enough."""
    reader, writer = await target.connected(CLIENTS)
    writer.write(target.head())
    begun = asyncio.get_running_loop().time()
    end = asyncio.create_task(reader.read())
    while not (await asyncio.wait([end], timeout=0.5))[0]:
        writer.write(b"x")
    end.exception()
    writer.close()
    return asyncio.get_running_loop().time() - begun
