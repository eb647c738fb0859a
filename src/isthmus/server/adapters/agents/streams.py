"""The agents' streams: one WebSocket per peer. Configs have one writer and answers go out as they arise; whoever does
not read in time is dropped, so nobody waits for the slow."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import msgspec
import structlog

from isthmus.domain.errors import AgentBlocked, AgentSessionConflict, InvalidValue, NotFound, Refusal, ReplayDetected
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Audience
from isthmus.protocol import agent as wire
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.agents import AgentService, Conversation
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.ports import StoreUnavailable
from isthmus.server.records import Commit

Check = Callable[[], Awaitable[object]]
log = structlog.get_logger()

SEND_SECONDS = 10.0  # how long a frame may wait for a reader
CLOSE_SECONDS = 1.0
HUNG_UP = 1000
TICK_SECONDS = 0.02  # changes that come closer together share one message
TOO_BIG = 1009
MOST_DENIALS = 32  # audit rows that one stream may cause


class Denials:
    """The audit rows of one stream's refused messages; above a bound they are counted and summed up at its end.

    A refusal may end the stream while its row is written: `sum_up` writes what is left.
    """

    def __init__(self, record: Callable[[str, int], Awaitable[None]]) -> None:
        self._record = record
        self._count = 0
        self._due: deque[str] = deque()

    async def note(self, code: str) -> None:
        self._count += 1
        if self._count <= MOST_DENIALS:
            self._due.append(code)
            await self._write()

    async def sum_up(self) -> None:
        await self._write()
        if self._count > MOST_DENIALS:
            await self._record("sampled", self._count - MOST_DENIALS)

    async def _write(self) -> None:
        while self._due:
            await self._record(self._due[0], 0)
            self._due.popleft()


@dataclass(frozen=True, slots=True)
class Line:
    """An accepted WebSocket of a peer's agent, which calls from `source`. `check` raises `Refusal` once the session
    is over or suspended."""

    peer_id: PeerId
    source: str | None
    receive: Receive
    send: Send
    check: Check
    deny: Denials


class Stream:
    """One connected agent. `close` may be called from anywhere; the writer says it and ends."""

    def __init__(self, line: Line, network_id: NetworkId, has: int | None) -> None:
        self.peer_id = line.peer_id
        self.network_id = network_id
        self._line = line
        self._talk = Conversation.began(line.source)
        self._sent = has
        self._send = line.send
        self._knows_where_it_stands = False
        self._wake = asyncio.Event()
        self._changed = True
        self._closing: tuple[int, str] | None = None

    def wake(self) -> None:
        """The peer's config may have changed."""
        self._changed = True
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason)
        self._wake.set()

    def resync(self) -> None:
        self._sent = None
        self.wake()

    async def say(self, message: wire.FromServer) -> None:
        """Send one message. Raises `TimeoutError` when the agent does not read in time: what it has not taken yet is
        then one message and what the socket holds, never more."""
        await self._write_text(wire.encode(message).decode())

    async def _write_text(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._send({"type": "websocket.send", "text": text})

    async def write(self, agents: AgentService) -> tuple[int, str]:
        """Send each config until the stream closes; returns code and reason. Raises `TimeoutError`."""
        while self._closing is None:
            if self._changed:
                await self._say_config(agents)
            else:
                self._wake.clear()
                await self._wake.wait()
        return self._closing

    async def _say_config(self, agents: AgentService) -> None:
        is_first, self._knows_where_it_stands = not self._knows_where_it_stands, True
        self._changed = False
        news = await agents.news(self.peer_id, self._sent)
        if news.delta is not None:
            self._sent = news.revision
            await self._write_text(news.delta)
        elif news.config is not None:
            self._sent = news.revision
            await self.say(wire.Snapshot(news.revision, news.config))
        elif is_first:
            await self.say(wire.Unchanged(news.revision))
            return
        else:
            return
        await asyncio.sleep(TICK_SECONDS)

    async def read(self, agents: AgentService) -> None:
        """Take messages until the agent hangs up, its session ends, or it does not read the answers."""
        try:
            while self._closing is None:
                message = await self._line.receive()
                if message["type"] == "websocket.disconnect":
                    self.close(HUNG_UP, "the agent hung up")
                    if message.get("code") == TOO_BIG:
                        await self._line.deny.note("body_too_large")
                    return
                await self._take(message.get("text") or message.get("bytes") or b"", agents)
        except Refusal as ended:
            self.close(*ending(ended))
        except TimeoutError:
            self.close(wire.CLOSE_TOO_SLOW, "answers are not read")
        except OSError:
            self.close(HUNG_UP, "the agent hung up")

    async def _take(self, text: str | bytes, agents: AgentService) -> None:
        try:
            message = wire.decode_from_agent(text)
        except msgspec.MsgspecError as error:
            await self.say(wire.Refused("validation_failed", str(error)[:200]))
            await self._line.deny.note("validation_failed")
            return
        if isinstance(message, wire.Heartbeat):
            await self._answer(message, agents)
        elif isinstance(message, wire.Applied):
            await agents.applied(self.peer_id, message)
        else:
            self.resync()

    async def _answer(self, beat: wire.Heartbeat, agents: AgentService) -> None:
        refusal: Refusal
        nonce: str | None = None
        try:
            await self.say(wire.Ack(await agents.heartbeat(self.peer_id, beat, self._talk)))
            return
        except ReplayDetected as stale:
            refusal, nonce = stale, stale.nonce
        except InvalidValue as wrong:
            refusal, nonce = wrong, agents.fresh_nonce(self.peer_id)
        except AgentSessionConflict as conflict:
            refusal = conflict
        await self.say(wire.Refused(refusal.code, str(refusal), nonce))
        await self._line.deny.note(refusal.code)

    def on_read_end(self, reader: asyncio.Task[None]) -> None:
        """Close when the reader broke: a stream that still speaks but hears nothing would look alive."""
        failure = None if reader.cancelled() else reader.exception()
        if failure is not None:
            log.error("a stream broke", peer=str(self.peer_id), exc_info=failure)
            self.close(wire.CLOSE_BROKEN, "internal error")


def ending(refusal: Refusal) -> tuple[int, str]:
    """How a stream is closed whose session is over, or suspended."""
    is_blocked = isinstance(refusal, AgentBlocked)
    return (wire.CLOSE_BLOCKED if is_blocked else wire.CLOSE_SESSION_ENDED), str(refusal)


async def _close(send: Send, code: int, reason: str) -> None:
    async with asyncio.timeout(CLOSE_SECONDS):
        await send({"type": "websocket.close", "code": code, "reason": reason})


class StreamHub:
    """All streams of this server, by network."""

    def __init__(self, agents: AgentService, mesh: MeshMemory) -> None:
        self._agents = agents
        self._mesh = mesh
        self._streams: dict[NetworkId, dict[PeerId, Stream]] = {}

    def is_connected(self, peer_id: PeerId) -> bool:
        return any(peer_id in streams for streams in self._streams.values())

    async def serve(self, line: Line, has: int | None) -> None:
        """Run one accepted WebSocket to its end."""
        peer_id = line.peer_id
        try:
            memory, _ = await self._mesh.around(peer_id)
        except NotFound as gone:
            await _close(line.send, wire.CLOSE_SESSION_ENDED, str(gone))
            return
        stream = Stream(line, memory.network.id, has)
        streams = self._streams.setdefault(stream.network_id, {})
        if peer_id in streams:
            streams[peer_id].close(wire.CLOSE_REPLACED, "the same peer has opened another stream")
        streams[peer_id] = stream
        try:
            await stream.say(wire.Hello(self._agents.fresh_nonce(peer_id), self._agents.unix_time()))
            await _close(line.send, *await self._served(stream, line.check))
        except TimeoutError:
            log.warning("an agent does not read its stream and is dropped", peer=str(peer_id))
        except OSError:
            log.debug("an agent hung up while it was told something", peer=str(peer_id))
        finally:
            if streams.get(peer_id) is stream:
                del streams[peer_id]

    async def _served(self, stream: Stream, check_session: Check) -> tuple[int, str]:
        """Read and write `stream` until it closes; nothing is said any more when this returns the close code."""
        reader = asyncio.create_task(stream.read(self._agents))
        reader.add_done_callback(stream.on_read_end)
        try:
            return await self._written(stream, check_session)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _written(self, stream: Stream, check_session: Check) -> tuple[int, str]:
        """Serve `stream` until it closes; returns the code and the reason to close with."""
        try:
            # Once more: a session that ended before the stream was listed had nothing to close.
            await check_session()
            return await stream.write(self._agents)
        except Refusal as refusal:
            return ending(refusal)
        except StoreUnavailable as failure:
            log.error("store unavailable", peer=str(stream.peer_id), error=str(failure))
            return wire.CLOSE_BROKEN, "the database does not answer"

    def changed(self, commit: Commit) -> None:
        """Wake those whom a commit concerns, and end the streams whose session is over."""
        streams = self._streams.get(commit.network_id, {})
        for peer_id in commit.ended:
            if peer_id in streams:
                streams[peer_id].close(wire.CLOSE_SESSION_ENDED, "the session is over")
        for peer_id, incident in commit.blocked.items():
            if peer_id in streams:
                streams[peer_id].close(*ending(AgentBlocked(str(incident))))
        for peer_id in self._concerned(commit, streams):
            stream = streams.get(peer_id)
            if stream is not None:
                stream.wake()

    def _concerned(self, commit: Commit, streams: dict[PeerId, Stream]) -> Iterable[PeerId]:
        memory = self._mesh.known(commit.network_id)
        if commit.audience is Audience.EVERYONE or commit.reload or memory is None:
            return tuple(streams)
        themselves = [peer.id for peer in commit.changed]
        if commit.audience is Audience.NOBODY:
            return themselves
        return [*themselves, *(peer.id for peer in memory.shared.values() if peer.is_jump)]

    def close_all(self) -> None:
        """The server goes away; agents come back by themselves."""
        for streams in self._streams.values():
            for stream in streams.values():
                stream.close(wire.CLOSE_GOING_AWAY, "the server restarts")
