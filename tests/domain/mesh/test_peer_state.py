"""The one word about a peer: what is broken goes before what is missing, and that before what is fine."""

from dataclasses import replace
from datetime import timedelta

import pytest

from isthmus.domain.mesh.enrollment import EnrollmentToken
from isthmus.domain.mesh.liveness import State
from isthmus.domain.mesh.peer import Peer
from isthmus.domain.mesh.peer_state import PeerState, state_of
from tests.builders import NOON, a_peer, a_static, a_token

NEW = a_peer(public_key=None)
USED = a_token(used_at=NOON)


@pytest.mark.parametrize(
    ("peer", "token", "has_failed", "expected"),
    [
        (a_peer(blocked=True), a_token(), True, PeerState.BLOCKED),
        (a_peer(), a_token(), True, PeerState.FAILED),
        (a_peer(), a_token(), False, PeerState.PENDING),
        (NEW, a_token(), False, PeerState.PENDING),
        (NEW, a_token(expires_at=NOON), False, PeerState.EXPIRED),
        (NEW, None, False, PeerState.EXPIRED),
        (NEW, USED, False, PeerState.EXPIRED),
        (a_peer(), USED, False, PeerState.STALE),
        (a_peer(), None, False, PeerState.STALE),
        (a_static(public_key=None), None, False, PeerState.STALE),
    ],
)
def test_one_word_says_what_matters_most(
    peer: Peer, token: EnrollmentToken | None, has_failed: bool, expected: PeerState
) -> None:
    assert state_of(peer, State.STALE, token, NOON, has_failed=has_failed) is expected


def test_a_token_is_waited_with_until_the_moment_it_expires() -> None:
    token = a_token(expires_at=NOON + timedelta(seconds=1))
    assert state_of(NEW, State.OFFLINE, token, NOON, has_failed=False) is PeerState.PENDING
    assert state_of(NEW, State.OFFLINE, replace(token, expires_at=NOON), NOON, has_failed=False) is PeerState.EXPIRED


@pytest.mark.parametrize("heard", list(State))
def test_who_is_fine_is_as_was_heard_of_it(heard: State) -> None:
    assert state_of(a_peer(), heard, USED, NOON, has_failed=False) == heard.value
