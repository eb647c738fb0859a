"""Problem documents as answers over HTTP."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from isthmus.protocol.federation import REQUEST_ID
from isthmus.protocol.problem import Problem, headers_of

SERVER = "isthmus"
"""aiohttp would name itself and its version otherwise."""


def problem_answer(document: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """`headers` come on top of those that go with a problem."""
    body = msgspec.json.encode(document)
    own = {REQUEST_ID: document.request_id, "Server": SERVER}
    return web.Response(status=document.status, body=body, headers={**headers_of(document), **own, **(headers or {})})


def json_answer(status: int, value: object) -> web.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "Server": SERVER}
    return web.Response(status=status, body=msgspec.json.encode(value), headers=headers)
