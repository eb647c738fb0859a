"""One component behind its socket: context, body, gate, effect, answer, in this order, and a row for every no."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from isthmus import tracing
from isthmus.domain.errors import InvalidValue, Refusal
from isthmus.domain.federation.denial import Denied
from isthmus.protocol import plain_json
from isthmus.protocol.context import HEADER, Context
from isthmus.protocol.federation import CALL_SECONDS, RPCS, Rpc
from isthmus.protocol.problem import STATUS, Stage, problem
from isthmus.server.adapters.components import requests
from isthmus.server.adapters.components.contexts import Crowded, Gate, NoContext
from isthmus.server.adapters.components.requests import Gone, Request
from isthmus.server.adapters.http.edge import Receive, Scope, Send
from isthmus.server.application.caller import Caller
from isthmus.server.application.calls import Call, denied
from isthmus.server.application.denials import DenialService
from isthmus.server.application.effects import Effects
from isthmus.server.application.tally import ANSWERED, DENIED, Tally
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.ports import Conflict, Store, StoreUnavailable

log = structlog.get_logger()

MOST_AT_ONCE = 256
# Less than the Federator waits, which may have waited for the database before: it shall hear from us how it ended.
ANSWER_SECONDS = CALL_SECONDS - 2.5
RETRY_SECONDS = 1
PATH = re.compile(r"/federation/([a-z][a-z0-9-]{0,62})")
KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where denials are written: those of proven callers one by one, those of strangers up to a bound."""

    store: Store
    denials: DenialService
    tally: Tally
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def of_stranger(self, request: Request, component: str, reason: str) -> None:
        caller = Caller("anyone", request.request_id)
        subject = request.path[:300]
        await self._kept(self.denials.record(caller, f"component {component}", subject, reason), request.request_id)

    async def of_caller(self, call: Call, denial: Denied) -> None:
        await self._kept(self._write(call, denial), call.context.request_id)

    async def _write(self, call: Call, denial: Denied) -> None:
        async with self.store.transaction() as tx:
            await tx.journal.audit([denied(call, denial)])
            if denial.finding:
                domain, evidence = call.context.remote, dict(denial.facts)
                await tx.findings.put(RemoteFinding(uuid4(), denial.finding, domain, call.at, call.at, 1, evidence))

    @staticmethod
    async def _kept(writing: Any, request_id: str) -> None:
        try:
            await writing
        except StoreUnavailable as failure:
            log.error("a denial could not be recorded", request_id=request_id, error=str(failure))
        except Exception as defect:  # the answer is owed, whatever becomes of its row
            log.error("a denial could not be recorded", request_id=request_id, exc_info=defect)


