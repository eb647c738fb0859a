"""An agent without a tunnel: it speaks the real protocol, keeps the config that it has, and can be hurt in any way."""

import asyncio
import random
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from isthmus.agent.deltas import applied
from isthmus.protocol import agent as wire
from tests.server import API, bearer

LARGEST = 16 * 1024 * 1024
OPEN_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.4  # of the back-off; a real agent waits for up to a minute
BEAT_SECONDS = 5.0  # of silence, after which it reports again
KEPT = 8
AHEAD = 1_000


class Cursor(StrEnum):
    """What an agent says, the next time that it connects, of the revision that it has."""

    TRUE = "true"
    NONE = "none"
    OLD = "old"  # its state folder is that of a backup
    AHEAD = "ahead"  # the server's database is that of a backup
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Held:
    """What the state folder keeps over a crash, written as a whole."""

    revision: int = 0
    config: wire.Config | None = None


class SimulatedAgent:
    """`start` and `kill` it as often as you like: only `held` outlives a kill."""

    def __init__(self, address: str, session: str, chance: random.Random) -> None:
        self.held = Held()
        self.seen: Counter[str] = Counter()
        self.has_ended = False
        self.is_connected = False
        self.next_cursor = Cursor.TRUE
        self._url = f"ws://{address}{API}/agent/stream"
        self._session = session
        self._nonce = ""
        self._chance = chance
        self._past: deque[Held] = deque(maxlen=KEPT)
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._connection: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def standing(self) -> str:
        """For people, when something is wrong."""
        return "has ended" if self.has_ended else "is connected" if self.is_connected else "is not connected"

    def start(self) -> None:
        if self._task is None:
            self._may_read.set()
            self._task = asyncio.create_task(self._run())

    async def kill(self) -> None:
        """What SIGKILL does: it hears and says nothing any more, wherever it was."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def cut(self) -> None:
        """Break the connection without a word, as a router that restarts does."""
        self.is_connected = False
        if self._connection is not None:
            self._connection.transport.abort()

    def stall(self) -> None:
        """Stop reading."""
        self._may_read.clear()

    def go_on(self) -> None:
        self._may_read.set()

    def failure(self) -> BaseException | None:
        """What broke the simulation itself, if anything did."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    async def _run(self) -> None:
        failures = 0
        while not self.has_ended:
            try:
                await self._converse()
                failures = 0
            except (OSError, TimeoutError, WebSocketException) as error:
                failures += 1
                self._note_end(error)
            await asyncio.sleep(self._chance.random() * min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures))

    def _note_end(self, error: Exception) -> None:
        if isinstance(error, InvalidStatus):
            self.has_ended = error.response.status_code == 401
        elif isinstance(error, ConnectionClosed) and error.rcvd is not None:
            self.has_ended = error.rcvd.code == wire.CLOSE_SESSION_ENDED

    def _query(self) -> str:
        cursor, self.next_cursor = self.next_cursor, Cursor.TRUE
        if cursor is Cursor.OLD and self._past:
            self.held = self._chance.choice(self._past)
        elif cursor is Cursor.AHEAD:
            return f"?revision={self.held.revision + AHEAD}"
        elif cursor is Cursor.GARBAGE:
            return self._chance.choice(["?revision=-1", "?revision=%00", "?revision=", "?revision=1e3", "?revision=٣"])
        return "" if cursor is Cursor.NONE else f"?revision={self.held.revision}"

    async def _converse(self) -> None:
        connection = await connect(
            self._url + self._query(),
            additional_headers=bearer(self._session),
            open_timeout=OPEN_SECONDS,
            ping_interval=None,
            max_size=LARGEST,
            proxy=None,
        )
        self._connection, self.is_connected = connection, True
        try:
            while True:
                await self._may_read.wait()
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        message = wire.decode_from_server(await connection.recv())
                except TimeoutError:
                    await self._say(connection, wire.Heartbeat(self._nonce, self.held.revision))
                else:
                    await self._take(connection, message)
        finally:
            self.is_connected = False
            connection.transport.abort()

    async def _take(self, connection: ClientConnection, message: wire.FromServer) -> None:
        self.seen[type(message).__name__] += 1
        match message:
            case wire.Hello(nonce):
                await self._say(connection, wire.Heartbeat(nonce, self.held.revision))
            case wire.Ack(nonce):
                self._nonce = nonce
            case wire.Snapshot(revision, config):
                await self._keep(connection, Held(revision, config))
            case wire.Delta() as delta:
                await self._take_delta(connection, delta)
            case wire.Unchanged(revision) if revision != self.held.revision:
                await self._say(connection, wire.Resync())
            case wire.Refused(_, _, nonce) if nonce is not None:
                await self._say(connection, wire.Heartbeat(nonce, self.held.revision))

    async def _take_delta(self, connection: ClientConnection, delta: wire.Delta) -> None:
        held = self.held
        if held.config is None or delta.from_ > held.revision:
            await self._say(connection, wire.Resync())
        elif delta.to > held.revision:
            await self._keep(connection, Held(delta.to, applied(held.config, delta)))

    async def _keep(self, connection: ClientConnection, held: Held) -> None:
        self._past.append(self.held)
        self.held = held
        await self._say(connection, wire.Applied(held.revision, 1))

    async def _say(self, connection: ClientConnection, message: wire.FromAgent) -> None:
        await connection.send(wire.encode(message).decode())
