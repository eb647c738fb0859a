"""The own Federator over its unix socket: the only way by which this process reaches other backends."""

import asyncio
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import structlog
from msgspec import UNSET, Struct

from isthmus import tracing
from isthmus.protocol import federation as wire
from isthmus.protocol import plain_json
from isthmus.protocol.federator import Examination
from isthmus.protocol.problem import MEDIA_TYPE, STATUS, Problem, Stage, problem
from isthmus.server.outward_ports import Errand, RemoteRefused

log = structlog.get_logger()

T = TypeVar("T", bound=Struct)

MOST_CONNECTIONS = 512
# Calls to one remote that is slow must not take the connections of all others.
MOST_TO_ONE = 64
IDLE_SECONDS = 60.0
# The Federator ends a call at its deadline itself and says so: that answer is worth waiting for.
GRACE_SECONDS = 1.0
DOCTOR, DOCTOR_SECONDS = "doctor", 30.0
PROBLEM = msgspec.json.Decoder(Problem)
MENDS = {
    "upstream_unavailable": "start the Federator of this backend: isthmus up, or isthmus federator beside the server",
    "target_denied": "isthmus remote list shows with whom this backend federates, and how",
    "overloaded": "try again in a moment",
    "own_certificate_expired": "renew it: isthmus certificate renew",
}


class OutwardSocket:
    """Pooled connections to the socket at `path`, and to those of `others` while nobody listens there. Opened by the
    first call, so a Federator may start later."""

    def __init__(self, path: Path, *others: Path) -> None:
        self._paths = [path, *others]
        self._sessions: dict[Path, aiohttp.ClientSession] = {}
        self._running: Counter[str] = Counter()

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def call(self, errand: Errand, body: Struct, response: type[T]) -> T:
        """The remote's answer as `response`. Raises `RemoteRefused`: `upstream_unavailable` where nobody listens."""
        name = f"component out {errand.component}/{errand.rpc}"
        with tracing.span(name, errand.request_id, remote=errand.domain) as span:
            try:
                found = _understood(errand, response, *await self._exchanged(errand, msgspec.json.encode(body)))
            except RemoteRefused as refusal:
                span.failed(refusal.problem.code)
                log_call(errand, refusal.problem.code)
                raise
        log_call(errand, "")
        return found

    async def examine(self, domain: str, request_id: str) -> Examination:
        """What the Federator's doctor finds on the way to `domain`. Raises `RemoteRefused`."""
        errand = Errand(domain, DOCTOR, "examine", request_id, seconds=DOCTOR_SECONDS)
        status, kind, raw = await self._exchanged(errand, b"{}")
        if status == 200 and kind == "application/json":
            return msgspec.json.decode(raw, type=Examination)
        if kind == MEDIA_TYPE:
            raise _passed_on(errand, raw)
        raise refused("internal", errand, f"the Federator answered {status} without a problem document")

    async def _exchanged(self, errand: Errand, body: bytes) -> tuple[int, str, bytes]:
        if self._running[errand.domain] >= MOST_TO_ONE:
            raise refused("overloaded", errand, f"{MOST_TO_ONE} calls to {errand.domain} are under way")
        self._running[errand.domain] += 1
        try:
            async with asyncio.timeout(errand.seconds + GRACE_SECONDS):
                return await self._tried(errand, body)
        except TimeoutError:
            raise refused("remote_timeout", errand, f"no answer within {errand.seconds:g} s") from None
        except (aiohttp.ClientError, OSError):
            detail = "the Federator of this backend does not answer, so no remote can be reached"
            raise refused("upstream_unavailable", errand, detail) from None
        finally:
            self._running[errand.domain] -= 1
            if not self._running[errand.domain]:
                del self._running[errand.domain]

    async def _tried(self, errand: Errand, body: bytes) -> tuple[int, str, bytes]:
        """Of several Federators all calls take the first one, until it does not listen any more."""
        *paths, last = list(self._paths)
        for path in paths:
            try:
                return await self._at(path, errand, body)
            except aiohttp.ClientConnectorError:
                if self._paths[0] == path:
                    self._paths.append(self._paths.pop(0))
        return await self._at(last, errand, body)

    async def _at(self, path: Path, errand: Errand, body: bytes) -> tuple[int, str, bytes]:
        try:
            return await self._once(path, errand, body)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientConnectionError, OSError):
            # Most likely an idle connection to a Federator that was started again since then.
            if not may_repeat(errand):
                raise
            return await self._once(path, errand, body)

    async def _once(self, path: Path, errand: Errand, body: bytes) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json", wire.REQUEST_ID: errand.request_id}
        headers[wire.CALL_SECONDS_HEADER] = f"{errand.seconds:.3f}"
        if errand.idempotency_key is not None:
            headers[wire.IDEMPOTENCY_KEY] = errand.idempotency_key
        is_doctor = errand.component == DOCTOR
        call = f"/doctor/{errand.domain}" if is_doctor else f"/rpc/{errand.domain}/{errand.component}/{errand.rpc}"
        url = f"http://federator{call}"
        async with self._opened(path).post(url, data=body, headers=headers) as answer:
            return answer.status, answer.content_type, await _read(answer, errand)

    def _opened(self, path: Path) -> aiohttp.ClientSession:
        session = self._sessions.get(path)
        if session is None:
            connector = aiohttp.UnixConnector(str(path), limit=MOST_CONNECTIONS, keepalive_timeout=IDLE_SECONDS)
            session = self._sessions[path] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return session


