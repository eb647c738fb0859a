"""The components of this backend, each behind its own unix socket, over connections that stay open."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from uuid import uuid4

import msgspec
import structlog
from msgspec.structs import replace

from isthmus.domain.federation.denial import Denied
from isthmus.federator.adapters.http1 import Http
from isthmus.federator.adapters.keys import KeyFile
from isthmus.federator.adapters.wire import Wire
from isthmus.federator.calling import CallFailed, Reply
from isthmus.federator.passage import Answer
from isthmus.protocol import federation as wire
from isthmus.protocol import ingress
from isthmus.protocol.context import HEADER, LIFE, Context, seal
from isthmus.protocol.places import Places
from isthmus.protocol.steady import since_start

log = structlog.get_logger()

MOST_CONNECTIONS = 128
# Shorter than the components keep theirs, so that no request goes into a closing one.
IDLE_SECONDS = 30.0
RETRY_SECONDS = 1
OUTAGE = 500


class Coded(msgspec.Struct):
    """The one member of a problem that is read here."""

    code: str = ""


class ContextRefused(Exception):
    """The component does not take the context that it got: nothing that the caller could do something about."""


class Unreachable(Exception):
    """The component cannot be connected to, or hung up before it answered."""


class Connections:
    """Those to one component: so many at a time, and who needs one more waits."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)
        self._resting: list[tuple[Http, float]] = []

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raises `Unreachable`, and `CallFailed` for an answer that is none."""
        async with self._turns:
            http = self._rested() or await self._opened()
            try:
                reply = await http.exchange(path, headers, body)
            except CallFailed as failure:
                if failure.heard:
                    raise
                raise Unreachable(str(failure)) from None
            if http.is_usable:
                self._resting.append((http, asyncio.get_running_loop().time()))
            return reply

    def close(self) -> None:
        for http, _ in self._resting:
            http.close()

    def _rested(self) -> Http | None:
        now = asyncio.get_running_loop().time()
        while self._resting:
            http, since = self._resting.pop()
            if http.is_usable and now - since < IDLE_SECONDS:
                return http
            http.close()
        return None

    async def _opened(self) -> Http:
        try:
            _, made = await asyncio.get_running_loop().create_unix_connection(Wire, self._path)
        except OSError as error:
            raise Unreachable(str(error)) from None
        # The name is for the eye alone: the socket leads to one place.
        return Http(made, "component")


class ComponentSockets:
    """Use it as a context manager. It sets no deadline of its own: that of the whole call holds."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._connections: dict[str, Connections] = {}
        self._keys: dict[str, KeyFile] = {}

    async def __aenter__(self) -> "ComponentSockets":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connections in self._connections.values():
            connections.close()

    async def call(self, context: Context, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            return await self._try(context, headers, body)
        except (Unreachable, ContextRefused):
            # The component was started again: the connection was one to its former self, or the context is older than
            # it. A new one, because each is taken once; a mutation carries its idempotency key.
            now = since_start()
            context = replace(context, iat=now, exp=now + LIFE, jti=uuid4().hex)
        try:
            return await self._try(context, headers, body)
        except Unreachable as error:
            raise _unavailable("component.unreachable", str(error)) from None
        except ContextRefused:
            raise _unavailable("component.context", "it takes no context of ours: do both have the same key?") from None

    async def _try(self, context: Context, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            reply = await self._to(context.aud).post(context.path, {**headers, **self._headers(context)}, body)
        except CallFailed as failure:
            reason = "too_large" if failure.code == "remote_response_too_large" else "protocol"
            raise _unavailable(f"component.{reason}", failure.detail) from None
        if reply.status == HTTPStatus.SERVICE_UNAVAILABLE and _code_of(reply.body) == "overloaded":
            raise _unavailable("component.overloaded", "it cannot answer at the moment", "overloaded")
        if reply.status >= OUTAGE or reply.status < 200 or 300 <= reply.status < 400:
            raise _unavailable("component.outage", f"status {reply.status}")
        if reply.status == HTTPStatus.UNAUTHORIZED and _code_of(reply.body) == "context_invalid":
            raise ContextRefused
        return Answer(reply.status, reply.headers.get("content-type", ""), reply.body)

    def _headers(self, context: Context) -> dict[str, str]:
        file = self._keys.get(context.aud)
        if file is None:
            file = self._keys[context.aud] = KeyFile(self._places.context_key(context.aud))
        key = file.read()
        if key is None:
            raise _unavailable("component.no_key", "there is no context key for the component")
        return {
            HEADER: seal(context, key),
            wire.REQUEST_ID: context.request_id,
            wire.API_VERSION: str(context.api_version),
            wire.ORIGIN: context.origin,
            # What the context proves, once more under the names that backends know; nobody decides by them.
            ingress.INSTANCE: context.instance,
            ingress.NETWORK: context.network,
            ingress.SOURCE: context.source,
            "Content-Type": "application/json",
        }

    def _to(self, component: str) -> Connections:
        found = self._connections.get(component)
        if found is None:
            found = self._connections[component] = Connections(str(self._places.component(component)))
        return found


def _code_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Coded).code
    except msgspec.MsgspecError:
        return ""


def _unavailable(reason: str, why: str, code: str = "upstream_unavailable") -> Denied:
    log.error("a component gave no answer of use", reason=reason, why=why)
    return Denied(code, reason, "the backend cannot answer at the moment", {"retry_after": RETRY_SECONDS})
