"""The way out to remotes: what comes of a Federator that answers otherwise than it should, or not at all."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.json import encode

from isthmus.protocol import directory, handshake, heartbeat
from isthmus.protocol.federation import MOST_RESPONSE
from isthmus.protocol.problem import Stage, problem
from isthmus.server.adapters.outward import MOST_TO_ONE, OutwardSocket
from isthmus.server.outward_ports import Errand, RemoteRefused

ASKED = str(uuid4())
LOOKUP = Errand("b.example", "directory", "get-user-by-handle", ASKED, seconds=0.5)
CONFIRM = Errand("b.example", "handshake", "confirm", ASKED, idempotency_key="key-1", seconds=2)
ACCEPT = Errand("b.example", "handshake", "accept", ASKED, seconds=2)
PROFILE = {"id": str(uuid4()), "handle": "alice"}


def an_answer(status: int, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} Some\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Federator:
    """Whoever listens on the outward socket. `answers` are written one for each request; None hangs up instead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[bytes] = []
        self.connections = 0
        self.answers: Callable[[int], bytes | None] = lambda number: an_answer(200, json.dumps(PROFILE).encode())

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Federator"]:
        server = await asyncio.start_unix_server(self._serve, self.path)
        try:
            yield self
        finally:
            server.close()
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers(len(self.requests))
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


@pytest.fixture
async def federator(tmp_path: Path) -> AsyncIterator[Federator]:
    async with Federator(tmp_path / "outward.sock").listening() as made:
        yield made


@pytest.fixture
async def outward(tmp_path: Path) -> AsyncIterator[OutwardSocket]:
    async with contextlib.aclosing(OutwardSocket(tmp_path / "outward.sock")) as made:
        yield made


async def looked_up(outward: OutwardSocket) -> directory.UserProfile:
    return await outward.call(LOOKUP, directory.GetUser("alice"), directory.UserProfile)


async def refused(outward: OutwardSocket) -> RemoteRefused:
    with pytest.raises(RemoteRefused) as found:
        await looked_up(outward)
    assert found.value.code == found.value.problem.code
    assert found.value.problem.request_id == ASKED
    return found.value


async def test_calls_share_a_connection_and_carry_request_id_and_key(
    federator: Federator, outward: OutwardSocket
) -> None:
    for _ in range(3):
        assert (await looked_up(outward)).handle == "alice"
    federator.answers = lambda number: an_answer(200, b'{"state": "active"}')
    await outward.call(CONFIRM, handshake.Confirm("K7PD-9QXM-3T4W"), handshake.Standing)
    assert federator.connections == 1
    first, *_, last = federator.requests
    assert first.startswith(b"POST /rpc/b.example/directory/get-user-by-handle HTTP/1.1\r\n")
    assert first.endswith(b'\r\n\r\n{"handle":"alice"}')
    assert f"X-Request-Id: {ASKED}".encode() in first
    assert b"Idempotency-Key" not in first
    assert b"Isthmus-Call-Seconds: 0.500\r\n" in first
    assert b"Idempotency-Key: key-1\r\n" in last


async def test_of_several_federators_calls_take_one_until_it_is_gone(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("outward.sock", "outward-2.sock")]
    async with contextlib.aclosing(OutwardSocket(*paths)) as made, Federator(paths[1]).listening() as second:
        await looked_up(made)
        async with Federator(paths[0]).listening() as first:
            await looked_up(made)
            assert (len(first.requests), len(second.requests)) == (0, 2)
            second.answers = lambda number: None
            paths[1].unlink()
            for _ in range(2):
                await looked_up(made)
            assert (len(first.requests), len(second.requests)) == (2, 3)


