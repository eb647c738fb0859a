"""The outward socket: health for whoever runs the Federator, everything else for the outward side."""

import os
from uuid import uuid4

from aiohttp import web

from isthmus.federator.adapters.answers import json_answer, problem_answer
from isthmus.federator.adapters.listening import SocketServer
from isthmus.federator.parts import Parts, Side
from isthmus.federator.ports import Fact
from isthmus.protocol.problem import Stage, problem

ROOT = 0


class OutwardSocket:
    """Looks at who asks before anything is read."""

    def __init__(self, parts: Parts, user: int, side: Side | None) -> None:
        self._parts, self._side = parts, side
        self._components = {user, os.geteuid()}

    def server(self) -> SocketServer:
        return SocketServer(self._handle, self._broken)

    async def _handle(self, request: web.BaseRequest, user: int) -> web.StreamResponse:
        if request.method == "GET" and request.path in ("/health/live", "/health/ready"):
            return await self._health(request.path, user)
        if user not in self._components:
            return self._refuse(user)
        if self._side is None:
            return problem_answer(problem("route_not_found", Stage.FEDERATOR_OUT, str(uuid4())))
        return await self._side.handle(request)

    async def _health(self, path: str, user: int) -> web.Response:
        if user not in self._components | {ROOT}:
            return self._refuse(user)
        if path == "/health/live":
            return json_answer(200, {"live": True})
        health = await self._parts.readiness.look()
        return json_answer(200 if health.ready else 503, health)

    def _refuse(self, user: int) -> web.Response:
        request_id = str(uuid4())
        facts = {"user": user, "stage": Stage.FEDERATOR_OUT, "code": "forbidden"}
        self._parts.rows.tell(Fact("federation.call_out", "anyone", "", "denied", request_id, "socket_user", facts))
        detail = "this socket is for the components of this backend"
        answer = problem_answer(problem("forbidden", Stage.FEDERATOR_OUT, request_id, detail))
        answer.force_close()
        return answer

    def _broken(self, user: int, code: str) -> web.Response:
        if user not in self._components:
            return self._refuse(user)
        return problem_answer(problem(code, Stage.FEDERATOR_OUT, str(uuid4())))
