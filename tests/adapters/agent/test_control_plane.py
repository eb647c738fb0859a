"""The way to the server: which answers end a session, which are only trouble, and who is trusted with a token."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection as Accepted
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from isthmus.agent.adapters.control_plane import ServerConnection, check_server, enroll, tls_context
from isthmus.agent.errors import Blocked, EnrollmentRefused, InsecureServer, InvalidSettings, SessionEnded, Unreachable
from isthmus.protocol import agent as wire
from tests.agent.builders import a_config, a_gateway

pytestmark = pytest.mark.timeout(30)

ENDED = b'{"code": "unauthenticated", "detail": "no such session"}'
REQUEST = wire.EnrollRequest("a-token", "A" * 44, "host", "machine", "0.1.0")


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    """The URL of an HTTP server that gives everybody the same answer, whatever is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def open_stream(url: str) -> None:
    async with ServerConnection(url, "secret-token", None).stream(4) as stream:
        await stream.receive()


async def poll(url: str) -> wire.ConfigAnswer:
    async with ServerConnection(url, "secret-token", None).polling() as server:
        return await server.fetch(4)


@pytest.mark.parametrize("call", [open_stream, poll])
async def test_only_the_servers_own_words_end_a_session(call: object) -> None:
    assert callable(call)
    async with answering(401, ENDED) as url:
        with pytest.raises(SessionEnded):
            await call(url)
    for status, body in ((401, b"<html>sign in"), (401, b'{"code": "proxy"}'), (403, ENDED), (404, b""), (502, b"")):
        async with answering(status, body) as url:
            with pytest.raises(Unreachable, match=str(status)) as caught:
                await call(url)
            assert "secret-token" not in str(caught.value)


async def test_a_token_that_was_renewed_while_it_was_presented_ends_nothing() -> None:
    async with answering(401, ENDED) as url:
        connection = ServerConnection(url, "old", None)
        async with connection.polling() as server:
            telling = asyncio.create_task(server.tell(wire.Applied(1, 1)))
            await asyncio.sleep(0)
            connection.use("fresh")
            with pytest.raises(Unreachable, match="renewed meanwhile"):
                await telling
            with pytest.raises(SessionEnded):
                await server.tell(wire.Applied(1, 1))


@pytest.mark.parametrize("call", [open_stream, poll])
async def test_a_block_is_told_with_its_incident_and_ends_nothing(call: object) -> None:
    assert callable(call)
    problem = b'{"code": "agent_blocked", "detail": "blocked by incident i-1", "incident": "i-1"}'
    async with answering(403, problem) as url:
        with pytest.raises(Blocked, match="blocked by incident i-1") as caught:
            await call(url)
    assert caught.value.incident == "i-1"


async def test_a_stream_that_is_closed_for_a_block_names_the_incident() -> None:
    async def speak(connection: Accepted) -> None:
        await connection.close(wire.CLOSE_BLOCKED, "this peer is blocked by incident i-1")

    async with serve(speak, "127.0.0.1", 0) as server:
        with pytest.raises(Blocked, match="blocked by incident i-1") as caught:
            await open_stream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert caught.value.incident == "i-1"


@pytest.mark.parametrize("call", [open_stream, poll])
async def test_nobody_there_is_trouble_that_passes(call: object) -> None:
    assert callable(call)
    with pytest.raises(Unreachable):
        await call("http://127.0.0.1:9")
    async with answering(200, b"welcome to the captive portal") as url:
        with pytest.raises(Unreachable):
            await call(url)


