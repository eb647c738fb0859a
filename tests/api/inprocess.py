"""The application in this process, on a real socket, with services that a test may break."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from isthmus.domain.addresses import Endpoint
from isthmus.server.adapters.api.app import build_app
from isthmus.server.adapters.db import open_store
from isthmus.server.adapters.events.hub import EventHub
from isthmus.server.adapters.http.deps import Services
from isthmus.server.adapters.listeners import Listener, bind_tcp, serve
from isthmus.server.adapters.ui import FOLDER, WebUi
from isthmus.server.background import Chore, repeating
from isthmus.server.main import LOOK_SECONDS, assemble, first_start
from isthmus.server.settings import Settings
from tests.server import API, bearer, free_port


@dataclass
class Inside:
    """A server whose `services` and `events` can be reached, and the password of its administrator."""

    address: str
    services: Services
    events: EventHub
    password: str
    go_away: Callable[[], None]
    """What the server does first when it is asked to stop."""

    def client(self, token: str | None = None, source: str = "127.0.0.1") -> httpx2.AsyncClient:
        """Calls from an address of the loopback interface."""
        transport = httpx2.AsyncHTTPTransport(local_address=source)
        url = f"http://{self.address}{API}"
        return httpx2.AsyncClient(base_url=url, headers=bearer(token), timeout=20, transport=transport)

    async def admin(self) -> httpx2.AsyncClient:
        """Signed in as the administrator; the caller closes it."""
        async with self.client() as client:
            body = {"username": "admin", "password": self.password}
            answer: Any = (await client.post("/auth/login", json=body)).raise_for_status().json()
        return self.client(answer["token"])


@contextlib.asynccontextmanager
async def inside(folder: Path, database_url: str | None = None, pages: Path = FOLDER) -> AsyncIterator[Inside]:
    """What `isthmus.server.main` does, without its signals and its greeting; `pages` are those of the UI."""
    settings = Settings(data_dir=folder, listen=f"127.0.0.1:{free_port()}", database_url=database_url)
    store = await open_store(settings.database)
    assembled = assemble(settings, store)
    services = assembled.services
    app = build_app(services, assembled.streams, assembled.events)
    password = await first_start(store, services)
    assert password is not None
    listener = Listener(bind_tcp(Endpoint.parse(settings.listen)), settings.listen)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(WebUi(app, pages), [listener], stop, assembled.close_streams, assembled.watch))
    try:
        async with repeating(Chore("looking", LOOK_SECONDS, assembled.streams.look)):
            yield Inside(settings.listen, services, assembled.events, password, assembled.close_streams)
    finally:
        stop.set()
        await serving
        await assembled.outward.aclose()
        listener.close()
        await store.close()
