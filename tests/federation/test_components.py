"""The hop from the Federator to a component, and what a component refuses, seen from another organisation."""

import json
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.federation import named
from tests.federation.checks import clean_request, no_state_change, one_audit_row, refused
from tests.federation.federation import Federation
from tests.federation.party import Party, over_socket
from tests.federation.wire import request

CALL = "/federation/get-user-by-handle"
ALICE = b'{"handle":"alice"}'


@pytest.mark.case("HDR-008")
def test_a_component_answers_nobody_without_a_signed_context(a: Party, b: Party) -> None:
    named.plain_headers_prove_nothing(a, b)


def test_what_the_federator_sent_is_not_taken_a_second_time(a: Party, b: Party) -> None:
    with b.component().watching() as calls:
        clean_request(a, b)
    (seen,) = calls
    headers = [(name, value) for name, value in seen.headers if name.lower() != "content-length"]
    again = request(seen.method, seen.path, headers=headers, body=seen.body)
    with no_state_change(b), one_audit_row(b, "context.used"):
        refused(over_socket(b.component().path, again), 401, "context_invalid")
    clean_request(a, b)


def test_one_request_id_links_what_all_processes_say_of_a_call(federation: Federation) -> None:
    a, b, _ = federation.parties
    with b.component().watching() as calls:
        answer = a.lookup(f"alice@{b.domain}")
    assert len(calls) == 1
    assert (answer.status_code, answer.json()["handle"], answer.json()["domain"]) == (200, "alice", b.domain)
    request_id = answer.headers["x-request-id"]
    for party in (a, b):
        for name in ("server", "federator"):
            await_line(party, name, request_id)


def await_line(party: Party, process: str, text: str) -> None:
    def has_said() -> bool:
        return any(text in line for line in party.site.log_of(process))

    wait_until(has_said, within=10, what=f"a line of the {process} of {party}")


HOSTILE: dict[str, tuple[bytes, int, str]] = {
    "depth": (b"[" * 10_000 + b"]" * 10_000, 400, "json_limits"),
    "a number of 100,000 digits": (b'{"handle":' + b"9" * 100_000 + b"}", 400, "json_limits"),
    "a key twice": (b'{"handle":"bob","handle":"alice"}', 400, "json_invalid"),
    "half a surrogate pair": (b'{"handle":"\\ud800"}', 400, "json_invalid"),
    "UTF-16": (ALICE.decode().encode("utf-16"), 400, "json_invalid"),
    "trailing text": (ALICE + b" {}", 400, "json_invalid"),
    "a list for a string": (b'{"handle":["s3cret"]}', 422, "validation_failed"),
    "an unknown field": (b'{"handle":"alice","s3cret":1}', 422, "validation_failed"),
}


@pytest.mark.parametrize(("body", "status", "code"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_good_body_comes_back_with_a_code_of_the_component(
    a: Party, b: Party, body: bytes, status: int, code: str
) -> None:
    with no_state_change(b), one_audit_row(b, code) as watch:
        answer = refused(a.asks(b, a.request(b, body=body)), status, code)
    assert answer.json["stage"] == "component"
    assert watch.row["actor"].startswith(f"remote:{a.domain}/")
    assert b"s3cret" not in answer.body.replace(b'"/s3cret"', b"")
    clean_request(a, b)


def test_a_profile_belongs_to_the_domain_that_was_asked_whatever_it_says(a: Party, b: Party) -> None:
    box = a.component()
    box.rewrites = lambda piece: piece.replace(b'"domain":"a.example"', b'"domain":"c.example"')
    try:
        found: Any = b.lookup(f"alice@{a.domain}").raise_for_status().json()
    finally:
        box.rewrites = None
    assert found["domain"] == a.domain
    assert "c.example" not in json.dumps(found)
    assert a.infra not in json.dumps(found)
