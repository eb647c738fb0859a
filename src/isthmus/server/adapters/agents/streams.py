"""The agents' streams: one WebSocket per peer, with a bounded outbox and one writer, so nobody waits for the slow."""

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec
import structlog

from isthmus.domain.errors import Refusal, ReplayDetected, Unauthenticated
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Audience
from isthmus.protocol import agent as wire
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.agents import AgentService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.records import Commit

log = structlog.get_logger()

MAX_OUTBOX = 32  # answers that an agent has not read yet
SEND_SECONDS = 10.0  # how long a frame may wait for a reader
TICK_SECONDS = 0.02  # changes that come closer together share one message


class Stream:
    """One connected agent. `close` may be called from anywhere; the writer says it and ends."""

    def __init__(self, peer_id: PeerId, network_id: NetworkId, has: int | None) -> None:
        self.peer_id = peer_id
        self.network_id = network_id
        self._sent = has
        self._knows_where_it_stands = False
        self._outbox: deque[bytes] = deque()
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

    def answer(self, message: wire.FromServer) -> None:
        if len(self._outbox) >= MAX_OUTBOX:
            self.close(wire.CLOSE_TOO_SLOW, "answers are not read")
            return
        self._outbox.append(wire.encode(message))
        self._wake.set()

    def resync(self) -> None:
        self._sent = None
        self.wake()

    async def write(self, send: Send, agents: AgentService) -> tuple[int, str]:
        """Send what there is until the stream closes; returns code and reason. Raises `TimeoutError` when a frame
        is not taken in time."""
        while self._closing is None:
            while self._outbox:
                await _send(send, self._outbox.popleft())
            if self._changed:
                await self._send_config(send, agents)
            if not self._outbox and not self._changed:
                await self._wake.wait()
            self._wake.clear()
        return self._closing

    async def _send_config(self, send: Send, agents: AgentService) -> None:
        is_first, self._knows_where_it_stands = not self._knows_where_it_stands, True
        self._changed = False
        revision, config = await agents.config(self.peer_id, self._sent)
        if config is not None:
            self._sent = revision
            await _send(send, wire.encode(wire.Snapshot(revision, config)))
            await asyncio.sleep(TICK_SECONDS)
        elif is_first:
            await _send(send, wire.encode(wire.Unchanged(revision)))

    async def read(self, receive: Receive, agents: AgentService) -> None:
        """Take messages until the agent hangs up or the session ends."""
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                self.close(1000, "the agent hung up")
                return
            text = message.get("text") or message.get("bytes") or b""
            try:
                await self._take(wire.decode_from_agent(text), agents)
            except msgspec.MsgspecError as error:
                self.answer(wire.Refused("validation_failed", str(error)[:200]))
            except Unauthenticated as ended:
                self.close(wire.CLOSE_SESSION_ENDED, str(ended))
                return

    async def _take(self, message: wire.FromAgent, agents: AgentService) -> None:
        if isinstance(message, wire.Heartbeat):
            try:
                nonce = await agents.heartbeat(self.peer_id, message)
            except ReplayDetected as stale:
                self.answer(wire.Refused(stale.code, str(stale), stale.nonce))
                return
            self.answer(wire.Ack(nonce, agents.unix_time()))
        elif isinstance(message, wire.Applied):
            await agents.applied(self.peer_id, message)
        else:
            self.resync()


async def _send(send: Send, data: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "websocket.send", "text": data.decode()})


class StreamHub:
    """All streams of this server, by network."""

    def __init__(self, agents: AgentService, mesh: MeshMemory) -> None:
        self._agents = agents
        self._mesh = mesh
        self._streams: dict[NetworkId, dict[PeerId, Stream]] = {}

    def is_connected(self, peer_id: PeerId) -> bool:
        return any(peer_id in streams for streams in self._streams.values())

    async def serve(self, peer_id: PeerId, has: int | None, receive: Receive, send: Send) -> None:
        """Run one accepted WebSocket to its end."""
        memory, _ = await self._mesh.around(peer_id)
        stream = Stream(peer_id, memory.network.id, has)
        streams = self._streams.setdefault(stream.network_id, {})
        if peer_id in streams:
            streams[peer_id].close(wire.CLOSE_REPLACED, "the same peer has opened another stream")
        streams[peer_id] = stream
        stream.answer(wire.Hello(self._agents.fresh_nonce(peer_id), self._agents.unix_time()))
        reader = asyncio.create_task(stream.read(receive, self._agents))
        try:
            code, reason = await stream.write(send, self._agents)
            await asyncio.wait_for(send({"type": "websocket.close", "code": code, "reason": reason}), SEND_SECONDS)
        except TimeoutError:
            log.warning("an agent does not read its stream and is dropped", peer=str(peer_id))
        except Refusal as refusal:
            await send({"type": "websocket.close", "code": wire.CLOSE_SESSION_ENDED, "reason": str(refusal)})
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if streams.get(peer_id) is stream:
                del streams[peer_id]

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
        return [*themselves, *(peer.id for peer in memory.special.values() if peer.is_jump)]

    def close_all(self) -> None:
        """The server goes away; agents come back by themselves."""
        for streams in self._streams.values():
            for stream in streams.values():
                stream.close(wire.CLOSE_GOING_AWAY, "the server restarts")
