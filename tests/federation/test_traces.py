"""One call is one trace through all processes of both sides where somebody takes traces, and nothing elsewhere."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

import pytest

from isthmus import tracing
from lab import Lab
from lab.meeting import acquaint, make_ready
from lab.organisation import Organisation
from lab.scripted_names import ScriptedNames
from lab.waiting import wait_until
from tests.federation.collecting import Collector
from tests.federation.party import Party

WITHIN = 30.0
SECRET = "alice-of-a-body"
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "200"}
"""Milliseconds until spans are sent: five seconds would be waited for."""
CHAIN = [
    ("isthmus-federator", "federator in directory/get-user-by-handle"),
    ("isthmus-federator", "federator out directory/get-user-by-handle"),
    ("isthmus-server", "component in directory/get-user-by-handle"),
    ("isthmus-server", "component out directory/get-user-by-handle"),
    ("isthmus-server", "server GET"),
    ("isthmus-server", "server authorise and answer"),
]


@dataclass(frozen=True)
class Traced:
    a: Party
    b: Party
    collector: Collector


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with Lab() as lab, ExitStack() as stack:
        names = ScriptedNames(lab)
        collector = stack.enter_context(Collector(lab.host("collector")))
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **QUICKLY}
        sites = [Organisation(names, name, env=env) for name in ("a", "b")]
        for site in sites:
            stack.callback(site.stop)
            stack.callback(site.api.close)
        make_ready(sites)
        acquaint(*sites)
        a, b = (Party(site) for site in sites)
        b.add_user(SECRET)
        # The first call asks for versions as well.
        a.lookup(f"{SECRET}@{b.domain}").raise_for_status()
        yield Traced(a, b, collector)


@pytest.mark.case("SEED-110")
def test_one_call_is_one_trace_through_all_processes_of_both_sides(traced: Traced) -> None:
    a, b, collector = traced.a, traced.b, traced.collector
    answer = a.lookup(f"{SECRET}@{b.domain}")
    assert answer.json()["handle"] == SECRET
    number = UUID(answer.headers["X-Request-Id"]).int
    wait_until(lambda: len(collector.of(number)) >= len(CHAIN), within=WITHIN, what="the spans")
    spans = collector.of(number)
    assert sorted((each.process, each.name) for each in spans) == CHAIN
    assert all(0 < each.seconds < WITHIN for each in spans)
    whole = next(each for each in spans if each.name == "server GET")
    assert whole.seconds == max(each.seconds for each in spans)
    assert (whole.facts["route"], whole.facts["status"]) == ("/api/v1/directory/lookup", "200")
    # Another call is another trace.
    other = a.lookup(f"{SECRET}@{b.domain}").headers["X-Request-Id"]
    wait_until(lambda: len(collector.of(UUID(other).int)) == len(CHAIN), within=WITHIN, what="the other spans")
    assert len(collector.of(number)) == len(CHAIN)


@pytest.mark.case("SEED-110")
def test_a_trace_tells_how_a_call_was_refused_and_holds_no_body_and_no_secret(traced: Traced) -> None:
    a, b, collector = traced.a, traced.b, traced.collector
    token = a.api.post("/tokens", json={"name": "t", "scopes": ["read"]}).raise_for_status().json()["token"]
    answer = a.api.get(
        "/directory/lookup",
        params={"handle": f"nobody-of-that-name@{b.domain}"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code >= 400
    number = UUID(answer.headers["X-Request-Id"]).int
    wait_until(lambda: len(collector.of(number)) == len(CHAIN), within=WITHIN, what="the spans")
    codes = {each.name.partition(" ")[0]: each.facts["code"] for each in collector.of(number) if "code" in each.facts}
    assert codes["federator"] == codes["component"] == "remote_error"
    sent = b"".join(collector.raw)
    for text in (SECRET, "nobody-of-that-name", token, "Bearer", "PRIVATE KEY", "Signature"):
        assert text.encode() not in sent


@pytest.mark.case("SEED-110")
def test_where_nobody_takes_traces_nothing_is_imported_or_sent() -> None:
    program = """
import sys
from isthmus import tracing
with tracing.sending("server"), tracing.span("x", "y") as span:
    span.note(a="b")
    span.failed("code")
    assert not tracing.is_on()
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WITHIN, env={})


def test_a_request_id_that_is_no_uuid_has_a_trace_too() -> None:
    one, other = tracing.number_of("of another program"), tracing.number_of("of a third one")
    assert 0 < one < 2**128
    assert one != other
    assert tracing.number_of("00000000-0000-0000-0000-000000000000") > 0
