"""The agents' streams: one WebSocket per peer. What is new goes out in ticks, without a task for each; whoever does not
read in time is dropped, so nobody waits for the slow."""

import asyncio
from collections.abc import Iterable

import structlog

from isthmus.domain.errors import AgentBlocked, NotFound, Refusal
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.peer import Audience
from isthmus.protocol import agent as wire
from isthmus.server.adapters.agents.errands import Errands
from isthmus.server.adapters.agents.gates import Gates
from isthmus.server.adapters.agents.stream import Check, Stream, Visitor, close, ending
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.agents import AgentService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.ports import StoreUnavailable
from isthmus.server.records import Commit

log = structlog.get_logger()

TICK_SECONDS = 0.02  # changes that come closer together share one message
AT_A_TIME = 250  # streams that are written to before others get a turn
GOING_AWAY = (wire.CLOSE_GOING_AWAY, "the server restarts")
LOOKS = 5  # of so many looks for what is due, one looks for more than old keys


class StreamHub:
    """All streams of this server, by network."""

    def __init__(self, agents: AgentService, mesh: MeshMemory, errands: Errands) -> None:
        self.errands = errands
        self.gates = Gates(self._let_go)
        self._looks = 0
        self._agents = agents
        self._mesh = mesh
        self._streams: dict[NetworkId, dict[PeerId, Stream]] = {}
        self._behind: dict[Stream, None] = {}
        self._ticking: asyncio.Task[None] | None = None
        self._is_over = False

    def is_connected(self, peer_id: PeerId) -> bool:
        return any(peer_id in streams for streams in self._streams.values())

    async def serve(self, visitor: Visitor, has: int | None, receive: Receive, send: Send) -> None:
        """Run one accepted WebSocket to its end."""
        peer_id = visitor.peer_id
        try:
            memory, _ = await self._mesh.around(peer_id)
        except NotFound as gone:
            await close(send, wire.CLOSE_SESSION_ENDED, str(gone))
            return
        stream = Stream(visitor, memory.network.id, has, send, self)
        streams = self._streams.setdefault(stream.network_id, {})
        if peer_id in streams:
            streams[peer_id].close(wire.CLOSE_REPLACED, "the same peer has opened another stream")
        streams[peer_id] = stream
        if self._is_over:
            stream.close(*GOING_AWAY)
        try:
            await stream.say(wire.Hello(self._agents.fresh_nonce(peer_id), self._agents.unix_time()))
            await close(send, *await self._served(stream, visitor.check, receive))
        except TimeoutError:
            log.warning("an agent does not read its stream and is dropped", peer=str(peer_id))
        except OSError:
            log.debug("an agent hung up while it was told something", peer=str(peer_id))
        finally:
            self._behind.pop(stream, None)
            if streams.get(peer_id) is stream:
                del streams[peer_id]
                self.gates.gone(peer_id)

    async def _served(self, stream: Stream, check_session: Check, receive: Receive) -> tuple[int, str]:
        """Read and write `stream` until it closes; nothing is said any more when this returns the close code."""
        reader = asyncio.create_task(stream.read(receive, self._agents))
        reader.add_done_callback(stream.on_read_end)
        try:
            # Once more: a session that ended before the stream was listed had nothing to close.
            await check_session()
            stream.open(self._agents)
            return await stream.ended
        except Refusal as refusal:
            return ending(refusal)
        except StoreUnavailable as failure:
            log.error("store unavailable", peer=str(stream.peer_id), error=str(failure))
            return wire.CLOSE_BROKEN, "the database does not answer"
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            await stream.stop_writing()

    def changed(self, commit: Commit) -> None:
        """Write to those whom a commit concerns with the next tick, and end the streams whose session is over."""
        streams = self._streams.get(commit.network_id, {})
        for peer_id in commit.ended:
            if peer_id in streams:
                streams[peer_id].close(wire.CLOSE_SESSION_ENDED, "the session is over")
        for peer_id, incident in commit.blocked.items():
            if peer_id in streams:
                streams[peer_id].close(*ending(AgentBlocked(str(incident))))
        self._hold_back(commit, streams)
        for peer_id in self._concerned(commit, streams):
            stream = streams.get(peer_id)
            if stream is not None:
                self._behind[stream] = None
        for peer in commit.changed:
            if peer.rekey_asked_at is not None and peer.id in streams:
                streams[peer.id].ask()
        self._start_ticking()

    def _hold_back(self, commit: Commit, streams: dict[PeerId, Stream]) -> None:
        """Let the one who has to know of a new key first be the first, if it is connected."""
        if commit.first is None or commit.first not in streams:
            return
        themselves = {peer.id for peer in commit.changed}
        is_own = commit.first in themselves
        waiting = [each for each in streams.values() if (each.peer_id in themselves) is not is_own]
        for stream in waiting:
            stream.holds += 1
        self.gates.shut(commit.first, commit.at.revision, waiting)

    def _let_go(self, waiting: Iterable[Stream]) -> None:
        for stream in waiting:
            stream.holds -= 1
            self._behind[stream] = None
        self._start_ticking()

    async def look(self) -> None:
        """Ask connected agents for what is due; called once a second."""
        self._looks += 1
        for network_id, streams in self._streams.items():
            due = set(self.errands.aged(network_id, streams))
            if self._looks % LOOKS == 0:
                due.update(self.errands.pending(network_id, streams))
            for peer_id in due:
                streams[peer_id].ask()

    def _start_ticking(self) -> None:
        if self._behind and self._ticking is None:
            self._ticking = asyncio.create_task(self._tick())
            self._ticking.add_done_callback(self._ticked)

    async def _tick(self) -> None:
        """Write to all who are behind; who falls behind meanwhile is written to one tick later."""
        try:
            while self._behind:
                behind, self._behind = self._behind, {}
                for number, stream in enumerate(behind, 1):
                    stream.write(self._agents)
                    if number % AT_A_TIME == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(TICK_SECONDS)
        finally:
            # At once, not when the loop gets to the task's end: whoever fell behind in between would wait for ever.
            self._ticking = None

    def _ticked(self, task: asyncio.Task[None]) -> None:
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            log.error("telling the agents broke", exc_info=failure)

    def _concerned(self, commit: Commit, streams: dict[PeerId, Stream]) -> Iterable[PeerId]:
        memory = self._mesh.known(commit.network_id)
        if commit.audience is Audience.EVERYONE or commit.reload or memory is None:
            return tuple(streams)
        themselves = [peer.id for peer in commit.changed]
        if commit.audience is Audience.NOBODY:
            return themselves
        return [*themselves, *(peer.id for peer in memory.shared.values() if peer.is_jump)]

    def close_all(self) -> None:
        """The server goes away, also for who comes while it does; agents come back by themselves."""
        self._is_over = True
        for streams in self._streams.values():
            for stream in streams.values():
                stream.close(*GOING_AWAY)
