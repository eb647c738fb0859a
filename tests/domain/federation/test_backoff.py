"""How long a remote that does not answer is left alone."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.backoff import ANSWERING, FAILURES, LEAST_WAIT, MOST_WAIT, PROBE_SECONDS, Standing
from isthmus.domain.federation.denial import Denied


def after(failures: int, now: float = 0.0, draw: float = 0.5) -> Standing:
    standing = ANSWERING
    for _ in range(failures):
        standing = standing.after_failure(now, draw)
    return standing


def test_four_failures_hold_nothing_back_and_the_fifth_does() -> None:
    assert after(FAILURES - 1).admit(0.0) == after(FAILURES - 1)
    with pytest.raises(Denied) as denied:
        after(FAILURES).admit(0.0)
    assert denied.value.code == "remote_backoff"
    assert denied.value.members["retry_after"] >= 1


@given(st.integers(FAILURES, 60), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_between_a_second_and_five_minutes(failures: int, draw: float) -> None:
    wait = after(failures, 100.0, draw).shut_until - 100.0
    assert LEAST_WAIT <= wait <= MOST_WAIT


@pytest.mark.case("OUT-008")
def test_waits_grow_to_five_minutes_with_full_jitter() -> None:
    longest = [after(FAILURES + number, 0.0, 0.999999).shut_until for number in range(12)]
    assert longest == sorted(longest)
    assert round(longest[0]) == 2
    assert round(longest[-1]) == MOST_WAIT
    chance = random.Random(1)
    waits = {round(after(FAILURES + 11, 0.0, chance.random()).shut_until) for _ in range(200)}
    assert len(waits) > 100


def test_one_call_tries_and_the_others_wait_for_it() -> None:
    standing = after(FAILURES)
    trying = standing.admit(standing.shut_until)
    with pytest.raises(Denied):
        trying.admit(standing.shut_until + PROBE_SECONDS - 1)
    assert trying.admit(standing.shut_until + PROBE_SECONDS).failures == FAILURES


def test_a_remote_that_asks_for_time_gets_it_up_to_a_bound() -> None:
    asked = ANSWERING.after_request_to_wait(0.0, 30)
    with pytest.raises(Denied):
        asked.admit(29.0)
    assert asked.admit(30.0) == asked
    assert ANSWERING.after_request_to_wait(0.0, 10**9).shut_until == MOST_WAIT
