"""The agents' stream: what it says, to whom, and what ends it."""

import asyncio
import contextlib
import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from isthmus.protocol import agent as wire
from lab.waiting import wait_until
from tests.api.agent import Agent, Stream, a_network, a_peer, heartbeat
from tests.server import API, Server

SOON = 5.0


@pytest.fixture
def agent(server: Server, admin: httpx2.Client) -> Agent:
    """An enrolled dynamic peer in a network of its own."""
    return Agent.enrolled(server, a_peer(admin, a_network(admin)))


def beat(nonce: str, hostname: str = "host") -> wire.Heartbeat:
    return msgspec.convert(heartbeat(nonce, hostname) | {"type": "heartbeat"}, wire.Heartbeat)


async def silent(stream: Stream, seconds: float = 0.3) -> bool:
    """Whether nothing comes for a while."""
    try:
        async with asyncio.timeout(seconds):
            await stream.next()
    except TimeoutError:
        return True
    return False


async def test_a_stream_begins_with_hello_and_the_whole_config(agent: Agent) -> None:
    async with agent.stream() as stream:
        hello, snapshot = await stream.next(), await stream.next()
    assert isinstance(hello, wire.Hello)
    assert isinstance(snapshot, wire.Snapshot)
    answer = agent.config()
    assert (snapshot.revision, snapshot.config) == (answer.revision, answer.config)


async def test_who_has_the_present_revision_is_told_that_nothing_changed(agent: Agent) -> None:
    revision = agent.config().revision
    async with agent.stream(revision) as stream:
        await stream.next_of(wire.Hello)
        assert await stream.next() == wire.Unchanged(revision)
    async with agent.stream(revision - 1) as stream:
        await stream.next_of(wire.Hello)
        assert isinstance(await stream.next(), wire.Snapshot)


async def test_each_heartbeat_is_acknowledged_with_the_nonce_of_the_next(agent: Agent, admin: httpx2.Client) -> None:
    async with agent.stream() as stream:
        nonces = [(await stream.next_of(wire.Hello)).nonce]
        for _ in range(3):
            await stream.send(beat(nonces[-1]))
            nonces.append((await stream.next_of(wire.Ack)).nonce)
        assert len(set(nonces)) == 4
        assert admin.get(f"/peers/{agent.peer_id}").json()["status"]["hostname"] == "host"

        await stream.send(beat(nonces[0], hostname="impostor"))
        refused = await stream.next_of(wire.Refused)
        assert refused.code == "replay_detected"
        assert admin.get(f"/peers/{agent.peer_id}").json()["status"]["hostname"] == "host"
        await stream.send(beat(refused.nonce))
        await stream.next_of(wire.Ack)


async def test_what_was_applied_is_shown(agent: Agent, admin: httpx2.Client) -> None:
    def status() -> dict[str, object]:
        return dict(admin.get(f"/peers/{agent.peer_id}").json()["status"])

    async with agent.stream() as stream:
        snapshot = await stream.next_of(wire.Snapshot)
        await stream.send(wire.Applied(snapshot.revision, 12))
        await asyncio.to_thread(
            wait_until, lambda: status()["applied_revision"] == snapshot.revision, within=SOON, what="the revision"
        )
        assert status()["connected"] is True
        await stream.send(wire.Applied(snapshot.revision + 1, 12, "no such device"))
        await asyncio.to_thread(
            wait_until, lambda: status()["applied_error"] == "no such device", within=SOON, what="the error"
        )
        assert status()["applied_revision"] == snapshot.revision
    await asyncio.to_thread(wait_until, lambda: not status()["connected"], within=SOON, what="the end of the stream")


