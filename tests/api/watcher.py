"""A reader of the event stream, as a screen or a script is one."""

from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed

from isthmus.protocol.notice import Hello, Notice, decode
from tests.api.inprocess import Inside
from tests.server import API, Server, bearer


@dataclass
class Watcher:
    """`async with Watcher(server, token) as watcher:` reads the hello; then `await watcher.next()`."""

    server: Server | Inside
    token: str | None
    query: str = ""
    local: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        options: dict[str, Any] = {"open_timeout": 20, "additional_headers": bearer(self.token)} | self.options
        path = f"{API}/events{self.query}"
        if isinstance(self.server, Server) and self.local:
            opening: Any = unix_connect(str(self.server.local_socket), f"ws://local{path}", **options)
        else:
            opening = connect(f"ws://{self.server.address}{path}", proxy=None, **options)
        self.connection: ClientConnection = await opening
        hello = decode(await self.connection.recv())
        assert isinstance(hello, Hello)
        self.hello = hello
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def next(self) -> Notice:
        notice = decode(await self.connection.recv())
        assert isinstance(notice, Notice)
        return notice

    async def until(self, event: str) -> list[Notice]:
        """All notices up to the first of this event."""
        seen = [await self.next()]
        while seen[-1].event != event:
            seen.append(await self.next())
        return seen

    async def closed(self) -> int:
        """Read to the end of the stream; returns the code that it was closed with."""
        try:
            while True:
                await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0
