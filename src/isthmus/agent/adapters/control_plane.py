"""The server over the network: enrollment, the WebSocket stream, and plain HTTPS where WebSockets are blocked."""

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from isthmus.agent.adapters import past_tunnel, whereabouts
from isthmus.agent.errors import (
    Blocked,
    EnrollmentRefused,
    InsecureServer,
    InstanceRefused,
    InvalidSettings,
    SessionEnded,
    Unreachable,
)
from isthmus.protocol.agent import (
    CLOSE_BLOCKED,
    CLOSE_SESSION_ENDED,
    Ack,
    Applied,
    ConfigAnswer,
    EnrollAnswer,
    EnrollRequest,
    FromAgent,
    FromServer,
    Heartbeat,
    InstanceAnswer,
    InstanceRequest,
    Refused,
    Rekey,
    decode_from_server,
    encode,
)

if TYPE_CHECKING:
    from httpx2 import AsyncClient

T = TypeVar("T")
log = structlog.get_logger()

OPEN_SECONDS = 10.0
SEND_SECONDS = 20.0
MAX_MESSAGE = 16 * 1024 * 1024
QUEUED_MESSAGES = 8
ENDED = "unauthenticated"
BLOCKED = "agent_blocked"


class Problem(msgspec.Struct, frozen=True):
    """The members of a problem document (RFC 9457) that the agent reads."""

    code: str = ""
    detail: str = ""
    title: str = ""
    nonce: str | None = None
    incident: str = ""
    hint: str = ""


def check_server(server: str, *, allow_http: bool) -> str:
    """The server's URL without a trailing slash. Plain HTTP is for this very host, unless it is allowed."""
    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment:
        raise InvalidSettings("server", "the command line", "write https://HOST, with a port if it is not 443")
    if url.scheme == "http" and not (allow_http or _is_this_host(url.hostname)):
        raise InsecureServer(server)
    return server.rstrip("/")


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(server: str, ca_file: str | None) -> ssl.SSLContext | None:
    """Verifies the server by `ca_file` or the system's CAs; None for plain HTTP."""
    if not server.startswith("https:"):
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings("ca_file", str(ca_file), f"holds no CA certificates in PEM: {error}") from None


async def enroll(server: str, context: ssl.SSLContext | None, request: EnrollRequest) -> EnrollAnswer:
    """Trade a token for an identity. Raises `EnrollmentRefused`, or `Unreachable` when there was no answer."""
    async with _client(server, context) as client:
        status, body = await _call(client, "POST", "/api/v1/agent/enroll", encode(request))
    if status >= 500:
        raise Unreachable(f"the server failed with status {status}; try again, the token is still good")
    if status >= 300:
        problem = _problem(body)
        raise EnrollmentRefused(
            problem.code or f"status {status}", problem.detail or problem.title or "no reason given"
        )
    return _decode(body, EnrollAnswer)


class ServerConnection:
    """`isthmus.agent.ports.ControlPlane` for one session.

    `mark` keeps its connections outside the tunnel. A connection that changed sides with the routes would break, and
    an agent that reaches its server only through a tunnel could never be told that the tunnel is wrong.
    """

    def __init__(self, server: str, session_token: str, context: ssl.SSLContext | None, mark: int = 0) -> None:
        self._server = server
        self._context = context
        self._mark = mark
        self._headers: dict[str, str] = {}
        self._client: AsyncClient | None = None
        self.use(session_token)

    def use(self, session_token: str) -> None:
        self._headers["Authorization"] = f"Bearer {session_token}"
        if self._client is not None:
            self._client.headers.update(self._headers)

    @contextlib.asynccontextmanager
    async def stream(self, revision: int) -> AsyncIterator["WebSocketStream"]:
        url = f"ws{self._server.removeprefix('http')}/api/v1/agent/stream?revision={revision}"
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                sock = None if past_tunnel.goes_through_proxy(url) else await past_tunnel.connected(url, self._mark)
            socket = await connect(
                url,
                sock=sock,
                additional_headers=self._headers,
                ssl=self._context,
                compression=None,
                open_timeout=OPEN_SECONDS,
                close_timeout=OPEN_SECONDS,
                # Heartbeats and their acknowledgements show that both ends are alive.
                ping_interval=None,
                max_size=MAX_MESSAGE,
                max_queue=QUEUED_MESSAGES,
            )
        except InvalidStatus as error:
            body = bytes(error.response.body or b"")
            _check_session(error.response.status_code, body)
            raise Unreachable(_refusal(error.response.status_code, body)) from None
        except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
            raise Unreachable(f"no stream: {_said(error)}") from None
        leaving = asyncio.create_task(_break_when_moved(socket))
        try:
            async with socket:
                yield WebSocketStream(socket)
        finally:
            leaving.cancel()

    async def instance(self, csr: str) -> InstanceAnswer:
        """A leaf for the instance on this host. Raises `InstanceRefused`, `Unreachable` or `SessionEnded`."""
        presented = dict(self._headers)
        mark = 0 if past_tunnel.goes_through_proxy(f"ws{self._server.removeprefix('http')}") else self._mark
        async with _client(self._server, self._context, presented, mark) as client:
            status, body = await _call(client, "POST", "/api/v1/agent/instance", encode(InstanceRequest(csr)))
        if status == 401 and presented != self._headers:
            raise Unreachable("the session token was renewed meanwhile")
        _check_session(status, body)
        if status == 200:
            return _decode(body, InstanceAnswer)
        if status >= 500 or status in (401, 407, 429):
            raise Unreachable(_refusal(status, body))
        problem = _problem(body)
        raise InstanceRefused(problem.detail or f"status {status} {problem.code}".strip(), problem.hint)

    @contextlib.asynccontextmanager
    async def polling(self) -> AsyncIterator["HttpsPolling"]:
        mark = 0 if past_tunnel.goes_through_proxy(f"ws{self._server.removeprefix('http')}") else self._mark
        async with _client(self._server, self._context, self._headers, mark) as client:
            self._client = client
            try:
                yield HttpsPolling(client)
            finally:
                self._client = None


