"""The standing of a remote: the table of moves, and what a new entry does not inherit."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import TRANSITIONS, Action, Direction, Remote, State

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
UNDRAWN = sorted(set(product(State, Action)) - TRANSITIONS.keys())


def a_remote(state: State = State.ACTIVE) -> Remote:
    return Remote(
        UUID(int=1), BackendDomain("b.example"), 1, state, NOON - timedelta(days=1), (InfraDomain("infra.b.example"),)
    )


@pytest.mark.parametrize(("state", "action"), sorted(TRANSITIONS))
def test_every_move_of_the_table_leads_where_it_says(state: State, action: Action) -> None:
    after = a_remote(state).after(action, NOON)
    assert after.state is TRANSITIONS[state, action]
    assert after.changed_at == NOON
    assert after.version == 2


@pytest.mark.parametrize(("state", "action"), UNDRAWN)
def test_every_other_move_is_refused(state: State, action: Action) -> None:
    with pytest.raises(TransitionNotAllowed, match=f"cannot {action} a {state} remote"):
        a_remote(state).after(action, NOON)


def test_a_revoked_remote_stays_revoked() -> None:
    assert not [move for move in TRANSITIONS if move[0] is State.REVOKED]


def test_resuming_cannot_stand_in_for_the_operators_confirmation() -> None:
    with pytest.raises(TransitionNotAllowed):
        a_remote(State.PENDING).after(Action.RESUME, NOON)


@pytest.mark.parametrize("direction", [Direction.IN, Direction.OUT])
def test_a_direction_covers_itself_and_both_covers_each(direction: Direction) -> None:
    other = Direction.OUT if direction is Direction.IN else Direction.IN
    assert direction.has(direction)
    assert not direction.has(other)
    assert Direction.BOTH.has(direction)


def test_an_entry_is_over_at_its_expiry_to_the_second() -> None:
    limited = Remote(
        UUID(int=1), BackendDomain("b.example"), 1, State.ACTIVE, NOON, (), expires_at=NOON + timedelta(seconds=1)
    )
    assert not limited.is_expired(NOON)
    assert limited.is_expired(NOON + timedelta(seconds=1))
    assert not a_remote().is_expired(NOON)
