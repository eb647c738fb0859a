"""The outward side over HTTP: what our components ask for, read strictly, before anything else is asked about it."""

import asyncio
import re
from uuid import UUID, uuid4

import structlog
from aiohttp import web

from isthmus import tracing
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import SEGMENT, BackendDomain, is_domain
from isthmus.federator.adapters.answers import json_answer, problem_answer
from isthmus.federator.calling import Call, CallFailed, Reply
from isthmus.federator.doctor import Doctor
from isthmus.federator.outbound import Outbound
from isthmus.federator.ports import Rows
from isthmus.federator.telling import Teller
from isthmus.protocol.federation import (
    API_VERSION,
    AUTHORIZATION,
    CALL_SECONDS_HEADER,
    COMPONENTS,
    IDEMPOTENCY_KEY,
    MOST_REQUEST,
    REQUEST_ID,
    RPCS,
)

log = structlog.get_logger()

CALL = re.compile(r"/rpc/([^/?#]*)/([^/?#]*)/([^/?#]*)")
DOCTOR = re.compile(r"/doctor/([^/?#]*)")
KEY = re.compile(r"[\x21-\x7e]{1,128}")
TOKEN = re.compile(r"[\x20-\x7e]{1,1024}")
SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
DOCTOR_SECONDS = 25.0
SINGLE = (IDEMPOTENCY_KEY, AUTHORIZATION, REQUEST_ID, CALL_SECONDS_HEADER, "Content-Type", "Content-Encoding")


class OutwardSide:
    """`isthmus.federator.parts.Side`."""

    def __init__(self, outbound: Outbound, doctor: Doctor, teller: Teller, rows: Rows, seconds: float) -> None:
        """`seconds` is the most that a call may take."""
        self._outbound, self._doctor, self._teller, self._rows = outbound, doctor, teller, rows
        self._seconds = seconds

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = _request_id(request)
        domain, subject = "", _printable(request.raw_path)
        try:
            path = _path(request)
            if found := DOCTOR.fullmatch(path):
                domain = _domain(found[1])
                return await self._examine(BackendDomain(domain))
            domain, component, rpc = _route(path)
            subject = f"{domain}/{component}/{rpc}"
            self._check_room()
            call = await self._read(request, (domain, component, rpc), request_id)
            name = f"federator out {call.component}/{call.rpc}"
            with tracing.span(name, request_id, remote=domain) as span:
                try:
                    reply = await self._outbound.call(call)
                except (Denied, CallFailed) as failure:
                    span.failed(failure.code)
                    raise
            answer = _passed_on(reply, request_id)
            log.info("call to a remote", subject=subject, request_id=request_id)
            return answer
        except (Denied, CallFailed) as failure:
            return problem_answer(self._teller.refusal(failure, domain, subject, request_id))

    def _check_room(self) -> None:
        if not self._rows.has_room:
            detail = "the audit log has no room for another row until the server answers"
            raise Denied("overloaded", "no_room_for_rows", detail, members={"retry_after": 1})

    async def _examine(self, domain: BackendDomain) -> web.Response:
        return json_answer(200, await self._doctor.examine(domain, DOCTOR_SECONDS))

    async def _read(self, request: web.BaseRequest, route: tuple[str, str, str], request_id: str) -> Call:
        domain, component, rpc = route
        _check_media(request)
        seconds = _seconds(request, self._seconds)
        key = request.headers.get(IDEMPOTENCY_KEY, "")
        if RPCS[component, rpc].changes and not KEY.fullmatch(key):
            detail = f"{component}/{rpc} changes something: send an {IDEMPOTENCY_KEY} of 1 to 128 visible characters"
            raise Denied("idempotency_key_required", detail=detail)
        authorization = request.headers.get(AUTHORIZATION, "")
        if authorization and not TOKEN.fullmatch(authorization):
            raise Denied("malformed_request", "authorization", f"{AUTHORIZATION} is not readable")
        body = await _body(request, seconds)
        return Call(BackendDomain(domain), component, rpc, body, request_id, seconds, key, authorization)


def _path(request: web.BaseRequest) -> str:
    """The raw path: what is encoded stays so and matches nothing."""
    path = request.raw_path
    if not (CALL.fullmatch(path.partition("?")[0]) or DOCTOR.fullmatch(path.partition("?")[0])):
        raise Denied("route_not_found", "path", "there is POST /rpc/DOMAIN/COMPONENT/RPC and POST /doctor/DOMAIN")
    if request.method != "POST":
        raise Denied("method_not_allowed", "method", "calls are made with POST")
    if "?" in path:
        raise Denied("query_not_allowed", "query", "a call has no query: its argument is the body")
    for name in SINGLE:
        if len(request.headers.getall(name, ())) > 1:
            raise Denied("header_duplicated", f"header.{name.lower()}", f"{name} is there more than once")
    return path


def _route(path: str) -> tuple[str, str, str]:
    found = CALL.fullmatch(path)
    domain, component, rpc = found.groups() if found else ("", "", "")
    if not (SEGMENT.fullmatch(component) and component in COMPONENTS):
        raise Denied("route_not_found", "component", "there is no such component")
    if (component, rpc) not in RPCS:
        raise Denied("route_not_found", "rpc", f"{component} has no such call")
    return _domain(domain), component, rpc


def _domain(text: str) -> str:
    if not is_domain(text):
        raise Denied("malformed_request", "domain", "the target is no domain of lower-case labels, such as b.example")
    return text


def _check_media(request: web.BaseRequest) -> None:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Denied("content_encoding_not_allowed", "encoding", "send the argument as it is, not encoded")
    media = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Denied("unsupported_media_type", "media_type", "the argument is JSON: Content-Type: application/json")


def _seconds(request: web.BaseRequest, most: float) -> float:
    text = request.headers.get(CALL_SECONDS_HEADER)
    if text is None:
        return most
    if not SECONDS.fullmatch(text) or float(text) == 0:
        raise Denied("malformed_request", "seconds", f"{CALL_SECONDS_HEADER} is no number of seconds above 0")
    return min(float(text), most)


async def _body(request: web.BaseRequest, seconds: float) -> bytes:
    too_large = Denied("body_too_large", "body", f"the argument is larger than {MOST_REQUEST} bytes")
    if (request.content_length or 0) > MOST_REQUEST:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.content.iter_any():
                body += part
                if len(body) > MOST_REQUEST:
                    raise too_large
    except TimeoutError:
        raise Denied("malformed_request", "body.slow", f"the argument did not come within {seconds:g} s") from None
    return bytes(body)


def _request_id(request: web.BaseRequest) -> str:
    """The component's, if it is a UUID in its one spelling, so that one id is found in the logs of all."""
    text = request.headers.get(REQUEST_ID, "")
    try:
        return text if str(UUID(text)) == text else str(uuid4())
    except ValueError:
        return str(uuid4())


def _printable(path: str) -> str:
    return path[:300].encode("unicode_escape").decode("ascii")


def _passed_on(reply: Reply, request_id: str) -> web.Response:
    """Status, media type and body as the remote sent them; nothing else of it gets to the component."""
    headers = {"Content-Type": reply.headers["content-type"], REQUEST_ID: request_id, "Cache-Control": "no-store"}
    version = reply.headers.get(API_VERSION.lower(), "")
    if re.fullmatch(r"[0-9]{1,6}", version):
        headers[API_VERSION] = version
    return web.Response(status=reply.status, body=reply.body, headers=headers)
