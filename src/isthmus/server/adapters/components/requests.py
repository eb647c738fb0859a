"""One request on a component socket: its headers and body as they were sent, and the answer to it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import msgspec

from isthmus.domain.federation.denial import Denied
from isthmus.protocol import federation as wire
from isthmus.protocol.problem import MOST_ALLOWED, Problem, Stage, headers_of, problem
from isthmus.server.adapters.http.edge import Receive, Scope, Send

BODY_SECONDS = 10.0
MEMBERS = frozenset(
    {"allowed", "allowed_total", "axis", "expected", "pointer", "retry_after", "server_time", "supplied"}
)
ONLY_TYPE = b"application/json"
HELD = "idempotency-key", "isthmus-context", "x-request-id", "content-type", "content-encoding", "authorization"


class Gone(Exception):
    """Whoever asked has hung up, or never sent its body to the end."""


@dataclass(slots=True)
class Request:
    """`headers` holds those that a component reads, by lower-case name; a name that came twice counts as absent."""

    method: str
    path: str
    query: bytes
    headers: Mapping[str, str]
    body: bytes = b""
    request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.perf_counter)

    @property
    def milliseconds(self) -> float:
        """How long ago its head was read."""
        return round((time.perf_counter() - self.began) * 1e3, 2)


def head_of(scope: Scope) -> Request:
    """The request without its body. The path is the raw one: nothing of it is ever decoded."""
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        text = name.decode("latin-1")
        if text in HELD:
            found.setdefault(text, []).append(value.decode("latin-1"))
    single = {name: values[0] for name, values in found.items() if len(values) == 1}
    path: bytes = scope["raw_path"]
    request = Request(scope["method"], path.decode("latin-1"), scope["query_string"], single)
    request.request_id = _id_of(single.get("x-request-id")) or request.request_id
    return request


def _id_of(text: str | None) -> str | None:
    """A request id is a UUID; anything else might be there to confuse whoever reads logs."""
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        return None


async def body_of(receive: Receive) -> bytes:
    """Raises `Denied` for one over the bound, `Gone` for one that does not end."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > wire.MOST_REQUEST:
                    raise Denied("body_too_large", detail=f"the body is larger than {wire.MOST_REQUEST} bytes")
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise Gone from None


def check_plain(request: Request) -> None:
    """Nothing is inflated, and nothing but JSON is read. Raises `Denied`."""
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        raise Denied("content_encoding_not_allowed", detail="send the body as it is, without a content coding")
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().replace('"', "")
    if kind.strip() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise Denied("unsupported_media_type", detail="send application/json in UTF-8")


def problem_of(denial: Denied, request_id: str) -> Problem:
    """The document of a denial; members that no document has stay in the audit row."""
    members = {name: value for name, value in denial.members.items() if name in MEMBERS}
    if isinstance(members.get("allowed"), list):
        members["allowed"] = members["allowed"][:MOST_ALLOWED]
    return problem(denial.code, Stage.COMPONENT, request_id, denial.detail, **members)


async def send_problem(send: Send, document: Problem) -> None:
    await _sent(send, document.status, headers_of(document), msgspec.json.encode(document), document.request_id)


async def send_answer(send: Send, answer: bytes, request_id: str) -> None:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    await _sent(send, 200, headers, answer, request_id)


async def _sent(send: Send, status: int, headers: Mapping[str, str], body: bytes, request_id: str) -> None:
    every = {**headers, "Content-Length": str(len(body)), wire.REQUEST_ID: request_id}
    listed = [(name.lower().encode(), value.encode()) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
