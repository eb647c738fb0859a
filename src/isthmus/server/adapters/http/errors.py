"""The one place that makes refusals HTTP: problem documents (RFC 9457)."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from isthmus.domain import errors
from isthmus.domain.errors import InvalidValue, RateLimited, Refusal
from isthmus.protocol.problem import MEDIA_TYPE, headers_of
from isthmus.server.application.bulk import BulkRefused
from isthmus.server.certificate_ports import MaterialUnusable, NoRoom
from isthmus.server.identity_ports import ProviderUnavailable
from isthmus.server.outward_ports import RemoteRefused
from isthmus.server.ports import Conflict, StoreUnavailable

log = structlog.get_logger()

STATUS: dict[str, int] = {
    "validation_failed": 422,
    "bulk_refused": 422,
    "csr_invalid": 422,
    "not_found": 404,
    "network_exhausted": 409,
    "transition_not_allowed": 409,
    "precondition_failed": 412,
    "version_conflict": 409,
    "config_already_shown": 410,
    "enrollment_token_invalid": 401,
    "unauthenticated": 401,
    "forbidden": 403,
    "csrf_failed": 403,
    "origin_not_allowed": 403,
    "replay_detected": 409,
    "agent_blocked": 403,
    "agent_session_conflict": 409,
    "rate_limited": 429,
    "json_invalid": 400,
    "malformed_request": 400,
    "route_not_found": 404,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "headers_too_large": 431,
    "connection_limit": 429,
    "unsupported_media_type": 415,
    "upstream_unavailable": 503,
    "overloaded": 503,
    "internal": 500,
}
OF_HTTP = {404: "route_not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
RETRYABLE = frozenset(
    {"connection_limit", "rate_limited", "upstream_unavailable", "overloaded", "version_conflict", "replay_detected"}
)
MAX_ERRORS = 16
MAX_TEXT = 300
RETRY_SECONDS = 1
# A list of changes is mended in one go, if every row that is wrong is named.
OPERATIONS, MOST_ROWS = "operations", 100
FEDERATION = b"/federation/"


def request_id_of(scope: Any) -> str:
    return str(scope.get("state", {}).get("request_id", ""))


def problem(code: str, detail: str, request_id: str, **members: Any) -> Response:
    """A problem document; `members` that are None are left out."""
    status = STATUS[code]
    body = {
        "type": f"urn:isthmus:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
        "code": code,
        "stage": "component",
        "retryable": code in RETRYABLE,
        "request_id": request_id,
        **{name: value for name, value in members.items() if value is not None},
    }
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in members:
        headers["Retry-After"] = str(members["retry_after"])
    return Response(json.dumps(body), status, headers, "application/problem+json")


def of_refusal(refusal: Refusal, request_id: str) -> Response:
    if isinstance(refusal, RemoteRefused):
        return of_remote(refusal)
    members: dict[str, Any] = {"hint": refusal.mend}
    if isinstance(refusal, InvalidValue):
        item = {"pointer": refusal.field, "detail": refusal.problem, "hint": refusal.hint}
        members = {"hint": refusal.hint, "errors": [_filled(item)]}
    elif isinstance(refusal, BulkRefused):
        members["errors"] = [_filled(asdict(error)) for error in refusal.errors]
    elif isinstance(refusal, errors.TransitionNotAllowed):
        members["hint"] = refusal.hint
    elif isinstance(refusal, errors.ReplayDetected):
        members["nonce"] = refusal.nonce
    elif isinstance(refusal, errors.AgentBlocked | errors.AgentSessionConflict):
        members["incident"] = refusal.incident
    elif isinstance(refusal, RateLimited):
        members["retry_after"] = refusal.retry_after
    return problem(refusal.code, str(refusal), request_id, **members)


def of_remote(refusal: RemoteRefused) -> Response:
    """What a Federator said, as it said it: its code, its stage, and what the remote said to it."""
    body = msgspec.json.decode(msgspec.json.encode(refusal.problem))
    hint = {} if refusal.hint is None else {"hint": refusal.hint}
    return Response(json.dumps(body | hint), refusal.problem.status, headers_of(refusal.problem), MEDIA_TYPE)


def _filled(item: dict[str, Any]) -> dict[str, Any]:
    return {key: text for key, text in item.items() if text is not None}


def of_failure(failure: Exception, request_id: str) -> Response:
    """What broke, without a word of how: the log holds the rest under the request's id."""
    if isinstance(failure, StoreUnavailable):
        log.error("store unavailable", request_id=request_id, error=str(failure))
        detail = "the database does not answer; nothing was changed"
        return problem("overloaded", detail, request_id, retry_after=RETRY_SECONDS)
    if isinstance(failure, NoRoom):
        log.error("no room for certificates", request_id=request_id, problem=str(failure))
        hint = "free some of the volume that has the server's data folder"
        return problem("overloaded", str(failure), request_id, retry_after=RETRY_SECONDS, hint=hint)
    if isinstance(failure, ProviderUnavailable):
        log.error("the identity provider is of no use", request_id=request_id, reason=str(failure))
        return problem("upstream_unavailable", "the identity provider does not answer as one does", request_id)
    if isinstance(failure, MaterialUnusable):
        log.error("certificates cannot be kept up", request_id=request_id, problem=str(failure))
        return problem("internal", str(failure), request_id, hint="mend the file on the server's machine")
    if isinstance(failure, Conflict):
        detail = "somebody else changed the same thing at the same moment; nothing was changed"
        return problem("version_conflict", detail, request_id, hint="read the object again and repeat the change")
    log.error("internal error", request_id=request_id, exc_info=failure)
    return problem("internal", "something broke inside the server; its log tells what, by the request id", request_id)


