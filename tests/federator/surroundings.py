"""What stands around the Federator under test, on a loop of its own: a scripted server, recording components, names."""

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from isthmus.protocol.context import HEADER, Context, unseal
from isthmus.protocol.federator import Nonce, Report, Row, Sighting, Snapshot, Suspicion
from isthmus.protocol.places import Places
from lab.names_server import NamesServer, Reply

T = TypeVar("T")
DEADLINE = 20.0


class Background:
    """A loop in a thread, for servers that a test talks to from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()


async def listening(app: web.Application, path: Path) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    return runner


@dataclass
class ScriptedServer:
    """The control socket. `rows` holds what was reported, each row once."""

    rows: dict[str, Row] = field(default_factory=dict)
    reports: int = 0
    sightings: list[Sighting] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    polls: list[int] = field(default_factory=list)
    snapshot: Snapshot | None = None
    takes_reports: bool = True

    async def start(self, path: Path) -> None:
        self.changed = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/snapshot", self._snapshot)
        app.router.add_post("/report", self._report)
        app.router.add_post("/nonces", self._nonce)
        self._runner = await listening(app, path)

    async def stop(self) -> None:
        self.changed.set()
        await self._runner.cleanup()

    async def show(self, snapshot: Snapshot) -> None:
        """From now on this is the newest, under the next generation."""
        generation = self.snapshot.generation + 1 if self.snapshot else 1
        self.snapshot = msgspec.structs.replace(snapshot, generation=generation)
        self.changed.set()
        self.changed = asyncio.Event()

    async def _snapshot(self, request: web.Request) -> web.Response:
        after, wait = int(request.query["after"]), float(request.query["wait"])
        self.polls.append(after)
        changed = self.changed
        if self.snapshot is None or self.snapshot.generation <= after:
            try:
                await asyncio.wait_for(changed.wait(), wait)
            except TimeoutError:
                return web.Response(status=204)
        if self.snapshot is None:
            return web.Response(status=204)
        return web.Response(body=msgspec.json.encode(self.snapshot), content_type="application/json")

    async def _report(self, request: web.Request) -> web.Response:
        report = msgspec.json.decode(await request.read(), type=Report)
        if not self.takes_reports:
            return web.Response(status=503)
        self.reports += 1
        self.rows |= {row.id: row for row in report.rows}
        self.sightings += report.sightings
        self.suspicions += report.suspicions
        return web.Response(status=204)

    async def _nonce(self, request: web.Request) -> web.Response:
        nonce = msgspec.json.decode(await request.read(), type=Nonce)
        if nonce.nonce in self.nonces:
            return web.Response(status=409)
        self.nonces.add(nonce.nonce)
        return web.Response(status=204)


@dataclass
class Call:
    """What a component got; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    context: Context


@dataclass
class RecordingComponent:
    """A component that answers what it is told, after `delay` seconds, and keeps every call."""

    name: str
    key: bytes
    calls: list[Call] = field(default_factory=list)
    status: int = 200
    body: bytes = b'{"handle": "alice"}'
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    delay: float = 0.0
    refuses_contexts: int = 0

    async def start(self, path: Path) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = await listening(app, path)

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        context = unseal(request.headers[HEADER], self.key, self.name)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(request.method, request.path, headers, await request.read(), context))
        await asyncio.sleep(self.delay)
        if self.refuses_contexts > 0:
            self.refuses_contexts -= 1
            body = b'{"code": "context_invalid"}'
            return web.Response(status=401, body=body, content_type="application/problem+json")
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@dataclass
class Surroundings:
    """All of them, in the folder of one backend."""

    places: Places
    background: Background = field(default_factory=Background)
    server: ScriptedServer = field(default_factory=ScriptedServer)
    components: dict[str, RecordingComponent] = field(default_factory=dict)
    names: NamesServer = field(default_factory=NamesServer)

    def start(self, keys: dict[str, bytes]) -> None:
        self.background.run(self.names.__aenter__())
        self.background.run(self.server.start(self.places.control))
        for name, key in keys.items():
            self.components[name] = RecordingComponent(name, key)
            self.background.run(self.components[name].start(self.places.component(name)))

    def stop(self) -> None:
        for component in self.components.values():
            self.background.run(component.stop())
        self.background.run(self.server.stop())
        self.background.run(self.names.__aexit__(None, None, None))
        self.background.close()

    def say(self, question: str, *records: str, **rest: Any) -> None:
        """What DNS answers to `"infra.b.example A"` from now on."""
        self.background.loop.call_soon_threadsafe(self.names.say, question, Reply(records, **rest))

    @property
    def calls(self) -> list[Call]:
        """All calls that reached a component."""
        return [call for component in self.components.values() for call in component.calls]
