"""The agents' calls as plain Starlette routes with msgspec: no models, no dependencies, little time per call."""

from dataclasses import replace
from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from isthmus.domain.errors import Forbidden, InvalidValue, Refusal, Unauthenticated
from isthmus.domain.ids import PeerId
from isthmus.protocol import agent as wire
from isthmus.server.adapters.agents.stream import Visitor
from isthmus.server.adapters.agents.stream_denials import Denials
from isthmus.server.adapters.agents.streams import StreamHub
from isthmus.server.adapters.http.access import API
from isthmus.server.adapters.http.deps import Services, bearer_of
from isthmus.server.adapters.http.edge import Receive, Scope, Send
from isthmus.server.adapters.http.errors import deny_socket, of_refusal, on_failure, request_id_of
from isthmus.server.application.agents import Conversation
from isthmus.server.application.caller import Caller

MAX_REVISION_DIGITS = 18
PEER_HEADER = "isthmus-peer"


class AgentPlane:
    """Every call but enrollment speaks for the peer of the session that it carries, and for no other."""

    def __init__(self, services: Services, hub: StreamHub) -> None:
        self._services = services
        self._hub = hub
        self._enroll_body = msgspec.json.Decoder(wire.EnrollRequest)
        self._heartbeat_body = msgspec.json.Decoder(wire.Heartbeat)
        self._applied_body = msgspec.json.Decoder(wire.Applied)
        self._rekey_body = msgspec.json.Decoder(wire.Rekey)
        self._instance_body = msgspec.json.Decoder(wire.InstanceRequest)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"{API}/agent/enroll", self.enroll, methods=["POST"]),
            Route(f"{API}/agent/config", self.config, methods=["GET"]),
            Route(f"{API}/agent/heartbeat", self.heartbeat, methods=["POST"]),
            Route(f"{API}/agent/applied", self.applied, methods=["POST"]),
            Route(f"{API}/agent/rekey", self.rekey, methods=["POST"]),
            Route(f"{API}/agent/instance", self.instance, methods=["POST"]),
            WebSocketRoute(f"{API}/agent/stream", _Stream(self)),
        ]

    async def enroll(self, request: Request) -> Response:
        body = await _decoded(self._enroll_body, request)
        caller = cast("Caller", request.state.caller)
        done = await self._services.enrollment.enroll(caller, body.token, body.public_key, body.hostname)
        revision, config = await self._services.agents.first(done.peer.id)
        answer = wire.EnrollAnswer(
            peer=wire.EnrolledPeer(str(done.peer.id), done.peer.name, done.peer.kind.value),
            network=wire.EnrolledNetwork(str(done.network.id), done.network.name),
            session_token=done.session_token,
            server_time=int(done.at.timestamp()),
            revision=revision,
            config=config,
        )
        return _json(answer, 201)

    async def config(self, request: Request) -> Response:
        agents = self._services.agents
        peer_id = await self._peer(request)
        news = await agents.news(peer_id, _revision(request.query_params.get("revision")))
        delta = None if news.delta is None else cast("wire.Delta", msgspec.Raw(news.delta))
        nonce = agents.fresh_nonce(peer_id)
        answer = wire.ConfigAnswer(news.revision, nonce, agents.unix_time(), news.config, delta)
        for message in await self._hub.errands.of(peer_id, self._hub):
            match message:
                case wire.Rotate():
                    answer = msgspec.structs.replace(answer, rotate=True)
                case wire.SessionToken(token):
                    answer = msgspec.structs.replace(answer, session_token=token)
        return _json(answer)

    async def heartbeat(self, request: Request) -> Response:
        agents = self._services.agents
        peer_id = await self._peer(request)
        talk = Conversation.began(request.state.caller.source)
        nonce = await agents.heartbeat(peer_id, await _decoded(self._heartbeat_body, request), talk)
        return _json(wire.Ack(nonce))

    async def applied(self, request: Request) -> Response:
        peer_id = await self._peer(request)
        await self._services.agents.applied(peer_id, await _decoded(self._applied_body, request))
        return Response(status_code=204)

    async def rekey(self, request: Request) -> Response:
        peer_id = await self._peer(request)
        body = await _decoded(self._rekey_body, request)
        await self._hub.errands.keys.rekey(request.state.caller, peer_id, body.public_key)
        return Response(status_code=204)

    async def instance(self, request: Request) -> Response:
        peer_id = await self._peer(request)
        body = await _decoded(self._instance_body, request)
        handed = await self._services.federation.instances.of_agent(request.state.caller, peer_id, body.csr)
        return _json(wire.InstanceAnswer(str(handed.standing.id), handed.standing.name, handed.chain))

    async def _peer(self, request: Request) -> PeerId:
        peer_id = await self.authenticate(request.headers.get("authorization"))
        request.state.caller = replace(request.state.caller, actor=f"agent:{peer_id}")
        for named in (request.query_params.get("peer"), request.headers.get(PEER_HEADER)):
            if named is not None and named != str(peer_id):
                raise Forbidden("a session speaks for its own peer only")
        await self._services.agents.admit(peer_id)
        return peer_id

    async def authenticate(self, authorization: str | None) -> PeerId:
        token = bearer_of(authorization)
        if token is None:
            raise Unauthenticated("no session token was sent")
        return await self._services.agents.authenticate(token)

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /api/v1/agent/stream as a WebSocket; refused with a problem document before it is accepted."""
        await receive()
        request = Request({**scope, "type": "http", "method": "GET"})
        try:
            peer_id = await self._peer(request)
            has = _revision(request.query_params.get("revision"))
            await self._services.agents.desired(peer_id)
        except Refusal as refusal:
            await self._record(request, refusal.code)
            await deny_socket(send, of_refusal(refusal, request_id_of(scope)))
            return
        except Exception as failure:  # noqa: BLE001  # `on_failure` logs it
            await deny_socket(send, await on_failure(request, failure))
            return
        await send({"type": "websocket.accept"})
        denials = Denials(lambda code, left_out: self._record(request, code, left_out))
        visitor = Visitor(peer_id, request.state.caller, lambda: self._peer(request), denials)
        try:
            await self._hub.serve(visitor, has, receive, send)
        finally:
            await denials.sum_up()

    async def _record(self, request: Request, code: str, left_out: int = 0) -> None:
        path = request.scope["path"]
        await self._services.denials.record(request.state.caller, f"WS {path}", path, code, left_out)


class _Stream:
    """The stream as an ASGI application, which keeps Starlette from wrapping it."""

    def __init__(self, plane: AgentPlane) -> None:
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._plane.stream(scope, receive, send)


async def _decoded(decoder: Any, request: Request) -> Any:
    """The body as a message. Wrong shapes are refused like every other bad field."""
    body = await request.body()
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$")
        pointer = "/" + path.rstrip("`").lstrip(".").replace(".", "/").replace("[", "/").replace("]", "")
        raise InvalidValue(pointer, detail) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidValue("/", "the body is not JSON") from None


def _json(message: msgspec.Struct, status: int = 200) -> Response:
    return Response(wire.encode(message), status, {"Cache-Control": "no-store"}, "application/json")


def _revision(text: str | None) -> int | None:
    """The revision that an agent says it has; nonsense counts as none, and the answer is the whole config."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > MAX_REVISION_DIGITS:
        return None
    return int(text)
