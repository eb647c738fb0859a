"""Remote backends as the outward side meets them: real TLS servers that answer, or misbehave, as a test says."""

import asyncio
import contextlib
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.x509.forge import CLIENT, SERVER, Forged, a_leaf, a_uri, an_authority

VERSIONS = "/federation/heartbeat/get-versions"


def now_dates(**fields: Any) -> dict[str, Any]:
    now = datetime.now(UTC).replace(microsecond=0)
    return {"starts": now - timedelta(hours=1), "ends": now + timedelta(hours=23), **fields}


def a_real_authority(name: str) -> Forged:
    return an_authority(name, **now_dates())


def a_server_leaf(authority: Forged, name: str = "infra.b.example", domain: str = "b.example", **fields: Any) -> Forged:
    given = {"names": (name,), "uris": (a_uri(domain),), "usages": (SERVER, CLIENT), **fields}
    return a_leaf(authority, **now_dates(**given))


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


def an_answer(status: int = 200, body: bytes = b"{}", kind: str = "application/json", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def a_problem(status: int, code: str, **members: Any) -> bytes:
    body = {"type": f"urn:isthmus:problem:{code}", "status": status, "code": code, "stage": "component", **members}
    return an_answer(status, json.dumps(body).encode(), "application/problem+json")


Answers = Callable[[Asked], bytes | None]
"""What is written back; None closes the connection without a word."""


@dataclass
class Ingress:
    """A TLS server on an address of its own. `without_end` are the beginning of an answer and what follows it for ever.
    `received` counts the bytes of requests, `handshakes` those that ended
    well, `connections` all that came."""

    leaf: Forged
    clients: Forged
    address: str = "127.0.0.1"
    port: int = 0
    answer: Answers = lambda asked: an_answer()
    versions: list[int] | None = field(default_factory=lambda: [0])
    lists: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    received: int = 0
    connections: int = 0
    handshakes: int = 0
    names: list[str] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)
    silent: bool = False
    without_end: tuple[bytes, bytes] | None = None
    chain: bytes = b""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Ingress"]:
        sock = socket.create_server((self.address, self.port))
        self.port = sock.getsockname()[1]
        server = await asyncio.start_server(self._serve, sock=sock, ssl=self._context(), ssl_shutdown_timeout=0.2)
        self._writers: set[asyncio.StreamWriter] = set()
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Cut every open connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    @property
    def calls(self) -> list[Asked]:
        """Requests but for questions about versions."""
        return [asked for asked in self.asked if asked.path != VERSIONS]

    @contextlib.contextmanager
    def alerting(self) -> Iterator["Ingress"]:
        """Serve in a thread instead: unlike that of a loop, its TLS tells the client why it refuses it."""
        sock = socket.create_server((self.address, self.port))
        self.port = sock.getsockname()[1]
        context = self._context()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = sock.accept()
                    connection.settimeout(5)
                    with contextlib.suppress(OSError), connection:
                        context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield self
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            thread.join()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.clients.pem.decode())
        context.sni_callback = lambda connection, name, context: self.names.append(name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pair.pem"
            file.write_bytes((self.chain or self.leaf.pem) + self.leaf.key_pem)
            context.load_cert_chain(file)
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        self._writers.add(writer)
        session = writer.get_extra_info("ssl_object")
        self.shown.append(session.getpeercert(binary_form=True))
        self.protocols.append(session.version())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while await self._one(reader, writer):
                pass
        self._writers.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.read(1)
        if not first:
            return False
        head = first + await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (each.partition(":") for each in rest) if name]
        size = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(size)
        self.received += len(head) + len(body)
        asked = Asked(line, headers, body)
        self.asked.append(asked)
        if self.silent:
            await reader.read()
            return False
        if self.without_end and asked.path != VERSIONS:
            writer.write(self.without_end[0])
            while True:
                writer.write(self.without_end[1])
                await writer.drain()
        answer = self._answer(asked)
        if answer is None:
            return False
        writer.write(answer)
        await writer.drain()
        return True

    def _answer(self, asked: Asked) -> bytes | None:
        if asked.path == VERSIONS and self.versions is not None:
            return an_answer(body=json.dumps({"versions": self.versions, "calls": self.lists}).encode())
        return self.answer(asked)
