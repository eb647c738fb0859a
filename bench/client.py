"""A minimal HTTP/1.1 client: one kept-alive connection, one request at a time, next to no cost of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

ANSWER_SECONDS = 30.0
HEAD_END = b"\r\n\r\n"
T = TypeVar("T")
R = TypeVar("R")


class CallFailed(Exception):
    """The server refused a call, or did not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client(asyncio.Protocol):
    """Speaks for the bearer of `token`."""

    def __init__(self, token: str | None = None) -> None:
        self._authorization = ""
        if token:
            self.speak_for(token)
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def connected(cls, port: int, token: str | None = None) -> "Client":
        """Over TCP on the loopback interface."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: cls(token), "127.0.0.1", port))[1]

    @classmethod
    async def connected_to(cls, path: Path) -> "Client":
        """Over the server's own socket."""
        loop = asyncio.get_running_loop()
        return (await loop.create_unix_connection(cls, str(path)))[1]

    def speak_for(self, token: str) -> None:
        """Send this token from now on."""
        self._authorization = f"Authorization: Bearer {token}\r\n"

    async def send(self, method: str, path: str, body: object = None) -> Answer:
        """The answer, whatever its status. Raises `CallFailed` when there is none."""
        if self._transport is None or self._transport.is_closing():
            raise CallFailed(f"{method} {path}: the connection is closed")
        content = b"" if body is None else msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{self._authorization}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + content)
        try:
            return await asyncio.wait_for(self._waiting, ANSWER_SECONDS)
        except TimeoutError:
            self._transport.abort()
            raise CallFailed(f"{method} {path}: no answer within {ANSWER_SECONDS:g} s") from None

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded body of the answer. Raises `CallFailed` when the server refuses."""
        answer = await self.send(method, path, body)
        if answer.status >= 300:
            raise CallFailed(f"{method} {path}: {answer.status} {answer.body.decode(errors='replace')}")
        return answer.json() if answer.body else None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0 or self._waiting is None:
            return
        status = int(self._buffer[9:12])
        start = end + len(HEAD_END)
        length = 0 if status == 204 else _content_length(self._buffer[:end].lower())
        if len(self._buffer) >= start + length:
            answer = Answer(status, bytes(self._buffer[start : start + length]))
            del self._buffer[: start + length]
            if not self._waiting.done():
                self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(CallFailed(f"the server closed the connection: {error or 'no reason'}"))


def _content_length(head: bytes | bytearray) -> int:
    _, found, rest = head.partition(b"content-length:")
    if not found:
        raise CallFailed("the answer has no Content-Length")
    return int(rest.partition(b"\r\n")[0])


async def spread(clients: Iterable[Client], work: Iterable[T], do: Callable[[Client, T], Awaitable[R]]) -> list[R]:
    """Do all of `work`, each client one piece at a time."""
    rest = iter(work)

    async def worker(client: Client) -> list[R]:
        return [await do(client, piece) for piece in rest]

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker(client)) for client in clients]
    return [result for each in workers for result in each.result()]
