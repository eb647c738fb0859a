"""Rates, bursts and places: what a remote may use, and that nothing is counted which was refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.quota import MOST_KEYS, Bucket, Quota, Quotas, Strangers
from isthmus.domain.federation.remote import Limits

LIMITS = Limits(requests=10, requests_burst=5, mutations=1, mutations_burst=2, parallel=3)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_more_is_taken_than_burst_and_rate_allow(rate: float, burst: int, steps: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst), 0.0, 0
    for step in steps:
        now += step
        taken += bucket.take(now) == 0
    assert taken <= burst + rate * (now - steps[0]) + 1e-6


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 20))
def test_whoever_waits_as_long_as_told_gets_one(rate: float, burst: int) -> None:
    bucket, now = Bucket(rate, burst), 0.0
    while bucket.take(now) == 0:
        pass
    wait = bucket.take(now)
    assert 0 < wait <= 1 / rate + 1e-9
    assert bucket.take(now + wait + 1e-9) == 0


def entered(quota: Quota, now: float, *, changes: bool = False) -> str:
    """The bucket that was empty; no text when there was room."""
    try:
        quota.enter(now, changes=changes)
    except Denied as denied:
        return str(denied.members["bucket"]) if denied.members["retry_after"] >= 1 else denied.code
    return ""


def test_each_limit_has_its_name() -> None:
    quota = Quota(LIMITS)
    assert [entered(quota, 0.0) for _ in range(4)] == ["", "", "", "parallel"]
    for _ in range(3):
        quota.leave()
    assert [entered(quota, 0.0, changes=True) for _ in range(2)] == ["", ""]
    quota.leave()
    assert entered(quota, 0.0, changes=True) == "requests"
    assert entered(quota, 0.5, changes=True) == "mutations"
    assert entered(quota, 0.5) == ""


def test_what_is_refused_is_not_counted() -> None:
    quota = Quota(Limits(requests=1, requests_burst=2, mutations=1, mutations_burst=1, parallel=9))
    assert entered(quota, 0.0, changes=True) == ""
    assert entered(quota, 0.0, changes=True) == "mutations"
    # The refused mutation took none of the requests either.
    assert entered(quota, 0.0) == ""
    assert quota.parallel == 2


def test_other_limits_keep_those_who_are_inside() -> None:
    quotas = Quotas()
    quota = quotas.of("a", LIMITS)
    quota.enter(0.0, changes=False)
    changed = quotas.of("a", Limits(parallel=1))
    assert changed is quota
    assert entered(changed, 0.0) == "parallel"
    quota.leave()
    assert entered(changed, 0.0) == ""


def test_remotes_and_strangers_have_nothing_in_common_and_are_bounded() -> None:
    quotas, strangers = Quotas(), Strangers()
    for number in range(MOST_KEYS + 100):
        assert entered(quotas.of(number, LIMITS), 0.0) == ""
        assert strangers.take(number, Limits(requests=1, requests_burst=1), 0.0) == 0
    assert strangers.take(MOST_KEYS, Limits(requests=1, requests_burst=1), 0.0) > 0
    assert len(quotas._quotas) == MOST_KEYS
    assert len(strangers._buckets) == MOST_KEYS


def test_a_rate_of_nought_never_comes_back() -> None:
    bucket = Bucket(0, 1)
    assert bucket.take(0.0) == 0
    with pytest.raises(Denied) as denied:
        Quota(Limits(requests=0, requests_burst=0)).enter(0.0, changes=False)
    assert denied.value.members["retry_after"] == 3600
    assert bucket.take(1e9) == float("inf")


def test_whoever_is_refused_too_often_is_limited_until_it_calms_down() -> None:
    quota = Quota(Limits(requests=10, requests_burst=4, mutations=10, mutations_burst=9, parallel=9))
    refusals = [quota.refused("axis_denied", 0.0) for _ in range(4)]
    assert refusals == [{}] * 4
    assert entered(quota, 0.0) == "refusals"
    assert quota.refused("rate_limited", 0.0) == {"axis_denied": 4, "rate_limited": 1}
    # How both sides stand is told whatever happens.
    quota.enter(0.0, changes=True, is_vital=True)
    quota.leave()
    # A tenth of ten a second comes back.
    assert [entered(quota, at) for at in (0.5, 1.1)] == ["refusals", ""]


def test_refusals_that_are_spread_over_time_limit_nobody() -> None:
    quota = Quota(Limits(requests=10, requests_burst=4, mutations=10, mutations_burst=9, parallel=900))
    for second in range(100):
        assert quota.refused("axis_denied", float(second)) == {}
        assert entered(quota, float(second)) == ""
    # What is long over is not told with what happens now.
    burst = [quota.refused("grant_invalid", 1000.0) for _ in range(5)]
    assert burst[-1] == {"grant_invalid": 5}
