"""A simulated agent's WebSocket: frames without masking work, messages told apart by their first bytes."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterable
from typing import cast

from isthmus.agent.deltas import applied
from isthmus.protocol import agent as wire

OPEN_SECONDS = 60.0
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# Every message starts with its type, and those that matter here go on with a revision or a nonce.
START = re.compile(rb'\{"type":"(\w+)"(?:,"from":\d+)?(?:,"(?:revision|nonce|to)":"?([^",}]+))?')
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class StreamFailed(Exception):
    """A stream was refused, or closed by the server."""


class Gate:
    """Opens when the last of `waiting` streams has what it waits for."""

    def __init__(self, waiting: int) -> None:
        self.arrivals: list[float] = []
        self._waiting = waiting
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def arrived(self) -> None:
        self.arrivals.append(time.perf_counter())
        if len(self.arrivals) == self._waiting:
            self._opened.set_result(None)

    async def opened(self, within: float = OPEN_SECONDS) -> float:
        """When the last one arrived, on the clock of `time.perf_counter`."""
        try:
            await asyncio.wait_for(self._opened, within)
        except TimeoutError:
            missing = self._waiting - len(self.arrivals)
            raise StreamFailed(f"{missing} of {self._waiting} streams lack their config after {within:g} s") from None
        return self.arrivals[-1]


class Stream(asyncio.Protocol):
    """One agent's connection. `received` counts bytes of frames; `deltas` came after the snapshot in `config`.

    `closed` tells when it ended, on the clock of `time.perf_counter`; `close_code` is what the server gave for it.
    """

    def __init__(self, token: str, has: int | None = None) -> None:
        path = "/api/v1/agent/stream" + ("" if has is None else f"?revision={has}")
        self._request = UPGRADE.format(path=path, token=token).encode()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._is_open = False
        self._wanted: tuple[int, Gate] | None = None
        self.closed: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.close_code: int | None = None
        self.revision = -1
        self.nonce = ""
        self.config = b""
        self.deltas: list[bytes] = []
        self.received = 0
        self.snapshots = 0
        self.on_ack: Callable[[Stream], None] | None = None

    async def connect(self, port: int, receive_buffer: int | None = None) -> None:
        """Dial and ask for the stream; messages come when they come. `receive_buffer` in bytes bounds what the
        kernel takes for a reader who has stopped."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.create_connection(lambda: self, sock=sock)

    def expect(self, revision: int, gate: Gate) -> None:
        """Tell `gate` as soon as the agent has `revision` or a later one."""
        if self.revision >= revision:
            gate.arrived()
        else:
            self._wanted = (revision, gate)

    def send(self, message: bytes) -> int:
        """Send a text message and return the size of its frame in bytes."""
        return self._send(TEXT, message)

    def pause(self) -> None:
        """Stop reading, as an agent that hangs does."""
        if self._transport is not None:
            self._transport.pause_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open and not self._opened():
            return
        while (frame := self._next_frame()) is not None:
            opcode, payload = frame
            if opcode == TEXT:
                self._take(payload)
            elif opcode == PING:
                self._send(PONG, payload)
            elif opcode == CLOSE and self._transport is not None:
                self.close_code = int.from_bytes(payload[:2], "big")
                self._transport.close()

    def _opened(self) -> bool:
        head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            raise StreamFailed(head.partition(b"\r\n")[0].decode(errors="replace"))
        self._buffer[:] = rest
        self._is_open = True
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        """The next whole frame (RFC 6455, 5.2). The server's are neither masked nor fragmented."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(buffer[2:start], "big")
        end = start + length
        if len(buffer) < max(start, end):
            return None
        opcode, payload = buffer[0] & 15, bytes(buffer[start:end])
        del buffer[:end]
        self.received += end
        return opcode, payload

    def _take(self, message: bytes) -> None:
        found = START.match(message)
        kind, value = found.groups() if found else (None, b"")
        if kind == b"ack":
            self.nonce = value.decode()
            if self.on_ack is not None:
                self.on_ack(self)
        elif kind in {b"snapshot", b"unchanged", b"delta"}:
            self._take_config(kind, int(value), message)
        elif kind == b"hello":
            self.nonce = value.decode()
        else:
            raise StreamFailed(f"an unexpected message: {message[:200]!r}")

    def _take_config(self, kind: bytes, revision: int, message: bytes) -> None:
        self.revision = revision
        if kind == b"snapshot":
            self.snapshots += 1
            self.config = message
            self.deltas.clear()
        elif kind == b"delta":
            self.deltas.append(message)
        if self._wanted is not None and revision >= self._wanted[0]:
            gate, self._wanted = self._wanted[1], None
            gate.arrived()

    def _send(self, opcode: int, payload: bytes) -> int:
        length = len(payload)
        size = bytes([128 | length]) if length < 126 else bytes([254]) + length.to_bytes(2, "big")
        # A mask of zeros is a valid mask that leaves the payload as it is.
        frame = bytes([128 | opcode]) + size + bytes(4) + payload
        if self._transport is not None:
            self._transport.write(frame)
        return len(frame)


def config_of(stream: Stream) -> wire.Config:
    """The config that the stream's agent has by now, decoded and put together as an agent does."""
    message = wire.decode_from_server(stream.config)
    if not isinstance(message, wire.Snapshot):
        raise StreamFailed(f"no snapshot came first but {type(message).__name__}")
    config = message.config
    for each in map(wire.decode_from_server, stream.deltas):
        if isinstance(each, wire.Delta):
            config = applied(config, each)
    return config


def expect_all(streams: Iterable[Stream], revision: int) -> Gate:
    """A gate that opens when all of `streams` have `revision`."""
    waiting = list(streams)
    gate = Gate(len(waiting))
    for stream in waiting:
        stream.expect(revision, gate)
    return gate