def of_validation(found: Sequence[Any], request_id: str) -> Response:
    """FastAPI's findings about a request, as JSON pointers into the body, the path, the query or the headers."""
    if any(item["type"] == "json_invalid" for item in found):
        return problem("json_invalid", "the body is not JSON", request_id)
    most = MOST_ROWS if found and OPERATIONS in found[0]["loc"] else MAX_ERRORS
    listed = [{"pointer": _pointer(item["loc"]), "detail": str(item["msg"])[:MAX_TEXT]} for item in found[:most]]
    detail = "; ".join(f"{item['pointer'].removeprefix('/')}: {item['detail']}" for item in listed)[:MAX_TEXT]
    return problem("validation_failed", detail, request_id, errors=listed)


def _pointer(location: Sequence[str | int]) -> str:
    where = location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
    if where[:1] == (OPERATIONS,):
        # After its index stands which kind of operation the value was read as: no part of the request.
        where = (*where[:2], *where[3:])
    parts = (str(part)[:MAX_TEXT].replace("~", "~0").replace("/", "~1") for part in where)
    return "/" + "/".join(parts)


async def on_refusal(request: Request, refusal: Refusal) -> Response:
    response = of_refusal(refusal, request_id_of(request.scope))
    if not isinstance(refusal, RemoteRefused):
        # Of calls to remotes that failed the Federator has told the audit log.
        await deny(request, refusal.code)
    return response


async def on_validation(request: Request, error: RequestValidationError) -> Response:
    await deny(request, "validation_failed")
    return of_validation(error.errors(), request_id_of(request.scope))


async def on_http(request: Request, error: HTTPException) -> Response:
    """Starlette's own answers, such as for a path that nobody serves."""
    code = OF_HTTP.get(error.status_code, "malformed_request" if error.status_code < 500 else "internal")
    response = problem(code, str(error.detail)[:MAX_TEXT], request_id_of(request.scope))
    response.headers.update(error.headers or {})
    # Who brings a call of another backend to this door looks for a way around the ingress.
    if code == "body_too_large" or request.scope["raw_path"].startswith(FEDERATION):
        await deny(request, code)
    return response


async def on_failure(request: Request, error: Exception) -> Response:
    if not isinstance(error, StoreUnavailable | ProviderUnavailable | Conflict):
        await deny(request, "internal")
    return of_failure(error, request_id_of(request.scope))


async def on_hang_up(request: Request, error: ClientDisconnect) -> Response:
    """The body did not come whole, and nobody waits for an answer."""
    return problem("malformed_request", "the body did not come whole", request_id_of(request.scope))


async def deny(request: Request, code: str) -> None:
    """Put a refusal into the audit log, if it is one that an auditor asks for: not a mistyped read."""
    if request.method in {"GET", "HEAD"} and code in {"not_found", "validation_failed"}:
        return
    state = request.state
    route = request.scope.get("route")
    action = f"{request.method} {getattr(route, 'path', request.url.path)}"
    try:
        await request.app.state.services.denials.record(state.caller, action, _written(request), code)
    except StoreUnavailable as failure:
        log.error("a denial could not be recorded", request_id=request_id_of(request.scope), error=str(failure))
    except Exception as defect:  # the answer is owed, whatever becomes of its row
        log.error("a denial could not be recorded", request_id=request_id_of(request.scope), exc_info=defect)


async def deny_socket(send: Any, response: Response) -> None:
    """Answer the request for a WebSocket with an ordinary response."""
    head = {"type": "websocket.http.response.start", "status": response.status_code, "headers": response.raw_headers}
    await send(head)
    await send({"type": "websocket.http.response.body", "body": response.body})


def _written(request: Request) -> str:
    """The path as it was written, still percent-encoded: decoded it may hold anything, such as a NUL."""
    path: bytes = request.scope["raw_path"]
    return path.decode("ascii", "replace")[:MAX_TEXT]


HANDLERS: dict[int | type[Exception], Any] = {
    Refusal: on_refusal,
    RequestValidationError: on_validation,
    HTTPException: on_http,
    ClientDisconnect: on_hang_up,
    StoreUnavailable: on_failure,
    ProviderUnavailable: on_failure,
    MaterialUnusable: on_failure,
    Conflict: on_failure,
    Exception: on_failure,
}