def log_call(errand: Errand, refused: str) -> None:
    """One line for each call: the request id in it is that of all processes on the way."""
    call = f"{errand.component}/{errand.rpc}"
    log.info("called a remote", call=call, remote=errand.domain, request_id=errand.request_id, refused=refused)


def may_repeat(errand: Errand) -> bool:
    """Whether a call has one effect however often it arrives."""
    if errand.idempotency_key is not None or errand.component == DOCTOR:
        return True
    rpc = wire.RPCS.get((errand.component, errand.rpc))
    return rpc is not None and not rpc.changes and wire.Admits.INVITED not in rpc.admits


async def _read(answer: aiohttp.ClientResponse, errand: Errand) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > wire.MOST_RESPONSE:
            detail = f"the answer is larger than {wire.MOST_RESPONSE} bytes"
            raise refused("remote_response_too_large", errand, detail)
    return b"".join(parts)


def _understood(errand: Errand, response: type[T], *answer: Any) -> T:
    status, kind, raw = answer
    if status == HTTPStatus.OK and kind == "application/json":
        return _decoded(errand, raw, response)
    if kind == MEDIA_TYPE:
        raise _passed_on(errand, raw)
    raise refused("internal", errand, f"the Federator answered {status} without a problem document")


def _decoded(errand: Errand, raw: bytes, response: type[T]) -> T:
    """What does not fit is the remote's fault, and none of it is repeated: it may be anything."""
    try:
        plain_json.check(raw, plain_json.RESPONSE)
        return msgspec.json.decode(raw, type=response)
    except plain_json.NotPlain as refusal:
        why = refusal.detail
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = plain_json.pointed(error)[1]
    detail = f"the answer of {errand.domain} is none of {errand.component}/{errand.rpc}: {why}"
    raise refused("remote_protocol_error", errand, detail)


def _passed_on(errand: Errand, raw: bytes) -> RemoteRefused:
    """The Federator's own problem, as it is: code, stage and what the remote said stay."""
    try:
        found = PROBLEM.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return refused("internal", errand, "the Federator answered with something that is no problem document")
    if found.code not in STATUS:
        return refused("internal", errand, "the Federator answered with a code that this server does not know")
    return RemoteRefused(found, mend_of(found, errand.domain))


def refused(code: str, errand: Errand, detail: str) -> RemoteRefused:
    document = problem(code, Stage.FEDERATOR_OUT, errand.request_id, detail)
    return RemoteRefused(document, mend_of(document, errand.domain))


def mend_of(document: Problem, domain: str) -> str | None:
    """What an operator does about it. What a remote's component says no with is no fault of the way to it."""
    if document.remote is not UNSET and document.remote.code == "not_found":
        return None
    general = f"isthmus remote doctor {domain} tells which link is broken"
    return MENDS.get(document.code, general if document.code.startswith(("remote_", "discovery_")) else None)