async def test_a_problem_of_the_federator_arrives_as_it_is(federator: Federator, outward: OutwardSocket) -> None:
    told = problem("remote_backoff", Stage.FEDERATOR_OUT, ASKED, "b.example fails since 3 minutes", retry_after=7)
    federator.answers = lambda number: an_answer(503, encode(told), "application/problem+json")
    assert (await refused(outward)).problem == told


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (an_answer(200, b"x" * (MOST_RESPONSE + 1)), "remote_response_too_large"),
        (an_answer(200, b"{}", "text/html"), "internal"),
        (an_answer(502, b"<html>", "text/html"), "internal"),
        (an_answer(502, b"{}", "application/problem+json"), "internal"),
        (an_answer(502, b'{"code": "made_up"}', "application/problem+json"), "internal"),
        (an_answer(200, b'{"handle": "alice"'), "remote_protocol_error"),
        (an_answer(200, b"\xff\xfe{\x00}\x00"), "remote_protocol_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", "remote_timeout"),
        (b"not HTTP at all\r\n\r\n", "upstream_unavailable"),
        (b"", "remote_timeout"),
        (None, "upstream_unavailable"),
    ],
)
async def test_what_is_no_answer_is_refused_with_a_code(
    federator: Federator, outward: OutwardSocket, answer: bytes | None, code: str
) -> None:
    federator.answers = lambda number: answer
    refusal = await refused(outward)
    assert refusal.code == code
    federator.answers = lambda number: an_answer(200, json.dumps(PROFILE).encode())
    assert (await looked_up(outward)).handle == "alice"


async def test_without_a_federator_the_mend_is_said_and_a_later_one_is_found(tmp_path: Path) -> None:
    async with contextlib.aclosing(OutwardSocket(tmp_path / "outward.sock")) as outward:
        refusal = await refused(outward)
        assert (refusal.code, refusal.problem.status, refusal.problem.retryable) == ("upstream_unavailable", 503, True)
        assert refusal.hint is not None
        assert "isthmus up" in refusal.hint
        async with Federator(tmp_path / "outward.sock").listening():
            assert (await looked_up(outward)).handle == "alice"


async def test_a_connection_that_a_restart_has_cut_costs_no_call(federator: Federator, outward: OutwardSocket) -> None:
    await looked_up(outward)
    federator.answers = lambda number: None if number == 2 else an_answer(200, json.dumps(PROFILE).encode())
    await looked_up(outward)
    assert len(federator.requests) == 3


async def test_what_has_an_effect_each_time_is_not_repeated(federator: Federator, outward: OutwardSocket) -> None:
    federator.answers = lambda number: None
    body = handshake.Accept("i", "s", "b")
    with pytest.raises(RemoteRefused):
        await outward.call(ACCEPT, body, handshake.Accepted)
    assert len(federator.requests) == 1
    with pytest.raises(RemoteRefused):
        await outward.call(CONFIRM, handshake.Confirm("K7PD"), handshake.Standing)
    assert len(federator.requests) == 3


async def test_a_call_that_is_cancelled_leaves_the_others_alone(federator: Federator, outward: OutwardSocket) -> None:
    federator.answers = lambda number: b"" if number == 1 else an_answer(200, b'{"versions": [0]}')
    asked = asyncio.create_task(looked_up(outward))
    await asyncio.sleep(0.1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    errand = Errand("b.example", "heartbeat", "get-versions", ASKED)
    answer = await outward.call(errand, heartbeat.GetVersions(), heartbeat.Versions)
    assert answer.versions == [0]


async def test_a_slow_remote_takes_a_bounded_share(federator: Federator, outward: OutwardSocket) -> None:
    federator.answers = lambda number: b""
    slow = [asyncio.create_task(refused(outward)) for _ in range(MOST_TO_ONE)]
    await asyncio.sleep(0.2)
    assert (await refused(outward)).code == "overloaded"
    federator.answers = lambda number: an_answer(200, b'{"versions": [0]}')
    other = Errand("c.example", "heartbeat", "get-versions", ASKED)
    assert (await outward.call(other, heartbeat.GetVersions(), heartbeat.Versions)).versions == [0]
    # On a loaded machine one of them may have come to the remote only after that.
    assert {(await each).code for each in slow} <= {"remote_timeout", "remote_protocol_error"}
    federator.answers = lambda number: an_answer(200, json.dumps(PROFILE).encode())
    assert (await looked_up(outward)).handle == "alice"
