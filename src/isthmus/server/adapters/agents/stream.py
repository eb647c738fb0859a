"""One agent's stream: what is said to it, what it says, and how it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog

from isthmus.domain.errors import (
    AgentBlocked,
    AgentSessionConflict,
    InvalidValue,
    Refusal,
    ReplayDetected,
    Unauthenticated,
)
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.protocol import agent as wire
from isthmus.server.adapters.agents.errands import Errands
from isthmus.server.adapters.agents.gates import Gates
from isthmus.server.adapters.agents.stream_denials import Denials
from isthmus.server.adapters.http.edge import Receive, Send
from isthmus.server.application.agents import AgentService, Conversation
from isthmus.server.application.caller import Caller
from isthmus.server.application.network_memory import News
from isthmus.server.ports import Presence, StoreUnavailable

Check = Callable[[], Awaitable[object]]
log = structlog.get_logger()

SEND_SECONDS = 10.0  # how long a frame may wait for a reader
CLOSE_SECONDS = 1.0
HUNG_UP = 1000
TOO_BIG = 1009
ASK_AGAIN_SECONDS = 5.0  # an agent that was asked for a new key has this long to send it


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose stream it is, and who asked for it; `check` raises `Refusal` when the session is over or suspended."""

    peer_id: PeerId
    caller: Caller
    check: Check
    denials: Denials


class Hub(Presence, Protocol):
    """What a stream knows of the others."""

    errands: Errands
    gates: Gates["Stream"]


