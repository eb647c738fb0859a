"""The agents' streams: one WebSocket per peer. Configs have one writer and answers go out as they arise; whoever does
not read in time is dropped, so nobody waits for the slow."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import structlog

from isthmus.domain.errors import NotFound, Refusal, ReplayDetected, Unauthenticated
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Audience
from isthmus.protocol import agent as wire
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.agents import AgentService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.ports import StoreUnavailable
from isthmus.server.records import Commit

Check = Callable[[], Awaitable[object]]
log = structlog.get_logger()

SEND_SECONDS = 10.0  # how long a frame may wait for a reader
CLOSE_SECONDS = 1.0
HUNG_UP = 1000
TICK_SECONDS = 0.02  # changes that come closer together share one message


class Stream:
    """One connected agent. `close` may be called from anywhere; the writer says it and ends."""

    def __init__(self, peer_id: PeerId, network_id: NetworkId, has: int | None, send: Send) -> None:
        self.peer_id = peer_id
        self.network_id = network_id
        self._sent = has
        self._send = send
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

    async def read(self, receive: Receive, agents: AgentService) -> None:
        """Take messages until the agent hangs up, its session ends, or it does not read the answers."""
        try:
            while self._closing is None:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self.close(HUNG_UP, "the agent hung up")
                    return
                await self._take(message.get("text") or message.get("bytes") or b"", agents)
        except Unauthenticated as ended:
            self.close(wire.CLOSE_SESSION_ENDED, str(ended))
        except TimeoutError:
            self.close(wire.CLOSE_TOO_SLOW, "answers are not read")
        except OSError:
            self.close(HUNG_UP, "the agent hung up")

    async def _take(self, text: str | bytes, agents: AgentService) -> None:
        try:
            message = wire.decode_from_agent(text)
        except msgspec.MsgspecError as error:
            await self.say(wire.Refused("validation_failed", str(error)[:200]))
            return
        if isinstance(message, wire.Heartbeat):
            await self.say(await self._acknowledged(message, agents))
        elif isinstance(message, wire.Applied):
            await agents.applied(self.peer_id, message)
        else:
            self.resync()

    async def _acknowledged(self, beat: wire.Heartbeat, agents: AgentService) -> wire.FromServer:
        try:
            return wire.Ack(await agents.heartbeat(self.peer_id, beat))
        except ReplayDetected as stale:
            return wire.Refused(stale.code, str(stale), stale.nonce)

    def on_read_end(self, reader: asyncio.Task[None]) -> None:
        """Close when the reader broke: a stream that still speaks but hears nothing would look alive."""
        failure = None if reader.cancelled() else reader.exception()
        if failure is not None:
            log.error("a stream broke", peer=str(self.peer_id), exc_info=failure)
            self.close(wire.CLOSE_BROKEN, "internal error")


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

    async def serve(self, peer_id: PeerId, has: int | None, check_session: Check, receive: Receive, send: Send) -> None:
        """Run one accepted WebSocket to its end. `check_session` raises `Refusal` when the session is over."""
        try:
            memory, _ = await self._mesh.around(peer_id)
        except NotFound as gone:
            await _close(send, wire.CLOSE_SESSION_ENDED, str(gone))
            return
        stream = Stream(peer_id, memory.network.id, has, send)
        streams = self._streams.setdefault(stream.network_id, {})
        if peer_id in streams:
            streams[peer_id].close(wire.CLOSE_REPLACED, "the same peer has opened another stream")
        streams[peer_id] = stream
        try:
            await stream.say(wire.Hello(self._agents.fresh_nonce(peer_id), self._agents.unix_time()))
            await _close(send, *await self._served(stream, check_session, receive))
        except TimeoutError:
            log.warning("an agent does not read its stream and is dropped", peer=str(peer_id))
        except OSError:
            log.debug("an agent hung up while it was told something", peer=str(peer_id))
        finally:
            if streams.get(peer_id) is stream:
                del streams[peer_id]

    async def _served(self, stream: Stream, check_session: Check, receive: Receive) -> tuple[int, str]:
        """Read and write `stream` until it closes; nothing is said any more when this returns the close code."""
        reader = asyncio.create_task(stream.read(receive, self._agents))
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
            return wire.CLOSE_SESSION_ENDED, str(refusal)
        except StoreUnavailable as failure:
            log.error("store unavailable", peer=str(stream.peer_id), error=str(failure))
            return wire.CLOSE_BROKEN, "the database does not answer"

    def changed(self, commit: Commit) -> None:
        """Wake those whom a commit concerns, and end the streams whose session is over."""
        streams = self._streams.get(commit.network_id, {})
        for peer_id in commit.ended:
            if peer_id in streams:
                streams[peer_id].close(wire.CLOSE_SESSION_ENDED, "the session is over")
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
