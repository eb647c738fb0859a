"""Which signs of life make a peer online, stale, offline or unknown."""

from datetime import datetime, timedelta

import pytest

from isthmus.domain.mesh.liveness import HANDSHAKE_GOOD_FOR, STALE_AFTER, Liveness, Signs, State, of_agent, of_static
from tests.builders import NOON

YESTERDAY = NOON - timedelta(hours=30)


def ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOON - timedelta(seconds=seconds)


def heard(last: float | None) -> Signs | None:
    """Signs of life since yesterday, the last of them so many seconds ago."""
    return None if last is None else Signs(YESTERDAY, NOON - timedelta(seconds=last))


# Seconds ago: the last sign of life since the server listens, one stored before that, and when it began to listen.
AGENTS = [
    (0, None, 3600, State.ONLINE),
    (36, None, 3600, State.ONLINE),
    (37, None, 3600, State.STALE),
    (90, None, 3600, State.STALE),
    (91, None, 3600, State.OFFLINE),
    (86_400, None, 100_000, State.OFFLINE),
    # A clock that was set back makes nobody silent.
    (-5, None, 3600, State.ONLINE),
    # Nobody has listened for long enough to have missed a report.
    (None, 40, 0, State.UNKNOWN),
    (None, 86_400, 36, State.UNKNOWN),
    (None, None, 36, State.UNKNOWN),
    (None, 40, 37, State.STALE),
    (None, 86_400, 90, State.STALE),
    (None, 86_400, 91, State.OFFLINE),
    (None, None, 91, State.OFFLINE),
]


@pytest.mark.parametrize(("last", "stored", "listening", "state"), AGENTS)
def test_an_agent_is_as_silent_as_the_server_had_ears(
    last: float | None, stored: float | None, listening: float, state: State
) -> None:
    found = of_agent(heard(last), ago(stored), NOON - timedelta(seconds=listening), NOON)
    since = YESTERDAY if state is State.ONLINE else ago(stored if last is None else last)
    assert found == Liveness(state, since)


# Seconds ago: a handshake since the server listens, one stored before, and the last report of a jump peer.
STATICS = [
    (10, None, 1, State.ONLINE),
    (180, None, 1, State.ONLINE),
    (181, None, 1, State.OFFLINE),
    (None, 100, None, State.ONLINE),
    (None, 181, 1, State.OFFLINE),
    (None, None, 1, State.OFFLINE),
    # No jump peer is there to see it.
    (181, None, 37, State.UNKNOWN),
    (None, None, None, State.UNKNOWN),
    # The clock of a jump peer a day ahead proves nothing.
    (None, -86_400, 1, State.OFFLINE),
]


@pytest.mark.parametrize(("seen", "stored", "observed", "state"), STATICS)
def test_a_static_peer_is_as_its_jump_peers_see_it(
    seen: float | None, stored: float | None, observed: float | None, state: State
) -> None:
    assert of_static(heard(seen), ago(stored), ago(observed), NOON).state is state


def test_contact_begins_anew_after_a_gap() -> None:
    signs = Signs(NOON, NOON)
    for _ in range(3):
        signs = signs.after(signs.last + STALE_AFTER, STALE_AFTER)
    assert signs == Signs(NOON, NOON + 3 * STALE_AFTER)
    back = signs.last + STALE_AFTER + timedelta(seconds=1)
    assert signs.after(back, STALE_AFTER) == Signs(back, back)
    assert signs.after(NOON, STALE_AFTER) == signs, "a sign that arrives late takes nothing back"


def test_a_handshake_lasts_as_long_as_the_session_that_it_began() -> None:
    signs = Signs(NOON, NOON).after(NOON + HANDSHAKE_GOOD_FOR, HANDSHAKE_GOOD_FOR)
    assert of_static(signs, None, None, NOON + 2 * HANDSHAKE_GOOD_FOR) == Liveness(State.ONLINE, NOON)
