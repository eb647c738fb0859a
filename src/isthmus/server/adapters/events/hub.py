"""All readers of events on this server. Each takes notices at its own pace or is dropped; none waits for another."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from isthmus.domain.errors import Refusal
from isthmus.domain.ids import NetworkId
from isthmus.protocol import notice as wire
from isthmus.server.adapters.events.mailbox import Mailbox
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.notices import notices_of, notices_of_kinds
from isthmus.server.ports import Clock, Store, StoreUnavailable
from isthmus.server.records import Commit

Check = Callable[[], Awaitable[datetime | None]]
"""Raises `Refusal` once the reader may not hear any more; returns when that is sure to be so, None for never."""
Closing = tuple[int, str]
log = structlog.get_logger()

MOST_READERS = 1_000
SEND_SECONDS = 10.0  # how long a frame may wait for a reader
CLOSE_SECONDS = 1.0
CHECK_SECONDS = 15.0  # how long a token whose time is over still gets notices
OF_ACCESS = frozenset({"user", "token"})
"""What a token is taken back with, and a password changed: who holds a stream open is asked at once."""
HUNG_UP = 1000
GOING_AWAY: Closing = (wire.CLOSE_GOING_AWAY, "the server restarts")


class Reader:
    """One connection. `networks` None means all of them, those to come included."""

    def __init__(self, networks: frozenset[NetworkId] | None, send: Send) -> None:
        self.mailbox = Mailbox()
        self._wanted = None if networks is None else frozenset(map(str, networks))
        self._send = send
        self._closing: asyncio.Future[Closing] = asyncio.get_running_loop().create_future()
        self._doubt = asyncio.Event()

    def hears_of(self, network: str) -> bool:
        return self._wanted is None or network in self._wanted

    def close(self, code: int, reason: str) -> None:
        if not self._closing.done():
            self._closing.set_result((code, reason))

    def doubt(self) -> None:
        """Check now whether the reader may still hear anything."""
        self._doubt.set()

    async def closed(self) -> Closing:
        return await asyncio.shield(self._closing)

    async def say(self, message: wire.FromServer) -> None:
        """Send one message. Raises `TimeoutError` when the reader does not take it in time."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._send({"type": "websocket.send", "text": wire.encode(message).decode()})

    async def write(self) -> None:
        """Send what comes into the mailbox, for ever."""
        while True:
            await self.say(await self.mailbox.take())

    async def listen(self, receive: Receive) -> None:
        """Wait for the end; what a reader says means nothing here."""
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self.close(HUNG_UP, "the reader hung up")

    async def recheck(self, check: Check, clock: Clock) -> None:
        """Close as soon as the reader may not hear any more."""
        while True:
            wait = CHECK_SECONDS
            try:
                until = await check()
                if until is not None:
                    wait = min(wait, (until - clock.now()).total_seconds())
            except StoreUnavailable:
                pass
            except Refusal as refusal:
                self.close(wire.CLOSE_ACCESS_ENDED, str(refusal))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._doubt.wait()
            self._doubt.clear()


class EventHub:
    """Told of commits and of notices, which must never wait for anybody."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._readers: set[Reader] = set()
        self._is_over = False

    @property
    def count(self) -> int:
        """Readers that are connected now."""
        return len(self._readers)

    @property
    def is_full(self) -> bool:
        return self.count >= MOST_READERS

    def changed(self, commit: Commit) -> None:
        for notice in notices_of(commit, self._clock.now()):
            self.tell(notice)

    def written(self, kinds: frozenset[str]) -> None:
        for notice in notices_of_kinds(kinds, self._clock.now()):
            self.tell(notice)
        if kinds & OF_ACCESS:
            for reader in self._readers:
                reader.doubt()

    def tell(self, notice: wire.Notice) -> None:
        for reader in self._readers:
            if reader.hears_of(notice.network):
                reader.mailbox.put(notice)

    async def serve(self, networks: frozenset[NetworkId] | None, check: Check, receive: Receive, send: Send) -> None:
        """Run one accepted WebSocket to its end. What it hears is bounded by `check`."""
        reader = Reader(networks, send)
        # Listed before the revisions are read: whatever happens in between comes twice rather than not at all.
        self._readers.add(reader)
        if self._is_over:
            reader.close(*GOING_AWAY)
        try:
            await self._served(reader, check, receive)
        finally:
            self._readers.discard(reader)
        code, reason = await reader.closed()
        if code == HUNG_UP:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError):
            log.debug("a reader of events did not take the end of its stream", code=code)

    async def _served(self, reader: Reader, check: Check, receive: Receive) -> None:
        async def speak() -> None:
            await reader.say(await self._hello(reader))
            await reader.write()

        works = [speak(), reader.listen(receive), reader.recheck(check, self._clock)]
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(lambda done: _close_broken(reader, done))
        try:
            await reader.closed()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hello(self, reader: Reader) -> wire.Hello:
        async with self._store.reading() as tx:
            networks = await tx.networks.all()
        revisions = {str(each.id): each.revision for each in networks if reader.hears_of(str(each.id))}
        return wire.Hello(revisions, self._clock.now())

    def close_all(self) -> None:
        """The server goes away, also for who comes while it does; readers come back by themselves."""
        self._is_over = True
        for reader in self._readers:
            reader.close(*GOING_AWAY)


def _close_broken(reader: Reader, task: "asyncio.Task[None]") -> None:
    """A stream of which one part has ended does not go on with the rest."""
    failure = None if task.cancelled() else task.exception()
    if isinstance(failure, TimeoutError):
        log.warning("a reader of events does not read and is dropped")
        reader.close(wire.CLOSE_TOO_SLOW, "notices are not read")
    elif isinstance(failure, OSError):
        reader.close(HUNG_UP, "the reader hung up")
    elif isinstance(failure, StoreUnavailable):
        log.error("store unavailable", error=str(failure))
        reader.close(wire.CLOSE_BROKEN, "the database does not answer")
    elif failure is not None:
        log.error("an event stream broke", exc_info=failure)
        reader.close(wire.CLOSE_BROKEN, "internal error")