class Stream:
    """One connected agent. `close` may be called from anywhere; `ended` then has the code and the reason.

    Nothing new of its config is sent while `holds` is above 0; whoever lowers it writes.
    """

    def __init__(self, visitor: Visitor, network_id: NetworkId, has: int | None, send: Send, hub: Hub) -> None:
        self.peer_id = visitor.peer_id
        self.network_id = network_id
        self.holds = 0
        self._caller = visitor.caller
        self._denials = visitor.denials
        self._talk = Conversation.began(visitor.caller.source)
        self._hub = hub
        self._asking: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._sent = has
        self._send = send
        self._is_open = False
        self._knows_where_it_stands = False
        self._writing: asyncio.Task[None] | None = None
        self._is_behind = False

    def close(self, code: int, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result((code, reason))

    async def say(self, message: wire.FromServer) -> None:
        """Send one message. Raises `TimeoutError` when the agent does not read in time: what it has not taken yet is
        then one message and what the socket holds, never more."""
        text = wire.encode(message).decode()
        if not self._sent_at_once(text):
            await self._write_text(text)

    def open(self, agents: AgentService) -> None:
        """From now on the agent is told what is new, first of all where it stands."""
        self._is_open = True
        self.write(agents)
        self.ask()

    def write(self, agents: AgentService) -> None:
        """Send what is new. Where that would have to wait, for the reader or for the database, a task goes on."""
        if self._writing is not None:
            self._is_behind = True
        elif self._is_open and not self.holds and not self.ended.done():
            try:
                self._write(agents)
            except (OSError, Refusal, StoreUnavailable) as failure:
                self._failed(failure)
            except Exception as defect:  # whatever it is, the next stream shall get its news
                log.error("a stream broke", peer=str(self.peer_id), exc_info=defect)
                self.close(wire.CLOSE_BROKEN, "internal error")

    def _write(self, agents: AgentService) -> None:
        news = agents.news_at_hand(self.peer_id, self._sent)
        if news is not None:
            text = self._told(news)
            if text is None or self._sent_at_once(text):
                return
            self._go_on(self._write_text(text), agents)
        else:
            self._go_on(self._write_news(agents), agents)

    def _told(self, news: News) -> str | None:
        """The message that brings the agent to `news`, which counts as sent; None when there is nothing to say."""
        is_first, self._knows_where_it_stands = not self._knows_where_it_stands, True
        if news.delta is not None:
            self._sent = news.revision
            return news.delta
        if news.config is not None:
            self._sent = news.revision
            return wire.encode(wire.Snapshot(news.revision, news.config)).decode()
        return wire.encode(wire.Unchanged(news.revision)).decode() if is_first else None

    def _sent_at_once(self, text: str) -> bool:
        """Send, if the socket takes it now. The server under us waits before it writes anything, never in between; with
        another one the agent might get the message twice, which it would pass over."""
        sending: Coroutine[Any, Any, None] = self._send(_text(text))  # type: ignore[assignment]  # `async def` all
        try:
            sending.send(None)
        except StopIteration:
            return True
        sending.close()
        return False

    def _go_on(self, work: Coroutine[Any, Any, None], agents: AgentService) -> None:
        def done(task: asyncio.Task[None]) -> None:
            self._writing = None
            failure = None if task.cancelled() else task.exception()
            if failure is not None:
                self._failed(failure)
            if self._is_behind:
                self._is_behind = False
                self.write(agents)

        self._writing = asyncio.create_task(work)
        self._writing.add_done_callback(done)

    async def _write_text(self, text: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._send(_text(text))

    async def _write_news(self, agents: AgentService) -> None:
        text = self._told(await agents.news(self.peer_id, self._sent))
        if text is not None:
            await self._write_text(text)

    def _failed(self, failure: BaseException) -> None:
        match failure:
            case TimeoutError():
                log.warning("an agent does not read its stream and is dropped", peer=str(self.peer_id))
                self.close(wire.CLOSE_TOO_SLOW, "messages are not read")
            case OSError():
                self.close(HUNG_UP, "the agent hung up")
            case Refusal():
                self.close(*ending(failure))
            case StoreUnavailable():
                log.error("store unavailable", peer=str(self.peer_id), error=str(failure))
                self.close(wire.CLOSE_BROKEN, "the database does not answer")
            case _:
                log.error("a stream broke", peer=str(self.peer_id), exc_info=failure)
                self.close(wire.CLOSE_BROKEN, "internal error")

    def ask(self) -> None:
        """Ask of the agent what is due beside its config, unless that is being done."""
        if self._asking is None and self._is_open and not self.ended.done():
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._was_asked)

    async def _ask(self) -> None:
        now = asyncio.get_running_loop().time()
        for message in await self._hub.errands.of(self.peer_id, self._hub):
            if isinstance(message, wire.Rotate):
                if self._asked_at is not None and now - self._asked_at < ASK_AGAIN_SECONDS:
                    continue
                self._asked_at = now
            await self.say(message)

    def _was_asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failed(failure)

    async def stop_writing(self) -> None:
        """Nothing is said any more when this returns."""
        self._is_behind = False
        for task in (self._writing, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def resync(self, agents: AgentService) -> None:
        self._sent = None
        self.write(agents)

    async def read(self, receive: Receive, agents: AgentService) -> None:
        """Take messages until the agent hangs up, its session ends, or it does not read the answers."""
        try:
            while not self.ended.done():
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self.close(HUNG_UP, "the agent hung up")
                    if message.get("code") == TOO_BIG:
                        await self._denials.note("body_too_large")
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
            await self._denials.note("validation_failed")
            return
        if isinstance(message, wire.Heartbeat):
            await self._answer(message, agents)
        elif isinstance(message, wire.Applied):
            await agents.applied(self.peer_id, message)
            self._hub.gates.applied(self.peer_id, message.revision)
        elif isinstance(message, wire.Rekey):
            await self._rekey(message)
        else:
            self.resync(agents)

    async def _rekey(self, message: wire.Rekey) -> None:
        # Should another key be wanted right after this one, it is asked for without a pause.
        self._asked_at = None
        try:
            await self._hub.errands.keys.rekey(self._caller, self.peer_id, message.public_key)
        except (Unauthenticated, AgentBlocked):
            raise
        except Refusal as refusal:
            await self.say(wire.Refused(refusal.code, str(refusal)))
            await self._denials.note(refusal.code)

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
        await self._denials.note(refusal.code)

    def on_read_end(self, reader: asyncio.Task[None]) -> None:
        """Close when the reader broke: a stream that still speaks but hears nothing would look alive."""
        failure = None if reader.cancelled() else reader.exception()
        if failure is not None:
            log.error("a stream broke", peer=str(self.peer_id), exc_info=failure)
            self.close(wire.CLOSE_BROKEN, "internal error")


def _text(text: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": text}


def ending(refusal: Refusal) -> tuple[int, str]:
    """How a stream is closed whose session is over, or suspended."""
    is_blocked = isinstance(refusal, AgentBlocked)
    return (wire.CLOSE_BLOCKED if is_blocked else wire.CLOSE_SESSION_ENDED), str(refusal)


async def close(send: Send, code: int, reason: str) -> None:
    # The server under us may just have closed by itself, for its ping was not answered: then it takes no second close.
    with contextlib.suppress(RuntimeError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await send({"type": "websocket.close", "code": code, "reason": reason})
