"""GET /api/v1/events as a WebSocket: who may listen, to what, and the refusal of everybody else."""

from datetime import datetime
from typing import cast
from uuid import UUID

from starlette.requests import Request
from starlette.routing import BaseRoute, WebSocketRoute

from isthmus.domain.errors import InvalidValue, Refusal, Unauthenticated
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.events.hub import EventHub
from isthmus.server.adapters.http.access import ACCESS, API
from isthmus.server.adapters.http.deps import Services, admit
from isthmus.server.adapters.http.edge import Receive, Scope, Send
from isthmus.server.adapters.http.errors import deny_socket, of_refusal, on_failure, problem, request_id_of
from isthmus.server.application.caller import Caller

PATH = f"{API}/events"
MOST_NETWORKS = 64
NETWORK = "network"


class EventPlane:
    """The stream as an ASGI application, which keeps Starlette from wrapping it."""

    def __init__(self, services: Services, hub: EventHub) -> None:
        self._services = services
        self._hub = hub

    def routes(self) -> list[BaseRoute]:
        return [WebSocketRoute(PATH, self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with a problem document before the WebSocket is accepted, or serve it to its end."""
        await receive()
        request = Request({**scope, "type": "http", "method": "GET"})
        try:
            await check(request)
            networks = _networks(request)
            reach = _caller(request).networks
            if reach is not None:
                networks = reach if networks is None else networks & reach
        except Refusal as refusal:
            await self._record(request, refusal)
            await deny_socket(send, of_refusal(refusal, request_id_of(scope)))
            return
        except Exception as failure:  # noqa: BLE001  # `on_failure` logs it
            await deny_socket(send, await on_failure(request, failure))
            return
        if self._hub.is_full:
            text = "too many event streams are open; close some, or ask again later"
            await deny_socket(send, problem("overloaded", text, request_id_of(scope)))
            return
        await send({"type": "websocket.accept"})
        await self._hub.serve(networks, lambda: check_again(request, reach), receive, send)

    async def _record(self, request: Request, refusal: Refusal) -> None:
        if not isinstance(refusal, InvalidValue):
            await self._services.denials.record(_caller(request), f"WS {PATH}", PATH, refusal.code)


async def check(request: Request) -> None:
    """Raises `Refusal` unless the caller may listen, by a token with the scope or by the local socket."""
    await admit(request, ACCESS["WS", PATH], request.headers.get("authorization"))


async def check_again(request: Request, reach: frozenset[NetworkId] | None) -> datetime | None:
    """The same later, and until when it holds; whose networks are others now may come again."""
    await check(request)
    caller = _caller(request)
    if caller.networks != reach:
        raise Unauthenticated("the account is for other networks now; open the stream again")
    return caller.until


def _caller(request: Request) -> Caller:
    return cast("Caller", request.state.caller)


def _networks(request: Request) -> frozenset[NetworkId] | None:
    """The networks that `network=ID` names, once or several times; None for all."""
    query = request.query_params
    for name in query:
        if name != NETWORK:
            raise InvalidValue(f"/{name[:64]}", "is not a parameter of this call", f"it takes: {NETWORK}")
    texts = query.getlist(NETWORK)
    if len(texts) > MOST_NETWORKS:
        raise InvalidValue(f"/{NETWORK}", f"is given more than {MOST_NETWORKS} times", "leave it out to hear of all")
    try:
        return frozenset(NetworkId(UUID(text)) for text in texts) or None
    except ValueError:
        raise InvalidValue(f"/{NETWORK}", "is not the id of a network") from None
