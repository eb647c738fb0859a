"""What reaches a component of an admitted call, and what of its answer reaches the caller."""

import json
import time
from hashlib import sha256

import pytest

from isthmus.protocol import federation as wire
from isthmus.protocol.context import HEADER, LIFE
from isthmus.protocol.steady import since_start
from lab.waiting import wait_until
from tests.federator.stage import BODY, LOOKUP, Answer, Stage

PASSED_ON = {
    "host", "content-length", "content-type", "isthmus-context", "x-request-id", "isthmus-api-version",
    "isthmus-origin-domain", "x-calling-instance", "x-sdwan-network", "x-forwarded-for",
}  # fmt: skip


@pytest.mark.case("SEED-028")
def test_a_component_gets_what_is_proven_and_no_header_of_the_caller(stage: Stage) -> None:
    more = {"X-Anything": "else", "Cookie": "a=b", "Accept-Language": "de", "X-Request-Id": "the-callers"}
    answer = stage.call({**stage.headers(stage.a), **more})
    assert answer.status == 200
    (call,) = stage.calls
    assert (call.method, call.path, call.body) == ("POST", "/federation/get-user-by-handle", BODY)
    assert set(call.headers) == PASSED_ON
    assert call.headers["x-request-id"] == answer.request_id
    assert (call.headers["isthmus-origin-domain"], call.headers["isthmus-api-version"]) == ("a.example", "0")
    assert call.headers["x-calling-instance"] == str(stage.a.instance)
    assert (call.headers["x-sdwan-network"], call.headers["x-forwarded-for"]) == ("wan", "192.0.2.7")
    assert HEADER.lower() in call.headers


def test_the_grant_and_the_idempotency_key_reach_the_component(stage: Stage) -> None:
    stage.call({**stage.headers(stage.a), "Authorization": "Bearer grant", "Idempotency-Key": "key-1"})
    (call,) = stage.calls
    assert (call.headers["authorization"], call.headers["idempotency-key"]) == ("Bearer grant", "key-1")


OVERLAY = "8d7c1a52-7f65-4d43-9c1c-0b7f7f4f2c11"


def test_the_context_holds_what_has_been_proven(stage: Stage) -> None:
    listeners = {"wan": "wan", "vip4": OVERLAY}
    generation = stage.relist(stage.a.entry(generation=3, bundle_sequence=7), stage.c.entry(), listeners=listeners)
    before = since_start()
    answer = stage.ask(stage.a, **stage.listener("vip4"), X_Sdwan_Network=OVERLAY, X_Forwarded_For="10.9.0.2")
    context = stage.calls[-1].context
    assert (context.aud, context.method, context.path) == ("directory", "POST", "/federation/get-user-by-handle")
    assert context.body == sha256(BODY).hexdigest()
    assert (context.remote, context.origin, context.generation) == ("a.example", "a.example", 3)
    assert (context.infra_domain, context.instance) == ("infra.a.example", str(stage.a.instance))
    assert context.leaf == sha256(stage.a.leaf.der).hexdigest()
    assert (context.network, context.source) == (OVERLAY, "10.9.0.2")
    assert (context.assurance, context.listener, context.state) == ("cryptokey", "vip4", "active")
    assert (context.request_id, context.api_version) == (answer.request_id, 0)
    assert (context.bundle_sequence, context.snapshot) == (7, generation)
    assert before <= context.iat <= since_start()
    assert context.exp - context.iat == LIFE
    stage.ask(stage.a)
    assert stage.calls[-1].context.assurance == "tcp"
    assert stage.calls[-1].context.jti != context.jti


@pytest.mark.case("SEED-044")
@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "application/json", b'{"handle": "alice"}'),
        (404, "application/problem+json", b'{"code": "not_found"}'),
        (422, "application/problem+json", b'{"code": "validation_failed", "pointer": "/handle"}'),
        (429, "application/problem+json", b'{"code": "rate_limited"}'),
        (201, "application/vnd.example+json", b"\x00\xff"),
    ],
)
def test_status_content_type_and_body_of_a_component_come_back_and_nothing_else(
    stage: Stage, status: int, kind: str, body: bytes
) -> None:
    component = stage.around.components["directory"]
    component.status, component.body = status, body
    component.headers = {"Content-Type": kind, "X-Secret": "inner", "Set-Cookie": "a=b", "Server": "inner"}
    answer = stage.ask(stage.a)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (status, kind, body)
    names = {name.lower() for name in answer.headers}
    assert names == {"content-type", "content-length", "cache-control", "date", "server", "x-request-id"}
    assert "inner" not in json.dumps(answer.headers)
    component.headers = {"Content-Type": "application/json"}


