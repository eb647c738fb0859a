"""The components of this backend, each behind its own unix socket, over connections that stay open."""

from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from uuid import uuid4

import msgspec
import structlog
from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout, StreamReader, UnixConnector
from msgspec.structs import replace

from isthmus.domain.federation.denial import Denied
from isthmus.federator.adapters.keys import KeyFile
from isthmus.federator.inbound import Answer
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


class ComponentSockets:
    """Use it as a context manager. It sets no deadline of its own: that of the whole call holds."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._sessions: dict[str, ClientSession] = {}
        self._keys: dict[str, KeyFile] = {}

    async def __aenter__(self) -> "ComponentSockets":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    async def call(self, context: Context, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            return await self._try(context, headers, body)
        except (ClientConnectionError, ContextRefused):
            # The component was started again: the connection was one to its former self, or the context is older than
            # it. A new one, because each is taken once; a mutation carries its idempotency key.
            now = since_start()
            context = replace(context, iat=now, exp=now + LIFE, jti=uuid4().hex)
        try:
            return await self._try(context, headers, body)
        except ClientConnectionError as error:
            raise _unavailable("component.unreachable", str(error)) from None
        except ContextRefused:
            raise _unavailable("component.context", "it takes no context of ours: do both have the same key?") from None

    async def _try(self, context: Context, headers: Mapping[str, str], body: bytes) -> Answer:
        session, own = self._session(context.aud), self._headers(context)
        try:
            async with session.post(context.path, data=body, headers={**headers, **own}) as answer:
                read = await _bounded(answer.content)
                status, kind = answer.status, answer.headers.get("Content-Type", "")
        except ClientConnectionError:
            raise
        except ClientError as error:
            raise _unavailable("component.protocol", str(error)) from None
        if status >= OUTAGE or status < 200 or 300 <= status < 400:
            raise _unavailable("component.outage", f"status {status}")
        if status == HTTPStatus.UNAUTHORIZED and _code_of(read) == "context_invalid":
            raise ContextRefused
        return Answer(status, kind, read)

    def _headers(self, context: Context) -> dict[str, str]:
        key = self._keys.setdefault(context.aud, KeyFile(self._places.context_key(context.aud))).read()
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

    def _session(self, component: str) -> ClientSession:
        if component not in self._sessions:
            path = str(self._places.component(component))
            self._sessions[component] = ClientSession(
                connector=UnixConnector(path=path, limit=MOST_CONNECTIONS, keepalive_timeout=IDLE_SECONDS),
                base_url="http://component",
                timeout=ClientTimeout(total=None),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            )
        return self._sessions[component]


def _code_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=Coded).code
    except msgspec.MsgspecError:
        return ""


async def _bounded(content: StreamReader) -> bytes:
    """All of an answer, as far as it may be passed on. Raises `Denied`."""
    parts, size = [], 0
    async for part in content.iter_any():
        size += len(part)
        if size > wire.MOST_RESPONSE:
            raise _unavailable("component.too_large", f"an answer of more than {wire.MOST_RESPONSE} bytes")
        parts.append(part)
    return b"".join(parts)


def _unavailable(reason: str, why: str) -> Denied:
    log.error("a component gave no answer of use", reason=reason, why=why)
    return Denied(
        "upstream_unavailable", reason, "the backend cannot answer at the moment", {"retry_after": RETRY_SECONDS}
    )
