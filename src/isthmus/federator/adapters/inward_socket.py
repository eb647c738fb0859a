"""The inward socket: requests from the ingress in, answers out, and an audit row for each denial."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from isthmus import tracing
from isthmus.domain.federation.admission import UNIFORM, disclosed
from isthmus.domain.federation.denial import Denied
from isthmus.federator.adapters.answers import SERVER, problem_answer
from isthmus.federator.adapters.components import ComponentSockets
from isthmus.federator.adapters.keys import ListenerKey
from isthmus.federator.adapters.listening import SocketServer
from isthmus.federator.grammar import body_too_large, escaped
from isthmus.federator.inbound import Inbound
from isthmus.federator.parts import Parts
from isthmus.federator.passage import Answer, Arrival, Passage, there
from isthmus.federator.ports import Discovery, Fact, Overloaded
from isthmus.federator.settings import Settings, user_id
from isthmus.protocol import federation as wire
from isthmus.protocol import ingress
from isthmus.protocol.problem import STATUS, Stage, problem

log = structlog.get_logger()

MOST_AT_ONCE = 1_024
RETRY_SECONDS = 2
# What a component says no with to whom it does not let; that something is not there is an answer.
REFUSALS = frozenset({401, 403, 429})
INTERNAL = 500
UNIFORM_DETAIL = "this backend does not take this call from the caller"
ACTION = "federation.call"
EXPECTED = (Denied, TimeoutError, Overloaded, web.RequestPayloadError, HttpProcessingError, ConnectionError)


class InwardSocket:
    """Use it as a context manager."""

    def __init__(self, parts: Parts, settings: Settings, discovery: Discovery) -> None:
        places, user = settings.places, user_id(settings.ingress_user, "ingress_user")
        self._parts, self._user, self._seconds = parts, user, settings.call_seconds
        self._stack = AsyncExitStack()
        self._components = ComponentSockets(places)
        self._inbound = Inbound(parts, user, discovery, ListenerKey(places), self._components)
        self._running = 0

    async def __aenter__(self) -> "InwardSocket":
        await self._stack.enter_async_context(self._components)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def server(self) -> SocketServer:
        return SocketServer(self._handle, self._broken)

    async def _handle(self, request: web.BaseRequest, user: int) -> web.StreamResponse:
        target = request.message.path.encode("utf-8", "surrogateescape")
        headers = [(bytes(name), bytes(value)) for name, value in request.raw_headers]
        arrival = Arrival(request.method, target, headers, partial(_body_of, request), user)
        passage = self._inbound.begin(arrival)
        started = time.monotonic()
        self._running += 1
        try:
            answer = await self._answer(passage)
        finally:
            self._running -= 1
            passage.inside.close()
        _log(passage, answer.status, time.monotonic() - started)
        return answer

    def _broken(self, user: int, code: str) -> web.Response:
        arrival = Arrival("", b"", [], _nothing, user)
        passage = Passage(arrival, self._parts.snapshots.current, str(uuid4()), check="grammar")
        denied = Denied(code, "http", "what came is no HTTP that can be read")
        answer = self._refused(passage, denied if user == self._user else Denied("ingress_untrusted", "socket_user"))
        _log(passage, answer.status, 0.0)
        return answer

    async def _answer(self, passage: Passage) -> web.Response:
        try:
            if self._running > MOST_AT_ONCE:
                raise Denied("overloaded", "parallel", "too many requests at a time", {"retry_after": RETRY_SECONDS})
            async with asyncio.timeout(self._seconds):
                began = tracing.now()
                await self._inbound.admit(passage)
                answer = await self._forwarded(passage, began)
        except EXPECTED as error:
            return self._refused(passage, _meaning_of(error, passage))
        except Exception as error:  # a defect in one request must not end the connection of all others
            log.error("a call broke", request_id=passage.request_id, check=passage.check, exc_info=error)
            detail = "something broke inside this backend; its log tells what"
            return self._refused(passage, Denied("internal", f"defect.{passage.check}", detail))
        return self._passed(passage, answer)

    async def _forwarded(self, passage: Passage, began: int) -> Answer:
        """With a span of what was admitted: strangers have none."""
        context = there(passage.context)
        name = f"federator in {passage.component}/{passage.name}"
        with tracing.span(name, context.caller_request_id or context.request_id, since=began) as span:
            span.note(own_request_id=context.request_id, remote=context.remote, network=context.network)
            answer = await self._inbound.forward(passage)
            span.note(status=answer.status)
        return answer

    def _passed(self, passage: Passage, answer: Answer) -> web.Response:
        """Status, content type and body of a component, and nothing else of it. Its refusals have their row there, and
        so has each effect; what changes nothing has a line in the log."""
        self._note_presented(passage)
        known, identity = passage.known, passage.identity
        if known is not None and identity is not None and identity.instance is not None:
            self._parts.rows.sighted(known.domain, identity.instance)
        headers = {wire.REQUEST_ID: passage.request_id, "Cache-Control": "no-store", "Server": SERVER}
        if answer.status in REFUSALS:
            self._inbound.refused(passage, _code_in(answer.body))
        if answer.content_type:
            headers["Content-Type"] = answer.content_type
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    def _refused(self, passage: Passage, denied: Denied) -> web.Response:
        told = disclosed(denied, passage.bound)
        detail = UNIFORM_DETAIL if told.code == UNIFORM else told.detail
        self._tell(passage, denied.reason, {"code": told.code, **denied.facts})
        if STATUS[told.code] < INTERNAL:
            self._inbound.refused(passage, told.code)
        self._note_presented(passage)
        document = problem(told.code, Stage.FEDERATOR_IN, passage.request_id, detail, **told.members)
        return problem_answer(document)

    def _note_presented(self, passage: Passage) -> None:
        """Whoever tries to say who calls is worth a look, whatever became of the call."""
        presented = passage.headers.get(ingress.PRESENTED)
        if presented and passage.bound is not None:
            evidence = {"headers": escaped(presented), "request_id": passage.request_id}
            self._parts.rows.suspect("trust_header_presented", passage.bound, evidence)

    def _tell(self, passage: Passage, reason: str, facts: dict[str, Any]) -> None:
        """Write the row of this denial."""
        row = Fact(
            action=ACTION,
            actor=_actor(passage),
            subject=_subject(passage),
            outcome="denied",
            request_id=passage.request_id,
            reason=reason,
            facts={**_facts(passage), **facts},
            proven=passage.bound,
        )
        try:
            passage.is_counted = not self._parts.rows.tell(row)
        except Overloaded:
            # Admission stops where there is no room; what is lost here came in before.
            log.error("no room for an audit row", reason=reason, actor=row.actor, request_id=passage.request_id)


class _Code(msgspec.Struct):
    code: str = ""


def _code_in(body: bytes) -> str:
    """The code of a problem document; whatever a component says, it is one of the list or none."""
    try:
        code = msgspec.json.decode(body, type=_Code).code
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return code if code in STATUS else ""


def _actor(passage: Passage) -> str:
    identity = passage.identity
    if passage.bound is not None and identity is not None and identity.instance is not None:
        return f"remote:{passage.bound}/{identity.instance}"
    if passage.is_invited and identity is not None and passage.context is not None:
        return f"invitation:{identity.invitation}"
    return "anyone"


def _subject(passage: Passage) -> str:
    if passage.component:
        return f"{passage.component}/{passage.name}"
    return escaped(passage.arrival.target)


def _facts(passage: Passage) -> dict[str, Any]:
    headers, leaf, identity = passage.headers, passage.leaf, passage.identity
    facts = {
        "stage": Stage.FEDERATOR_IN.value,
        "check": passage.check,
        "method": escaped(passage.arrival.method),
        "origin": escaped(headers.get(wire.ORIGIN)),
        "source": passage.source,
        "listener": headers.get(ingress.LISTENER, ""),
        "network": passage.network,
        "caller_request_id": escaped(headers.get(ingress.CALLER_REQUEST_ID)),
        "trust_headers": escaped(headers.get(ingress.PRESENTED)),
        "leaf": leaf.fingerprint.hex() if leaf is not None else "",
        "instance": str(identity.instance) if identity is not None and identity.instance is not None else "",
        "infra_domain": passage.infra_domain or "",
    }
    snapshot = passage.snapshot.generation if passage.snapshot is not None else 0
    return {**{name: value for name, value in facts.items() if value}, "snapshot": snapshot}


def _meaning_of(error: Exception, passage: Passage) -> Denied:
    """What stopped a request, as its caller may read it; nothing of our insides is in it."""
    match error:
        case Denied():
            return error
        case TimeoutError():
            members = {"retry_after": RETRY_SECONDS}
            return Denied("upstream_unavailable", f"deadline.{passage.check}", "no answer in time", members)
        case Overloaded():
            return Denied("overloaded", "audit_queue", "too much is under way", {"retry_after": RETRY_SECONDS})
    return Denied("malformed_request", "body", "the body did not come whole")


async def _body_of(request: web.BaseRequest) -> bytes:
    """The whole body. Raises `Denied` above the bound."""
    parts, size = [], 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > wire.MOST_REQUEST:
            raise body_too_large()
        parts.append(part)
    return b"".join(parts)


async def _nothing() -> bytes:
    return b""


def _log(passage: Passage, status: int, seconds: float) -> None:
    # Strangers must not fill the disk: what is only counted has no line either.
    tell = log.debug if passage.is_counted else log.info
    tell(
        "call",
        request_id=passage.request_id,
        caller_request_id=escaped(passage.headers.get(ingress.CALLER_REQUEST_ID)),
        origin=escaped(passage.headers.get(wire.ORIGIN)),
        remote=passage.bound or "",
        infra_domain=passage.infra_domain or "",
        call=_subject(passage),
        status=status,
        trust_headers=escaped(passage.headers.get(ingress.PRESENTED)),
        snapshot=passage.snapshot.generation if passage.snapshot is not None else 0,
        milliseconds=round(seconds * 1000, 1),
    )
