"""Roll-over of authorities and keys: published first, used later, kept for a while after."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.rollover import (
    Rolling,
    Schedule,
    Standing,
    current,
    following,
    is_half_over,
    turned,
    without_spent,
)
from tests.builders import NOON

DAY = timedelta(days=1)
WEEK = 7 * DAY


def a_thing(standing: Standing, at: datetime = NOON) -> Rolling:
    return Rolling(standing, at, at)


def test_what_comes_next_waits_until_remotes_can_know_it() -> None:
    things = [a_thing(Standing.CURRENT, NOON - 100 * DAY), a_thing(Standing.NEXT)]
    early = NOON + WEEK - timedelta(seconds=1)
    assert turned(things, early, WEEK) == tuple(things)
    past, present = turned(things, NOON + WEEK, WEEK)
    assert (past.standing, past.changed_at) == (Standing.PAST, NOON + WEEK)
    assert (present.standing, present.published_at, present.changed_at) == (Standing.CURRENT, NOON, NOON + WEEK)


def test_what_is_past_stays_for_its_time() -> None:
    things = [a_thing(Standing.PAST), a_thing(Standing.CURRENT)]
    assert without_spent(things, NOON + WEEK - timedelta(seconds=1), WEEK) == tuple(things)
    assert without_spent(things, NOON + WEEK, WEEK) == (things[1],)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=30))
def test_there_is_always_one_in_use_and_none_is_used_early(steps: list[tuple[int, bool]]) -> None:
    now = NOON
    things: tuple[Rolling, ...] = (a_thing(Standing.CURRENT, NOON),)
    for days, rolls in steps:
        now += days * DAY
        if rolls and following(things) is None:
            things = (*things, a_thing(Standing.NEXT, now))
        things = without_spent(turned(things, now, WEEK), now, 30 * DAY)
        standings = [each.standing for each in things]
        assert standings.count(Standing.CURRENT) == 1
        assert standings.count(Standing.NEXT) <= 1
        used = current(things)
        assert used is not None
        assert used.published_at == NOON or used.changed_at >= used.published_at + WEEK


def test_half_of_a_life_is_counted_from_the_issue() -> None:
    assert not is_half_over(NOON, NOON + DAY, NOON + DAY / 2 - timedelta(seconds=1))
    assert is_half_over(NOON, NOON + DAY, NOON + DAY / 2)


def test_a_schedule_keeps_the_bounds() -> None:
    with pytest.raises(ValueError, match="7 days"):
        Schedule(leaf_life=8 * DAY)
    with pytest.raises(ValueError, match="three refresh hints"):
        Schedule(ahead=timedelta(minutes=14))
    assert Schedule(ahead=timedelta(minutes=15)) == replace(Schedule(), ahead=timedelta(minutes=15))
