"""One suite for the clocks and the makers of ids: those of the server, and those that tests turn and count."""

from datetime import UTC
from itertools import pairwise

import pytest

from isthmus.server.adapters.clock import SystemClock, TimeOrderedIds
from isthmus.server.ports import Clock, Ids
from tests.application.backend import CountedIds, TurnedClock


@pytest.fixture(params=[SystemClock, TurnedClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


@pytest.fixture(params=[TimeOrderedIds, CountedIds])
def ids(request: pytest.FixtureRequest) -> Ids:
    made: Ids = request.param()
    return made


def test_the_time_is_in_utc_and_never_goes_back(clock: Clock) -> None:
    times = [clock.now() for _ in range(100)]
    assert {time.tzinfo for time in times} == {UTC}
    assert all(earlier <= later for earlier, later in pairwise(times))


def test_each_id_sorts_after_those_before_it(ids: Ids) -> None:
    made = [ids.new() for _ in range(5000)]
    assert sorted(made) == made
    assert sorted(map(str, made)) == list(map(str, made))
    assert len(set(made)) == 5000