async def _break_when_moved(socket: ClientConnection) -> None:
    """A host that joined another network hears nothing more on its old connection, and would wait for the next
    heartbeat to find out."""
    await whereabouts.gone(socket.local_address)
    socket.transport.abort()


class WebSocketStream:
    """One message a text frame."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def receive(self) -> FromServer:
        try:
            message: FromServer = decode_from_server(await self._socket.recv())
        except ConnectionClosed as error:
            raise _closed(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Unreachable(f"the server sent a message that is none: {error}") from None
        return message

    async def send(self, message: FromAgent) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.send(encode(message), text=True)
        except ConnectionClosed as error:
            raise _closed(error) from None
        except TimeoutError:
            raise Unreachable(f"the server took no message for {SEND_SECONDS:g} s") from None


class HttpsPolling:
    """One request a message."""

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client

    async def fetch(self, revision: int) -> ConfigAnswer:
        status, body = await self._call("GET", f"config?revision={revision}")
        if status != 200:
            raise Unreachable(_refusal(status, body))
        return _decode(body, ConfigAnswer)

    async def report(self, heartbeat: Heartbeat) -> Ack | Refused:
        status, body = await self._call("POST", "heartbeat", encode(heartbeat))
        if status == 200:
            return _decode(body, Ack)
        if 400 <= status < 500 and status not in (403, 404, 407, 429):
            problem = _problem(body)
            return Refused(problem.code, problem.detail, problem.nonce)
        raise Unreachable(_refusal(status, body))

    async def tell(self, outcome: Applied) -> None:
        status, body = await self._call("POST", "applied", encode(outcome))
        if status >= 300:
            raise Unreachable(_refusal(status, body))

    async def rekey(self, made: Rekey) -> None:
        status, body = await self._call("POST", "rekey", encode(made))
        if status >= 500:
            raise Unreachable(_refusal(status, body))
        if status >= 300:
            log.warning("message refused", detail=_refusal(status, body))

    async def _call(self, method: str, name: str, body: bytes | None = None) -> tuple[int, bytes]:
        presented = self._client.headers.get("Authorization")
        status, answer = await _call(self._client, method, f"/api/v1/agent/{name}", body)
        if status == 401 and self._client.headers.get("Authorization") != presented:
            # Two requests were under way, and the other one brought a fresh token, which ended this one's.
            raise Unreachable("the session token was renewed meanwhile")
        _check_session(status, answer)
        return status, answer


def _client(
    server: str, context: ssl.SSLContext | None, headers: dict[str, str] | None = None, mark: int = 0
) -> "AsyncClient":
    # Only enrollment and the fallback need it: the running agent does without its memory and start-up time.
    from httpx2 import AsyncClient, AsyncHTTPTransport

    # A transport of our own would leave the proxies of the environment unused.
    options = past_tunnel.socket_options(mark)
    transport = AsyncHTTPTransport(verify=context or True, socket_options=options) if options else None
    return AsyncClient(
        base_url=server, verify=context or True, timeout=OPEN_SECONDS, headers=headers, transport=transport
    )


async def _call(client: "AsyncClient", method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    from httpx2 import HTTPError

    headers = {"Content-Type": "application/json"} if body is not None else {}
    answer = bytearray()
    try:
        async with client.stream(method, path, content=body, headers=headers) as response:
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_MESSAGE:
                    raise Unreachable(f"the server's answer has more than {MAX_MESSAGE} bytes")
    except HTTPError as error:
        raise Unreachable(f"no answer: {_said(error)}") from None
    return response.status_code, bytes(answer)


def _closed(error: ConnectionClosed) -> Exception:
    if error.rcvd is not None and error.rcvd.code == CLOSE_SESSION_ENDED:
        return SessionEnded()
    if error.rcvd is not None and error.rcvd.code == CLOSE_BLOCKED:
        return Blocked(error.rcvd.reason, error.rcvd.reason.rpartition(" ")[2])
    if error.rcvd is None:
        return Unreachable("the connection broke")
    return Unreachable(f"the server closed the stream: {error.rcvd.code} {error.rcvd.reason}".strip())


def _check_session(status: int, body: bytes) -> None:
    # Only the server's own words end a tunnel; a 401 of some proxy on the way does not.
    if status == 401 and _problem(body).code == ENDED:
        raise SessionEnded
    if status == 403 and (problem := _problem(body)).code == BLOCKED:
        raise Blocked(problem.detail, problem.incident)


def _refusal(status: int, body: bytes) -> str:
    problem = _problem(body)
    return f"status {status} {problem.code} {problem.detail}".strip()


def _problem(body: bytes) -> Problem:
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem()


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreachable(f"this is not the answer of an isthmus server: {error}") from None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
