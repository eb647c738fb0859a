"""What happens to every request before a route sees it: an id, a bound on its size, and who is asking."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import uuid4

from starlette.exceptions import HTTPException

from isthmus.domain.accounts import ALL_SCOPES
from isthmus.server.adapters.http.access import API
from isthmus.server.adapters.http.errors import problem
from isthmus.server.application.caller import Caller
from isthmus.server.application.tally import Tally

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 256 * 1024
MAX_BULK_BODY = 1024 * 1024
BULK_PATHS = "/peers/bulk"
AGENT_PATHS = f"{API}/agent/"
UNSERVED = f"{API}/-"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
NOT_KEPT = (b"cache-control", b"no-store")


class BodyTooLarge(HTTPException):
    """The body grew over the bound while it was read. Whatever reads bodies lets this kind of exception through."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"the body is larger than {most} bytes")


class Visitors(Enum):
    """Whose paths a listener answers."""

    ALL = "all"
    PEOPLE = "people"
    AGENTS = "agents"

    def has(self, path: str) -> bool:
        return self is Visitors.ALL or path.startswith(AGENT_PATHS) == (self is Visitors.AGENTS)


@dataclass(frozen=True, slots=True)
class Counting:
    """Who is told of each answer, and of what is refused before the application has seen it."""

    tally: Tally
    on_cut: Callable[[Caller, str], None]


class Edge:
    """Wraps an application for one listener. `local` marks the server's own socket, where file permissions have
    already said who may connect."""

    def __init__(
        self, app: App, visitors: Visitors = Visitors.ALL, *, local: bool = False, counting: Counting | None = None
    ) -> None:
        self._app = app
        counting = counting or Counting(Tally(), lambda caller, code: None)
        self._tally, self._on_cut = counting.tally, counting.on_cut
        self._visitors = visitors
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["caller"] = self._caller(scope, request_id)
        if not self._visitors.has(scope["path"]):
            # A path of its own, which nobody serves: the answer is that of any other unknown path.
            scope["path"] = UNSERVED
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._bounded(scope, receive, self._counted(scope, _stamped(send, request_id)), request_id)

    def _counted(self, scope: Scope, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The template, where a route was found: what was asked for can be anything.
                route = getattr(scope.get("route"), "path", None)
                self._tally.answered(scope["method"], route, message["status"])
            await send(message)

        return counted

    def _caller(self, scope: Scope, request_id: str) -> Caller:
        if self._local:
            return Caller("local", request_id, scopes=ALL_SCOPES)
        client = scope.get("client")
        return Caller("anyone", request_id, client[0] if client else None)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Refuse bodies over the bound, announced or not, before anybody buffers them."""
        most = MAX_BULK_BODY if scope["path"].endswith(BULK_PATHS) else MAX_BODY
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        is_too_large = announced.isdigit() and int(announced[:12]) > most
        # An agent is told who it is first: its refusals are on record under its name.
        if is_too_large and not scope["path"].startswith(AGENT_PATHS):
            self._on_cut(scope["state"]["caller"], "body_too_large")
            refuse = problem("body_too_large", BodyTooLarge(most).detail, request_id)
            await refuse(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            if is_too_large:
                raise BodyTooLarge(most)
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise BodyTooLarge(most)
            return message

        await self._app(scope, counted, send)


def _stamped(send: Send, request_id: str) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"x-request-id", request_id.encode()), *SECURITY_HEADERS]
            # What says nothing of it is data, of which no browser and no proxy keeps a copy.
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(NOT_KEPT)
            message["headers"] = headers
        await send(message)

    return stamped
