"""Spans of what people and scripts ask for."""

from isthmus import tracing
from isthmus.server.adapters.http.edge import App, Message, Receive, Scope, Send
from isthmus.server.adapters.http.errors import request_id_of

BROKEN = 500


class Traced:
    """Wraps an application that is behind an `Edge`."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not tracing.is_on():
            await self._app(scope, receive, send)
            return
        with tracing.span(f"server {scope['method']}", request_id_of(scope)) as span:

            async def seen(message: Message) -> None:
                if message["type"] == "http.response.start":
                    # The template, where a route was found: what was asked for can be anything.
                    route = getattr(scope.get("route"), "path", "")
                    span.note(route=route, status=message["status"])
                    if message["status"] >= BROKEN:
                        span.failed("")
                await send(message)

            await self._app(scope, receive, seen)
