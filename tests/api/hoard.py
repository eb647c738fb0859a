"""Strangers who send without end, or nothing: plain sockets, many at a time, each client at an address of its own."""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from dataclasses import dataclass

WITHIN = 30.0
PIECE = b"x" * 65_536
ENDLESS = b"X-Endless: " + b"x" * 4_000 + b"\r\n"


def address_of(client: int) -> str:
    """Where client number so and so comes from."""
    return f"127.9.{client // 250}.{client % 250 + 1}"


@dataclass(frozen=True, slots=True)
class Target:
    """A listener, by name; `path` is one that takes a body."""

    name: str
    port: int
    path: str
    tls: ssl.SSLContext | None = None

    def head(self, *lines: str) -> bytes:
        return "\r\n".join([f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", *lines, ""]).encode()

    async def connected(self, client: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        # What is not taken stays with the sender, who can count it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(PIECE))
        sock.setblocking(False)
        sock.bind((address_of(client), 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        name = None if self.tls is None else "127.0.0.1"
        return await asyncio.open_connection(sock=sock, ssl=self.tls, server_hostname=name)


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended: the answer's status and code, 0 and nothing without one, and the bytes that were
    taken."""

    status: int
    code: str
    taken: int

    @property
    def told(self) -> tuple[int, str]:
        return self.status, self.code


async def pour(target: Target, client: int, begun: bytes, piece: bytes, most: int) -> End:
    """Send `begun` and then pieces until somebody cuts it; the answer is read whenever it comes."""
    reader, writer = await target.connected(client)
    answer = asyncio.create_task(_all_of(reader))
    taken = 0
    try:
        async with asyncio.timeout(WITHIN):
            with contextlib.suppress(OSError):
                writer.write(begun)
                while taken < most and not answer.done():
                    writer.write(piece)
                    await writer.drain()
                    # What is written after the end is dropped in silence: here is where one hears of that.
                    await asyncio.sleep(0)
                    taken += len(piece)
            return End(*told_in(await answer), taken)
    finally:
        answer.cancel()
        writer.close()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    got = b""
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            got += data
    return got


def told_in(answer: bytes) -> tuple[int, str]:
    if not answer.startswith(b"HTTP/1.1 "):
        return 0, ""
    return int(answer[9:12]), answer.partition(b'"code": "')[2].partition(b'"')[0].decode()


class Hoard:
    """Idle sockets: nothing is sent over them, be it HTTP or TLS."""

    def __init__(self) -> None:
        self.ends: Counter[tuple[int, str]] = Counter()
        self._transports: list[asyncio.BaseTransport] = []
        self._changed = asyncio.Event()

    async def open(self, target: Target, client: int, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            transport, _ = await loop.create_connection(
                lambda: Idle(self), "127.0.0.1", target.port, local_addr=(address_of(client), 0)
            )
            self._transports.append(transport)

    def ended(self, answer: bytes) -> None:
        self.ends[told_in(answer)] += 1
        self._changed.set()

    async def have_ended(self, many: int) -> float:
        """Wait until so many have; returns the moment."""
        async with asyncio.timeout(WITHIN):
            while self.ends.total() < many:
                self._changed.clear()
                await self._changed.wait()
        return asyncio.get_running_loop().time()

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class Idle(asyncio.Protocol):
    """One of them: it keeps what it is told."""

    def __init__(self, hoard: Hoard) -> None:
        self._hoard = hoard
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._hoard.ended(self._got)
