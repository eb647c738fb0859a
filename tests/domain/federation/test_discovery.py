"""What an SRV answer means: the order of RFC 2782, odd targets, how long an answer is believed."""

import random
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.discovery import (
    LEAST_LIFE,
    LOOKUP_WINDOW,
    MOST_LIFE,
    MOST_LOOKUPS,
    NEGATIVE_LIFE,
    STALE_LIFE,
    LookupLimit,
    Record,
    among,
    kept,
    kept_absence,
    ordered,
    usable,
)
from isthmus.domain.federation.names import is_domain

PORTS = frozenset({443, 8443})
TRIES = 10_000
RECORDS = st.builds(Record, st.integers(0, 3), st.integers(0, 9), st.sampled_from([443, 8443]), st.sampled_from(
    ["a.b.example", "b.b.example", "c.b.example"]
))  # fmt: skip


def a_record(target: str = "infra.b.example", port: int = 443, priority: int = 0, weight: int = 0) -> Record:
    return Record(priority, weight, port, target)


@given(st.lists(RECORDS), st.randoms())
def test_every_target_is_tried_once_and_lower_priorities_first(records: list[Record], chance: random.Random) -> None:
    order = ordered(records, chance.randint)
    best: dict[tuple[str, int], int] = {}
    for record in records:
        place = (record.target, record.port)
        best[place] = min(record.priority, best.get(place, record.priority))
    assert sorted((target.host, target.port) for target in order) == sorted(best)
    priorities = [best[target.host, target.port] for target in order]
    assert priorities == sorted(priorities)


def first_picks(weights: list[int]) -> Counter[str]:
    chance = random.Random(7)
    records = [a_record(f"t{weight}.b.example", weight=weight) for weight in weights]
    return Counter(ordered(records, chance.randint)[0].host for _ in range(TRIES))


def test_picks_follow_the_weights_within_three_standard_deviations() -> None:
    weights = [1, 3, 6]
    picks = first_picks(weights)
    for weight in weights:
        share = weight / sum(weights)
        assert abs(picks[f"t{weight}.b.example"] - TRIES * share) <= 3 * sqrt(TRIES * share * (1 - share))


def test_a_target_without_weight_is_picked_seldom_and_not_never() -> None:
    picks = first_picks([0, 99])
    assert 0 < picks["t0.b.example"] < TRIES * 0.02


def test_a_lone_dot_is_no_service() -> None:
    with pytest.raises(Denied) as denied:
        usable([a_record(".", port=0)], PORTS)
    assert denied.value.code == "discovery_no_service"


def test_a_dot_beside_others_is_passed_over() -> None:
    assert usable([a_record("."), a_record()], PORTS) == [a_record()]


@pytest.mark.parametrize(
    "target", ["localhost", "192.0.2.1", "infra.b.example.", "*.b.example", "a_b.example", "[::1]", "1.2"]
)
def test_an_odd_target_is_refused(target: str) -> None:
    with pytest.raises(Denied) as denied:
        usable([a_record(target)], PORTS)
    assert denied.value.code == "target_denied"


@pytest.mark.parametrize("port", [22, 25, 5432, 0, 65535])
def test_a_port_that_is_not_allowed_is_refused(port: int) -> None:
    with pytest.raises(Denied) as denied:
        usable([a_record(port=port)], PORTS)
    assert (denied.value.code, denied.value.reason) == ("target_denied", "target.port")


def test_more_than_32_records_are_refused() -> None:
    with pytest.raises(Denied):
        usable([a_record(f"t{number}.b.example") for number in range(33)], PORTS)
    assert len(usable([a_record(f"t{number}.b.example") for number in range(32)], PORTS)) == 32


@given(st.text(max_size=40), st.integers(0, 65535))
def test_whatever_is_usable_is_a_domain_at_an_allowed_port(target: str, port: int) -> None:
    try:
        (record,) = usable([a_record(target, port)], PORTS)
    except Denied:
        return
    assert is_domain(record.target)
    assert record.port in PORTS


def test_dns_narrows_what_is_pinned_and_never_widens_it() -> None:
    targets = ordered([a_record(), a_record("infra.x.example")], max)
    assert [target.host for target in among(targets, {"infra.b.example", "infra2.b.example"})] == ["infra.b.example"]
    with pytest.raises(Denied) as denied:
        among(targets, {"infra2.b.example"})
    assert (denied.value.code, denied.value.reason) == ("target_denied", "infra_unpinned")


@pytest.mark.parametrize(("ttl", "life"), [(0, LEAST_LIFE), (60, 60), (604_800, MOST_LIFE)])
def test_the_life_of_an_answer_is_clamped(ttl: float, life: float) -> None:
    answer = kept("x", ttl, 100.0)
    assert answer.is_fresh(100 + life - 1)
    assert not answer.is_fresh(100 + life)


def test_a_negative_answer_lives_half_a_minute_and_is_never_served_stale() -> None:
    absence = kept_absence(100.0)  # type: ignore[var-annotated]
    assert absence.is_fresh(100 + NEGATIVE_LIFE - 1)
    assert not absence.is_fresh(100 + NEGATIVE_LIFE)
    assert not absence.may_serve_stale(100.0)


def test_a_stale_answer_serves_an_hour_however_often_it_was_put_off() -> None:
    answer = kept("x", 60, 0.0)
    now = 60.0
    while answer.may_serve_stale(now):
        answer = answer.put_off(now)
        assert answer.is_fresh(now)
        now = answer.fresh_until
    assert now == 60 + STALE_LIFE


def test_a_name_is_looked_up_six_times_a_minute() -> None:
    limit = LookupLimit()
    assert [limit.wait(float(second)) for second in range(MOST_LOOKUPS)] == [0.0] * MOST_LOOKUPS
    assert limit.wait(6.0) == LOOKUP_WINDOW - 6
    assert limit.wait(LOOKUP_WINDOW) == 0.0
    assert limit.wait(LOOKUP_WINDOW) > 0