def unavailable(stage: Stage, answer: Answer, reason: str) -> None:
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.problem["retryable"] is True
    row = stage.row(answer)
    assert (row.outcome, row.reason) == ("denied", reason)
    assert row.actor == f"remote:a.example/{stage.a.instance}"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_outage_of_a_component_is_ours_and_its_words_stay_inside(stage: Stage, status: int) -> None:
    component = stage.around.components["directory"]
    component.status, component.body = status, b'{"detail": "database at 10.1.2.3 is down"}'
    answer = stage.ask(stage.a)
    unavailable(stage, answer, "component.outage")
    assert b"10.1.2.3" not in answer.body


def test_that_a_component_is_overloaded_is_told_and_its_words_stay_inside(stage: Stage) -> None:
    component = stage.around.components["directory"]
    component.status, component.body = 503, b'{"code": "overloaded", "detail": "database at 10.1.2.3 is down"}'
    answer = stage.ask(stage.a)
    assert (answer.status, answer.code, int(answer.headers["Retry-After"])) == (503, "overloaded", 1)
    assert stage.row(answer).reason == "component.overloaded"
    assert b"10.1.2.3" not in answer.body


def test_an_answer_that_is_too_large_is_not_passed_on(stage: Stage) -> None:
    component = stage.around.components["directory"]
    component.body = b"x" * wire.MOST_RESPONSE
    assert len(stage.ask(stage.a).body) == wire.MOST_RESPONSE
    component.body += b"x"
    unavailable(stage, stage.ask(stage.a), "component.too_large")


def test_a_component_that_is_away_is_unavailable_and_found_when_it_is_back(stage: Stage) -> None:
    around, component = stage.around, stage.around.components["directory"]
    assert stage.ask(stage.a).status == 200
    around.background.run(component.stop())
    unavailable(stage, stage.ask(stage.a), "component.unreachable")
    around.background.run(component.start(stage.places.component("directory")))
    assert stage.ask(stage.a).status == 200
    # Connections that were kept to the component that has ended cost no call.
    around.background.run(component.stop())
    around.background.run(component.start(stage.places.component("directory")))
    assert stage.ask(stage.a).status == 200


def test_a_context_that_a_component_does_not_take_is_no_matter_of_the_caller(stage: Stage) -> None:
    component = stage.around.components["directory"]
    component.refuses_contexts = 1
    assert stage.ask(stage.a).status == 200
    first, second = (call.context for call in stage.calls)
    assert first.jti != second.jti
    component.refuses_contexts = 2
    unavailable(stage, stage.ask(stage.a), "component.context")
    # What a component says no to by itself is passed on.
    component.status, component.body = 401, b'{"code": "invitation_invalid"}'
    assert stage.ask(stage.a).status == 401


def test_a_component_that_does_not_answer_costs_the_deadline_and_no_more(own: Stage) -> None:
    own.settings["call_seconds"] = "0.5"
    own.start()
    own.around.components["directory"].delay = 5.0
    began = time.monotonic()
    unavailable(own, own.ask(own.a), "deadline.forward")
    assert time.monotonic() - began < 4
    own.around.components["directory"].delay = 0.0
    assert own.ask(own.a).status == 200


def test_a_caller_that_hangs_up_leaves_nothing_behind(stage: Stage) -> None:
    stage.relist(stage.a.entry(limits=_one_at_a_time()), stage.c.entry())
    component = stage.around.components["directory"]
    component.delay = 0.5
    with stage.connection() as connection:
        connection.putrequest("POST", LOOKUP, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": "x", "Content-Length": str(len(BODY)), **stage.headers(stage.a)}.items():
            connection.putheader(name, value)
        connection.endheaders(BODY)
        wait_until(lambda: component.calls, within=5, what="the call")
    component.delay = 0.0
    wait_until(lambda: stage.ask(stage.a).status == 200, within=10, what="the place that the call had")


def _one_at_a_time() -> object:
    from tests.federator.organisations import PLENTY

    return type(PLENTY)(1000, 1000, 1000, 1000, 1)
