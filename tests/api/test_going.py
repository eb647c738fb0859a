"""A server that stops: who comes while it does is sent away like who was there, so that nobody holds up its end."""

import asyncio
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from isthmus.protocol import agent as wire
from isthmus.protocol import notice
from tests.api.inprocess import inside
from tests.api.test_keys import an_aged
from tests.api.watcher import Watcher
from tests.server import API, bearer

AT_ONCE = 2.0  # much less than the time that open connections get to end by themselves


async def test_an_agent_that_comes_back_while_its_server_stops_is_sent_away_at_once(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        agent = await an_aged(server)
        async with agent.stream(agent.session) as stream, asyncio.timeout(AT_ONCE):
            server.go_away()
            assert await stream.closed() == wire.CLOSE_GOING_AWAY
            async with agent.stream(agent.session) as again:
                assert await again.closed() == wire.CLOSE_GOING_AWAY


async def test_a_reader_that_comes_back_while_its_server_stops_is_sent_away_at_once(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, await server.admin() as admin:
        token = (await admin.post("/tokens", json={"name": "screen", "scopes": ["read"]})).json()["token"]
        async with Watcher(server, token) as watcher, asyncio.timeout(AT_ONCE):
            server.go_away()
            assert await watcher.closed() == notice.CLOSE_GOING_AWAY
            events = f"ws://{server.address}{API}/events"
            async with connect(events, proxy=None, additional_headers=bearer(token)) as again:
                assert await end_of(again) == notice.CLOSE_GOING_AWAY


async def end_of(connection: ClientConnection) -> int | None:
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        return connection.close_code