async def test_a_stream_carries_messages_and_its_close_code_tells_what_happened() -> None:
    asked: list[Request] = []

    def note(connection: Accepted, request: Request) -> None:
        asked.append(request)

    async def speak(connection: Accepted) -> None:
        await connection.send(wire.encode(wire.Hello("n-1", 5)), text=True)
        assert wire.decode_from_agent(await connection.recv()) == wire.Resync()
        await connection.close(wire.CLOSE_SESSION_ENDED if len(asked) == 1 else wire.CLOSE_GOING_AWAY, "bye")

    async with serve(speak, "127.0.0.1", 0, process_request=note) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for expected in (SessionEnded, Unreachable):
            async with ServerConnection(url, "secret-token", None).stream(4) as stream:
                assert await stream.receive() == wire.Hello("n-1", 5)
                await stream.send(wire.Resync())
                with pytest.raises(expected):
                    await stream.receive()
    assert asked[0].path == "/api/v1/agent/stream?revision=4"
    assert asked[0].headers["Authorization"] == "Bearer secret-token"
    assert "Sec-WebSocket-Extensions" not in asked[0].headers


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.agent.adapters.control_plane.MAX_MESSAGE", 1000)
    async with answering(200, b"[" + b"0," * 5000 + b"0]") as url:
        with pytest.raises(Unreachable, match="more than 1000 bytes"):
            await poll(url)


async def test_an_enrollment_is_answered_refused_or_to_be_repeated() -> None:
    peer, network = wire.EnrolledPeer("p", "me", "dynamic"), wire.EnrolledNetwork("n", "office")
    answer = wire.EnrollAnswer(peer, network, "s", 5, 7, a_config(a_gateway()))
    async with answering(201, wire.encode(answer)) as url:
        assert await enroll(url, None, REQUEST) == answer
    async with answering(401, b'{"code": "enrollment_token_invalid", "detail": "not valid"}') as url:
        with pytest.raises(EnrollmentRefused, match=r"not valid \(enrollment_token_invalid\)") as caught:
            await enroll(url, None, REQUEST)
        assert "a-token" not in str(caught.value)
    async with answering(503, b"") as url:
        with pytest.raises(Unreachable, match="the token is still good"):
            await enroll(url, None, REQUEST)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for `name`, and its key."""
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", str(file), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return file, key


async def test_a_server_is_believed_by_its_certificate_alone(tmp_path: Path) -> None:
    own, other = certificate(tmp_path, "localhost"), certificate(tmp_path, "other.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*own)

    def refuse(connection: Accepted, request: Request) -> Response:
        return Response(HTTPStatus.UNAUTHORIZED, "X", Headers(), ENDED)

    async def nothing(connection: Accepted) -> None:
        raise AssertionError("every handshake is refused")

    async with serve(nothing, "127.0.0.1", 0, ssl=context, process_request=refuse) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(SessionEnded):
            async with ServerConnection(url, "t", tls_context(url, str(own[0]))).stream(0):
                pass
        for trusted in (None, str(other[0])):
            with pytest.raises(Unreachable, match="certificate verify failed"):
                async with ServerConnection(url, "t", tls_context(url, trusted)).stream(0):
                    pass
            with pytest.raises(Unreachable, match="certificate verify failed"):
                async with ServerConnection(url, "t", tls_context(url, trusted)).polling() as polling:
                    await polling.fetch(0)


def test_a_token_travels_in_clear_to_this_very_host_only() -> None:
    assert check_server("https://isthmus.example.com/", allow_http=False) == "https://isthmus.example.com"
    for here in ("http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080"):
        assert check_server(here, allow_http=False) == here
    with pytest.raises(InsecureServer, match=r"http://10\.0\.0\.1 would carry the token in clear"):
        check_server("http://10.0.0.1", allow_http=False)
    assert check_server("http://10.0.0.1", allow_http=True) == "http://10.0.0.1"


@pytest.mark.parametrize(
    "url", ["example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://x?y=1"]
)
def test_an_address_that_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="write https://HOST"):
        check_server(url, allow_http=False)


def test_a_ca_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for file in ("empty.pem", "none.pem"):
        with pytest.raises(InvalidSettings, match=file):
            tls_context("https://example.com", str(tmp_path / file))
