"""A connection to one of the server's listeners, and what is taken of it before anybody has said who they are."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from isthmus.server.adapters.http.crowd import Crowd
from isthmus.server.adapters.http.edge import SECURITY_HEADERS
from isthmus.server.adapters.http.errors import problem
from isthmus.server.application.caller import Caller

MOST_HEAD = 16 * 1024
HEAD_SECONDS = 10.0
MESSAGE_SECONDS = 60.0
RETRY_SECONDS = 2
# What is still read of a request that has its answer: whoever sends and does not listen would else never see it.
LEFT_SECONDS, MOST_LEFT = 2.0, 4 * 1024 * 1024
READ_AHEAD = 64 * 1024
DETAILS = {
    "headers_too_large": "the request line and the headers together may have 16 KiB",
    "connection_limit": "too many connections of this source wait without a request",
    "malformed_request": "this is no HTTP/1.1",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """What connections of one listener share. `on_cut` is told who was refused with what. Without a crowd, the file
    system says who may connect, and nobody is cut for being slow or many."""

    on_cut: Callable[[Caller, str], None]
    crowd: Crowd | None


class Connection(HttpToolsProtocol):
    """uvicorn's, with a bound on what a head may have, on how long a request may take to come, and on how many may keep
    us waiting. One that has proven who calls is let be between its requests."""

    def __init__(self, config: uvicorn.Config, state: ServerState, guard: Guard) -> None:
        super().__init__(config, state, {})
        self._guard = guard
        self._deadline: asyncio.TimerHandle | None = None
        self._is_in_head = self._is_in_body = False
        self._is_proven = self._is_cut = self._is_too_large = False
        # Bytes since the request began, or since the last of its body: of the head, or of trailers.
        self._unused = 0
        self._left = MOST_LEFT

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # That of a stream is one.
        super().connection_made(cast("asyncio.Transport", transport))
        if hasattr(transport, "set_read_buffer_limits"):
            # TLS reads ahead by itself.
            transport.set_read_buffer_limits(READ_AHEAD)
        self._hurry(HEAD_SECONDS)
        self._join()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._await_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_cut or self._is_answered_early:
            self._left -= len(data)
            if self._left < 0:
                self.flow.pause_reading()
            if self._is_cut:
                return
        self._unused += len(data)
        super().data_received(data)
        if self._unused > MOST_HEAD and (self._is_in_head or self._is_in_body) and not self._is_cut:
            self._cut("headers_too_large")

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The request whose head came last, and its answer."""
        return self.cycle

    @property
    def _is_answered_early(self) -> bool:
        """The answer went out before all of the request had come."""
        return self._is_in_body and self.cycle.response_complete

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        if self._deadline is None:
            self._hurry(HEAD_SECONDS)
            self._join()

    def on_headers_complete(self) -> None:
        self._is_too_large = len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD
        if self._is_too_large:
            raise ValueError("headers_too_large")
        self._is_in_head = False
        self._unused, self._left = 0, MOST_LEFT
        self._hurry(MESSAGE_SECONDS)
        before = self.cycle
        super().on_headers_complete()
        # None is begun for what becomes a WebSocket.
        self._is_in_body = self.cycle is not before

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        was_answered, self._is_in_body, self._unused = self._is_answered_early, False, 0
        self._await_no_longer()
        self._leave()
        super().on_message_complete()
        if was_answered:
            self._be_idle()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._is_proven = self._is_proven or _is_known(self.cycle.scope)
        if self.transport.is_closing():
            return
        if self._is_answered_early:
            self._await_within(LEFT_SECONDS)
        elif not self._is_in_head and self.cycle.response_complete:
            self._be_idle()

    def _be_idle(self) -> None:
        """Between two requests."""
        self._join()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def handle_websocket_upgrade(self) -> None:
        self._await_no_longer()
        self._leave()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._cut("headers_too_large" if self._is_too_large else "malformed_request")

    def turn_away(self) -> None:
        """There are too many that keep us waiting."""
        last = self._last
        if last is not None and last.response_complete and not self._is_in_head and not self._is_in_body:
            # Between two requests nothing is refused.
            self._leave()
            self.transport.close()
        else:
            self._cut("connection_limit", retry_after=RETRY_SECONDS)

    def _cut(self, code: str, **members: Any) -> None:
        """Refuse what comes, unless an answer has begun, and close."""
        self._leave()
        if self._is_cut or self.transport.is_closing():
            return
        self._is_cut = True
        caller = Caller("anyone", str(uuid4()), self.client[0] if self.client else None)
        self._guard.on_cut(caller, code)
        last = self._last
        if last is None or not last.response_started or (last.response_complete and self._is_in_head):
            self.transport.write(_answer(code, caller.request_id, members))
        if last is not None:
            # Whoever answers it is told that nobody listens any more.
            last.disconnected = True
            last.message_event.set()
        if code == "connection_limit":
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._left = MOST_LEFT
        self._await_within(LEFT_SECONDS)

    def _hurry(self, seconds: float) -> None:
        if self._guard.crowd is not None:
            self._await_within(seconds)

    def _await_within(self, seconds: float) -> None:
        self._await_no_longer()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _await_no_longer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.flow.read_paused and not self._is_cut and not self._is_answered_early:
            # It is us that take nothing.
            self._await_within(MESSAGE_SECONDS)
        elif self._is_cut:
            self.transport.abort()
        else:
            self.transport.close()

    def _join(self) -> None:
        if self._guard.crowd is not None and self.client is not None and not self._is_proven:
            self._guard.crowd.join(self.client[0], self)

    def _leave(self) -> None:
        if self._guard.crowd is not None and self.client is not None:
            self._guard.crowd.leave(self.client[0], self)


def _is_known(scope: Any) -> bool:
    caller = scope["state"].get("caller")
    return isinstance(caller, Caller) and caller.actor != "anyone"


def _answer(code: str, request_id: str, members: dict[str, Any]) -> bytes:
    """A whole answer, beside the application."""
    response = problem(code, DETAILS[code], request_id, **members)
    more = [(b"x-request-id", request_id.encode()), *SECURITY_HEADERS, (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % pair for pair in [*response.raw_headers, *more]]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])
