"""Enrollment tokens: who may use one, when, and how often."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from isthmus.domain.errors import EnrollmentTokenInvalid, InvalidValue
from isthmus.domain.ids import PublicKey, SessionId
from isthmus.domain.mesh.enrollment import (
    LIFETIME,
    LONGEST,
    REPEAT_WINDOW,
    ROTATE_AFTER,
    SHORTEST,
    EnrollmentToken,
    check_lifetime,
)
from tests.builders import NOON, a_digest, a_key, a_session, a_token

TICK = timedelta(microseconds=1)
MINE, OTHER = a_key(1), a_key(2)
UNUSED = a_token(created_at=NOON, expires_at=NOON + LIFETIME)
USED = a_token(created_at=NOON, expires_at=NOON + LIFETIME, used_at=NOON, used_by=MINE)
# Used in its last moment: the time to repeat outlasts the time to use.
USED_LATE = a_token(created_at=NOON - LIFETIME, expires_at=NOON + TICK, used_at=NOON, used_by=MINE)


def test_an_unused_token_is_used_by_the_first_key() -> None:
    claimed = UNUSED.claimed(MINE, NOON)
    assert (claimed.used_at, claimed.used_by) == (NOON, MINE)
    assert (claimed.peer_id, claimed.digest, claimed.expires_at) == (UNUSED.peer_id, UNUSED.digest, UNUSED.expires_at)


@pytest.mark.parametrize(
    ("token", "key", "now"),
    [
        pytest.param(UNUSED, MINE, NOON + LIFETIME - TICK, id="unused, a moment before it expires"),
        pytest.param(USED, MINE, NOON, id="the same key at once"),
        pytest.param(USED, MINE, NOON + REPEAT_WINDOW - TICK, id="the same key, a moment before ten minutes"),
        pytest.param(USED_LATE, MINE, NOON + timedelta(minutes=9), id="the same key after the expiry"),
    ],
)
def test_admits(token: EnrollmentToken, key: PublicKey, now: datetime) -> None:
    assert token.claimed(key, now).used_by == key


@pytest.mark.parametrize(
    ("token", "key", "now"),
    [
        pytest.param(UNUSED, MINE, NOON + LIFETIME, id="unused, at the moment it expires"),
        pytest.param(UNUSED, MINE, NOON + 2 * LIFETIME, id="unused, long expired"),
        pytest.param(USED, MINE, NOON + REPEAT_WINDOW, id="the same key after exactly ten minutes"),
        pytest.param(USED, OTHER, NOON, id="another key at the same moment"),
        pytest.param(USED, OTHER, NOON + REPEAT_WINDOW - TICK, id="another key within ten minutes"),
        pytest.param(USED_LATE, MINE, NOON + REPEAT_WINDOW, id="the same key, expired and ten minutes over"),
    ],
)
def test_refuses_with_one_answer_for_every_reason(token: EnrollmentToken, key: PublicKey, now: datetime) -> None:
    with pytest.raises(EnrollmentTokenInvalid) as caught:
        token.claimed(key, now)
    assert str(caught.value) == "the enrollment token is not valid"
    assert caught.value.details() == {}


def test_repeating_does_not_make_the_ten_minutes_longer() -> None:
    nearly_over = NOON + REPEAT_WINDOW - TICK
    repeated = UNUSED.claimed(MINE, NOON).claimed(MINE, nearly_over)
    assert repeated == UNUSED.claimed(MINE, NOON)
    with pytest.raises(EnrollmentTokenInvalid):
        repeated.claimed(MINE, nearly_over + TICK)


@pytest.mark.parametrize("lifetime", [SHORTEST, LIFETIME, LONGEST])
def test_a_token_lives_from_a_minute_to_thirty_days(lifetime: timedelta) -> None:
    assert check_lifetime(lifetime) == lifetime


@pytest.mark.parametrize("lifetime", [SHORTEST - TICK, LONGEST + TICK, timedelta(0), -LIFETIME, timedelta.max])
def test_refuses_any_other_lifetime(lifetime: timedelta) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_lifetime(lifetime)
    assert caught.value.field == "/token_lifetime"


def test_a_session_is_due_before_its_token_is_twelve_hours_old() -> None:
    assert timedelta(hours=10) < ROTATE_AFTER < timedelta(hours=12)
    session = a_session()
    assert not session.is_due(NOON + ROTATE_AFTER - TICK)
    assert session.is_due(NOON + ROTATE_AFTER)


def test_a_rotated_session_is_the_same_standing_under_a_token_that_is_due_later() -> None:
    session, later = a_session(), NOON + ROTATE_AFTER
    fresh = session.rotated(SessionId(UUID(int=9)), a_digest("fresh"), later)
    assert (fresh.peer_id, fresh.created_at, fresh.token_made_at) == (session.peer_id, NOON, later)
    assert fresh.digest != session.digest
    assert not fresh.is_due(later + ROTATE_AFTER - TICK)


def test_a_session_without_an_end_is_never_over() -> None:
    assert not a_session().is_over(NOON + timedelta(days=4000))
    ending = a_session(expires_at=NOON + timedelta(hours=1))
    assert not ending.is_over(NOON)
    assert ending.is_over(NOON + timedelta(hours=1))