async def test_a_change_reaches_those_whom_it_concerns_and_nobody_else(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    member, quiet = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    stranger = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    async with gw.stream() as hub, member.stream() as own, quiet.stream() as other, stranger.stream() as far:
        for stream in (hub, own, other, far):
            await stream.next_of(wire.Snapshot)
        admin.patch(f"/peers/{member.peer_id}", json={"full_encapsulation": True}).raise_for_status()
        desired = admin.get(f"/peers/{member.peer_id}").json()["desired_revision"]
        async with asyncio.timeout(SOON):
            change = await hub.next_of(wire.Delta)
            assert (change.to, [each.encapsulated for each in change.upsert]) == (desired, [True])
            assert (await own.next_of(wire.Snapshot)).revision == desired
        assert await silent(other)
        assert await silent(far)
        admin.patch(f"/networks/{network['id']}", json={"mtu": 1380}).raise_for_status()
        async with asyncio.timeout(SOON):
            for stream in (hub, own, other):
                assert (await stream.next_of(wire.Delta)).frame.mtu == 1380
        assert await silent(far)


async def test_a_second_stream_of_one_peer_replaces_the_first(agent: Agent) -> None:
    async with agent.stream() as first:
        await first.next_of(wire.Snapshot)
        async with agent.stream() as second:
            assert await first.closed() == wire.CLOSE_REPLACED
            await second.next_of(wire.Snapshot)
            await second.send(wire.Resync())
            assert isinstance(await second.next(), wire.Snapshot)


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", '{"type": "nonsense"}', '{"type": "heartbeat"}', b"\xff\xfe", '"\\ud800"', "[" * 60_000],
)
async def test_a_message_that_makes_no_sense_is_refused_and_the_stream_goes_on(
    agent: Agent, message: str | bytes
) -> None:
    async with agent.stream() as stream:
        await stream.next_of(wire.Snapshot)
        await stream.send(message)
        refused = await stream.next()
        assert isinstance(refused, wire.Refused)
        assert (refused.code, refused.nonce) == ("validation_failed", None)
        await stream.send(wire.Resync())
        assert isinstance(await stream.next(), wire.Snapshot)


async def test_a_message_over_the_bound_ends_the_stream(agent: Agent) -> None:
    async with agent.stream() as stream:
        await stream.next_of(wire.Snapshot)
        with contextlib.suppress(ConnectionClosed):
            await stream.send('{"type": "' + "x" * (wire.MAX_MESSAGE + 1) + '"}')
        assert await stream.closed() == 1009


@pytest.fixture
def deaf(server: Server, agent: Agent) -> Iterator[socket.socket]:
    """A connection of `agent` that has asked for its stream and never reads."""
    host, _, port = server.address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect((host, int(port)))
        lines = [
            f"GET {API}/agent/stream HTTP/1.1",
            f"Host: {server.address}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {b64encode(bytes(16)).decode()}",
            f"Authorization: Bearer {agent.session}",
        ]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        yield sock


def masked(text: bytes) -> bytes:
    """A text frame as a client sends it, under a mask of zeros."""
    return bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big") + bytes(4) + text


def test_a_reader_that_stalls_is_dropped_and_delays_nobody(
    server: Server, admin: httpx2.Client, agent: Agent, deaf: socket.socket
) -> None:
    def connected() -> bool:
        return bool(admin.get(f"/peers/{agent.peer_id}").json()["status"]["connected"])

    wait_until(connected, within=SOON, what="the stream")
    # Each refusal is an answer that nobody reads. The server's buffers take some, its outbox 32 more.
    noise = masked(b"{" + b"x" * 200)
    deaf.settimeout(0.2)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(200):
            deaf.sendall(noise * 100)
    assert httpx2.get(f"{server.url}{API}/health/live", timeout=1).status_code == 200
    wait_until(lambda: not connected(), within=20, what="the end of a stream that is not read")


async def test_a_refused_stream_is_no_error_in_the_log(server: Server, agent: Agent) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with Stream(server.address, "isthmus-session-of-nobody"):
            pass
    assert refused.value.response.status_code == 401
    # The log is written in order: what the refusal brings is there once a later call was answered.
    agent.config()
    assert "handshake" not in server.log


@pytest.mark.case("MESH-004")
async def test_a_heartbeat_without_a_change_is_acknowledged_and_nobody_else_hears_anything(
    server: Server, admin: httpx2.Client
) -> None:
    network = a_network(admin, direct_paths="on")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    seen = {"public_key": laptop.public_key, "endpoint": "203.0.113.9:40000", "latest_handshake": 1_700_000_000}
    agents = (gw, laptop, desk)
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(each.stream()) for each in agents]
        nonces = [(await stream.next_of(wire.Hello)).nonce for stream in streams]
        for stream in streams:
            await stream.next_of(wire.Snapshot)

        async def beat_of(number: int, **fields: Any) -> None:
            await streams[number].send(json.dumps(heartbeat(nonces[number], **fields) | {"type": "heartbeat"}))
            nonces[number] = (await streams[number].next_of(wire.Ack)).nonce

        # What is new in a report is told, so silence afterwards is no deafness.
        await beat_of(0, peers=[seen])
        async with asyncio.timeout(SOON):
            told = await streams[2].next_of(wire.Delta)
        assert [str(each) for peer in told.upsert for each in peer.candidates] == [seen["endpoint"]]
        while not await silent(streams[0]) or not await silent(streams[1]):
            pass

        revision = admin.get(f"/networks/{network['id']}").json()["revision"]
        for traffic in range(1, 4):
            for number in range(len(agents)):
                counters = seen | {"latest_handshake": 1_700_000_000 + traffic, "rx": traffic, "tx": traffic}
                await beat_of(number, peers=[counters] if number == 0 else [])
        for quiet in [silent(stream, 1.5) for stream in streams]:
            assert await quiet
        assert admin.get(f"/networks/{network['id']}").json()["revision"] == revision
