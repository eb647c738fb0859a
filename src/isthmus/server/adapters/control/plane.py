"""The control socket as a plain ASGI application: long polls for what holds, and reports of what was seen."""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs
from uuid import uuid4

import msgspec
import structlog

from isthmus.domain.errors import Refusal
from isthmus.protocol.federator import MOST_WAIT, Nonce, Report
from isthmus.protocol.places import MOST_REPLICAS
from isthmus.protocol.problem import STATUS, Stage, headers_of, problem
from isthmus.server.adapters.http.edge import Receive, Scope, Send
from isthmus.server.application.federator_reports import ReportService
from isthmus.server.application.snapshots import Prepared, SnapshotService, TooManyWait
from isthmus.server.ports import NonceSeen, StoreUnavailable

log = structlog.get_logger()

MOST_BODY = 8 * 1024 * 1024
MOST_DIGITS = 18
JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}

Answer = tuple[int, dict[str, str], bytes]
Call = Callable[[Scope, Receive], Awaitable[Answer]]


class ControlPlane:
    """`isthmus.protocol.federator` says what each call takes and gives."""

    def __init__(self, snapshots: SnapshotService, reports: ReportService) -> None:
        self._snapshots = snapshots
        self._reports = reports
        self._report = msgspec.json.Decoder(Report)
        self._nonce = msgspec.json.Decoder(Nonce)
        self._calls: dict[tuple[str, str], Call] = {
            ("GET", "/snapshot"): self._snapshot,
            ("GET", "/ingress"): self._ingress,
            ("POST", "/report"): self._take_report,
            ("POST", "/nonces"): self._remember_nonce,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, headers, body = await self._answer(scope, receive)
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        call = self._calls.get((scope["method"], scope["path"]))
        if call is None:
            return _refused("route_not_found", "the control socket has no such call")
        try:
            return await call(scope, receive)
        except TooManyWait:
            return _refused("overloaded", "too many callers wait for changes")
        except NonceSeen:
            return _refused("replay_detected", "this nonce was used before")
        except StoreUnavailable as failure:
            log.error("store unavailable", error=str(failure))
            return _refused("overloaded", "the database does not answer")
        except (Refusal, BodyTooLarge, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _bad_input(error)
        except Exception as error:  # the socket goes on answering; the log has the rest
            log.error("a call of the control socket broke", path=scope["path"], exc_info=error)
            return _refused("internal", "something broke inside the server")

    async def _snapshot(self, scope: Scope, receive: Receive) -> Answer:
        after, seconds = _waiting(scope)
        self._snapshots.note_applied(after, _replica(scope))
        return _prepared(await self._snapshots.after(after, seconds), lambda found: found.snapshot)

    async def _ingress(self, scope: Scope, receive: Receive) -> Answer:
        return _prepared(await self._snapshots.after(*_waiting(scope)), lambda found: found.ingress)

    async def _take_report(self, scope: Scope, receive: Receive) -> Answer:
        await self._reports.take(self._report.decode(await _body(receive)))
        return _nothing()

    async def _remember_nonce(self, scope: Scope, receive: Receive) -> Answer:
        await self._reports.remember(self._nonce.decode(await _body(receive)))
        return _nothing()


class BodyTooLarge(Exception):
    """A body grew over the bound."""


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > MOST_BODY:
            raise BodyTooLarge
        if not message.get("more_body"):
            return b"".join(parts)


def _waiting(scope: Scope) -> tuple[int, float]:
    """The generation after which, and how long, a caller waits; nonsense counts as 0."""
    query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8)
    after, seconds = (query.get(name, ["0"])[-1][:MOST_DIGITS] for name in ("after", "wait"))
    is_time = seconds.isascii() and seconds.replace(".", "", 1).isdigit()
    return int(after) if after.isascii() and after.isdigit() else 0, min(float(seconds) if is_time else 0.0, MOST_WAIT)


def _replica(scope: Scope) -> int:
    """Which Federator asks; nonsense counts as the first."""
    text = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=8).get("replica", ["1"])[-1]
    return next((number for number in range(1, MOST_REPLICAS + 1) if text == str(number)), 1)


def _prepared(found: Prepared | None, part: Callable[[Prepared], bytes]) -> Answer:
    return _nothing() if found is None else (200, dict(JSON), part(found))


def _nothing() -> Answer:
    return 204, {"Cache-Control": "no-store"}, b""


def _bad_input(error: Exception) -> Answer:
    if isinstance(error, BodyTooLarge):
        return _refused("body_too_large", f"the body is larger than {MOST_BODY} bytes")
    if isinstance(error, Refusal | msgspec.ValidationError):
        return _refused("validation_failed", str(error))
    return _refused("json_invalid", "the body is not JSON")


def _refused(code: str, detail: str) -> Answer:
    document = problem(code, Stage.COMPONENT, str(uuid4()), detail)
    return STATUS[code], headers_of(document), msgspec.json.encode(document)
