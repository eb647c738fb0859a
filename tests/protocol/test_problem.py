"""Problem documents between backends: a frozen list of codes, and documents that stay small."""

import re

import msgspec
import pytest

from isthmus.protocol.problem import LONGEST, RETRYABLE, STATUS, Stage, headers_of, problem

REQUEST = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.mark.parametrize("code", sorted(STATUS))
def test_every_code_makes_a_whole_problem_document(code: str) -> None:
    document = msgspec.to_builtins(problem(code, Stage.FEDERATOR_IN, REQUEST))
    assert document["type"] == f"urn:isthmus:problem:{code}"
    assert document["instance"] == f"urn:uuid:{REQUEST}"
    assert document["status"] == STATUS[code]
    assert document["retryable"] is (code in RETRYABLE)
    assert document["title"][0].isupper()
    assert {"code", "stage", "request_id"} <= document.keys()


def test_codes_that_may_be_retried_are_codes() -> None:
    assert STATUS.keys() >= RETRYABLE


def test_a_problem_is_never_longer_than_it_may_be() -> None:
    long = problem("axis_denied", Stage.COMPONENT, REQUEST, "x" * 10_000, supplied="y" * 200, allowed=["z" * 100] * 16)
    assert len(msgspec.json.encode(long)) <= LONGEST


def test_a_time_to_wait_is_told_in_the_header_as_well() -> None:
    headers = headers_of(problem("rate_limited", Stage.FEDERATOR_IN, REQUEST, retry_after=7))
    assert headers["Retry-After"] == "7"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/problem+json"


def test_codes_are_words_that_a_urn_can_hold() -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in STATUS)
