"""Which keys are to be made anew, and when nobody may ask for it."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.keys import SPREAD, check_may_rotate, is_asked_for, is_too_old
from isthmus.domain.mesh.peer import Peer
from tests.builders import NOON, a_jump, a_network, a_peer, a_static

AGE = timedelta(days=30)
AGEING = a_network(key_max_age=int(AGE.total_seconds()))


def made_at(moment: datetime, **fields: Any) -> Peer:
    return a_peer(created_at=NOON - 9 * AGE, key_changed_at=moment, **fields)


def test_a_key_is_too_old_at_its_greatest_age_and_never_before_nine_tenths_of_it() -> None:
    for number in range(200):
        peer = made_at(NOON, id=PeerId(UUID(int=number)))
        assert not is_too_old(AGEING, peer, NOON + AGE * (1 - SPREAD) - timedelta(seconds=1))
        assert is_too_old(AGEING, peer, NOON + AGE)


def test_peers_that_enrolled_together_are_due_one_after_the_other() -> None:
    peers = [made_at(NOON, id=PeerId(UUID(int=2**96 + 977 * number))) for number in range(1000)]
    hours = [NOON + AGE * (1 - SPREAD) + timedelta(hours=hour) for hour in range(73)]
    due = [sum(is_too_old(AGEING, peer, hour) for peer in peers) for hour in hours]
    assert due[0] < 20
    assert due[-1] == 1000
    assert max(after - before for before, after in pairwise(due)) < 40


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(made_at(NOON, public_key=None), id="not enrolled"),
        pytest.param(made_at(NOON, blocked=True), id="blocked"),
        pytest.param(a_static(key_changed_at=NOON), id="static"),
    ],
)
def test_who_cannot_change_its_key_is_never_due(peer: Peer) -> None:
    assert not is_too_old(AGEING, peer, NOON + 9 * AGE)


def test_without_a_greatest_age_no_key_is_too_old() -> None:
    assert not is_too_old(a_network(), made_at(NOON), NOON + 999 * AGE)


def test_a_wish_counts_while_the_peer_stands_in_configs() -> None:
    assert is_asked_for(a_peer(rekey_asked_at=NOON))
    assert not is_asked_for(a_peer())
    assert not is_asked_for(a_peer(rekey_asked_at=NOON, blocked=True))


def test_a_key_may_be_asked_of_agents_that_have_one() -> None:
    for peer in (a_peer(), a_jump()):
        check_may_rotate(peer, [], force=False)
    check_may_rotate(a_peer(), [a_static()], force=False)
    check_may_rotate(a_jump(), [a_static()], force=True)


@pytest.mark.parametrize(
    ("peer", "static", "force", "why"),
    [
        (a_static(), [], True, "no agent"),
        (a_peer(public_key=None), [], True, "has not enrolled"),
        (a_jump(), [a_static(3), a_static(4)], False, "2 static peers"),
    ],
)
def test_refuses_where_no_agent_can_or_static_configs_would_go_dead(
    peer: Peer, static: list[Peer], force: bool, why: str
) -> None:
    with pytest.raises(TransitionNotAllowed, match=why) as refused:
        check_may_rotate(peer, static, force=force)
    assert refused.value.hint