class ComponentApp:
    """An ASGI application for the socket of one component."""

    def __init__(self, name: str, gate: Gate, effects: Effects, ledger: Ledger) -> None:
        self._name = name
        self._gate = gate
        self._effects = effects
        self._ledger = ledger
        self._running = 0
        self.calls = effects.calls_of(name)
        self._decoders = {rpc: msgspec.json.Decoder(RPCS[name, rpc].request) for rpc in self.calls}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = requests.head_of(scope)
        if self._running >= MOST_AT_ONCE:
            document = problem("overloaded", Stage.COMPONENT, request.request_id, retry_after=RETRY_SECONDS)
            await requests.send_problem(send, document)
            return
        self._running += 1
        try:
            await self._answer(request, receive, send)
        except Gone:
            log.info("the Federator hung up", component=self._name, request_id=request.request_id)
        finally:
            self._running -= 1

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        try:
            context = await self._proven(request, receive)
        except NoContext as refusal:
            await self._ledger.of_stranger(request, self._name, refusal.reason)
            document = problem("context_invalid", Stage.COMPONENT, request.request_id)
        except Crowded:
            document = problem("overloaded", Stage.COMPONENT, request.request_id, retry_after=RETRY_SECONDS)
        else:
            request.request_id = context.request_id
            name = f"component in {self._name}{request.path.removeprefix('/federation')}"
            with tracing.span(name, context.caller_request_id or context.request_id) as span:
                span.note(own_request_id=context.request_id, remote=context.remote)
                await self._answer_proven(request, context, send)
            return
        await requests.send_problem(send, document)

    async def _proven(self, request: Request, receive: Receive) -> Context:
        """The context, once it is known to be of this very request. Raises `NoContext`, `Crowded`, `Gone`."""
        context = self._gate.read(request.headers.get(HEADER.lower()))
        if (context.method, context.path) != (request.method, request.path) or request.query:
            raise NoContext("context.other_request")
        try:
            request.body = await requests.body_of(receive)
        except Denied:
            raise NoContext("context.body_too_large") from None
        if context.body != sha256(request.body).hexdigest():
            raise NoContext("context.other_body")
        self._gate.use(context)
        return context

    async def _answer_proven(self, request: Request, context: Context, send: Send) -> None:
        found = PATH.fullmatch(request.path)
        call = Call(self._name, found[1] if found else "", context, None, self._ledger.now())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._read(call, request)
                with tracing.span("server authorise and answer", context.caller_request_id or context.request_id):
                    answer = await self._effects.of(call)
        except (Denied, Refusal, Conflict) as error:
            denial = meaning_of(error)
            await self._ledger.of_caller(call, denial)
        except (StoreUnavailable, TimeoutError) as error:
            log.error("a call was not answered", call=call.action, request_id=context.request_id, error=str(error))
            members = {"retry_after": RETRY_SECONDS}
            denial = Denied("overloaded", "store", "the backend cannot answer at the moment", members)
        except Exception as error:  # a defect of one endpoint must not end the socket
            log.error("a call broke", call=call.action, request_id=context.request_id, exc_info=error)
            denial = Denied(
                "internal", "defect", "something broke; the log of the backend tells what, by the request id"
            )
            await self._ledger.of_caller(call, denial)
        else:
            self._note(call, request, "")
            await requests.send_answer(send, answer, context.request_id)
            return
        self._note(call, request, denial.reason)
        await requests.send_problem(send, requests.problem_of(denial, context.request_id))

    def _note(self, call: Call, request: Request, reason: str) -> None:
        self._ledger.tally.called(call.context.remote, self._name, DENIED if reason else ANSWERED)
        log_call(call, request.milliseconds, reason)

    def _read(self, call: Call, request: Request) -> None:
        """Fill in what the request asks. Raises `Denied`."""
        if call.rpc not in self._decoders:
            call.rpc = call.rpc or request.path[:64]
            raise Denied("route_not_found", detail=f"the component {self._name} has no such call")
        if request.method != "POST":
            raise Denied("method_not_allowed", detail="calls are made by POST")
        requests.check_plain(request)
        entry: Rpc = call.entry
        call.authorization = request.headers.get("authorization")
        if entry.changes:
            call.idempotency_key = _key_of(request)
        call.body = _decoded(request.body, self._decoders[call.rpc])


def log_call(call: Call, milliseconds: float, reason: str) -> None:
    """One line for each call, with the request id of this side and that of the other."""
    context = call.context
    log.info(
        "answered a remote",
        call=call.action,
        remote=context.remote or context.origin,
        request_id=context.request_id,
        caller_request_id=context.caller_request_id,
        denied=reason,
        milliseconds=milliseconds,
    )


def meaning_of(error: Denied | Refusal | Conflict) -> Denied:
    """How a remote is told what an endpoint, or what it uses, said no with."""
    match error:
        case Denied():
            return error
        case InvalidValue():
            return Denied("validation_failed", detail=error.problem, members={"pointer": error.field})
        case Conflict():
            return Denied("version_conflict", error.constraint, "somebody else changed the same at this moment")
    # Codes of the REST API alone mean nothing to a remote.
    return Denied(error.code if error.code in STATUS else "forbidden", error.code, str(error))


def _key_of(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if not KEY.fullmatch(key):
        detail = "this call changes something: send an Idempotency-Key of 1 to 128 visible characters with it"
        raise Denied("idempotency_key_required", detail=detail)
    return key


def _decoded(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Raises `Denied` with the place of a wrong value, never with the value."""
    try:
        plain_json.check(raw)
        return decoder.decode(raw)
    except plain_json.NotPlain as refusal:
        raise Denied(refusal.code, detail=refusal.detail) from None
    except msgspec.ValidationError as error:
        pointer, detail = plain_json.pointed(error)
        raise Denied("validation_failed", detail=detail, members={"pointer": pointer}) from None
