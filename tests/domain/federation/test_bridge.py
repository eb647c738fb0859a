"""A bridge's own moves, what it makes of the other side's word, and when anything may pass."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from itertools import product
from typing import Any

import pytest

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import TRANSITIONS, Action, Bridge, Hold, Side, State
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.hearing import (
    REACHABLE,
    Heard,
    Known,
    checked_choice,
    hear,
    obstacles,
    restated,
    to_say_again,
)
from tests.builders import NOON
from tests.trusting import OUR_TERMS, PLANT_V6, THEIR_TERMS, a_bridge, a_statement

LATER = NOON + timedelta(hours=1)
UNDRAWN = sorted(set(product(State, Action)) - TRANSITIONS.keys())
OPERATOR = frozenset({Hold.OPERATOR})


def asked(**fields: Any) -> Bridge:
    """A bridge that was proposed to us."""
    return replace(a_bridge(proposed_by=Side.THEIRS, theirs=a_statement(), network_id=None, ours=None), **fields)


def standing(state: State, theirs: State | None = State.ACTIVE, **fields: Any) -> Bridge:
    """A bridge whose sides have these states; `theirs` None has said nothing."""
    heard = None if theirs is None else a_statement(theirs, revision=5)
    holds = OPERATOR if state is State.SUSPENDED else frozenset()
    return a_bridge(state=state, theirs=heard, holds=holds, accepted=(PLANT_V6,), **fields)


@pytest.mark.parametrize(("move", "target"), [*TRANSITIONS.items()])
def test_each_move_of_the_table_leads_where_it_is_drawn_and_is_told(move: tuple[State, Action], target: State) -> None:
    state, action = move
    before = standing(state, proposed_by=Side.THEIRS)
    after = before.after(action, LATER, reason="because")
    assert (after.state, after.changed_at, after.reason) == (target, LATER, "because")
    assert (after.revision, after.version) == (before.revision + 1, before.version + 1)
    assert after.statement is not None
    assert (after.statement.state, after.statement.revision) == (target, after.revision)
    kept = ("network_id", "ours", "offered", "accepted", "theirs", "generation")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


@pytest.mark.parametrize(("state", "action"), UNDRAWN)
def test_a_move_that_the_table_lacks_is_refused(state: State, action: Action) -> None:
    with pytest.raises(TransitionNotAllowed):
        standing(state, proposed_by=Side.THEIRS).after(action, LATER)


def test_nobody_accepts_what_he_has_proposed_himself() -> None:
    with pytest.raises(TransitionNotAllowed, match="we have proposed it"):
        a_bridge().after(Action.ACCEPT, LATER)
    assert asked().after(Action.ACCEPT, LATER).state is State.ACTIVE


def test_whoever_was_asked_has_said_nothing_until_he_answers() -> None:
    assert asked().statement is None
    assert a_bridge().statement is not None
    refused = asked().after(Action.REVOKE, LATER).statement
    assert refused is not None
    assert (refused.state, refused.terms.network) == (State.REVOKED, "")


def test_each_hold_is_lifted_by_itself() -> None:
    active = standing(State.ACTIVE)
    by_operator = active.after(Action.SUSPEND, LATER)
    both = by_operator.after(Action.SUSPEND, LATER, Hold.INCIDENT)
    assert (both.state, both.holds) == (State.SUSPENDED, frozenset(Hold))
    for hold in Hold:
        with pytest.raises(TransitionNotAllowed):
            both.after(Action.SUSPEND, LATER, hold)
    left = both.after(Action.RESUME, LATER)
    assert (left.state, left.holds) == (State.SUSPENDED, frozenset({Hold.INCIDENT}))
    with pytest.raises(TransitionNotAllowed, match="an incident alone holds it"):
        left.after(Action.RESUME, LATER)
    with pytest.raises(TransitionNotAllowed, match="no incident holds it"):
        by_operator.after(Action.RESUME, LATER, Hold.INCIDENT)
    right = both.after(Action.RESUME, LATER, Hold.INCIDENT)
    assert (right.state, right.holds) == (State.SUSPENDED, frozenset({Hold.OPERATOR}))
    assert left.after(Action.RESUME, LATER, Hold.INCIDENT).state is State.ACTIVE
    assert both.after(Action.REVOKE, LATER).holds == frozenset()


@pytest.mark.case("BRIDGE-002")
@pytest.mark.parametrize(("ours", "theirs"), [*product(State, State)])
def test_of_all_sixteen_pairs_one_is_effective_and_both_sides_say_so(ours: State, theirs: State) -> None:
    here, there = standing(ours, theirs), standing(theirs, ours, proposed_by=Side.THEIRS)
    is_effective = (ours, theirs) == (State.ACTIVE, State.ACTIVE)
    for side in (here, there):
        assert side.is_effective is is_effective
        assert bool(obstacles(side)) is not is_effective
        assert obstacles(side, ["the remote is not active here"]) != []


def test_what_is_in_the_way_is_said_of_both_sides() -> None:
    both = replace(standing(State.SUSPENDED, State.SUSPENDED), holds=frozenset(Hold))
    assert obstacles(both) == [
        "suspended by an incident here",
        "suspended by our operator",
        "suspended by the other side",
    ]
    assert obstacles(standing(State.ACTIVE, None)) == ["the other side is not active yet"]
    assert obstacles(a_bridge()) == ["waits for the acceptance of the other side"]
    assert obstacles(asked()) == ["waits for our acceptance"]


def test_the_proposer_is_active_once_it_holds_the_acceptance() -> None:
    said = a_statement(State.ACTIVE, revision=2)
    after = hear(a_bridge(), said, "e.y.J", LATER).bridge
    assert (after.state, after.theirs, after.signed) == (State.ACTIVE, said, "e.y.J")
    assert after.accepted == THEIR_TERMS.prefixes
    assert after.revision == 2
    assert after.is_effective
    # It may be that the word of the acceptance was lost, and what we hear is what came after it.
    held = hear(a_bridge(), replace(said, state=State.SUSPENDED), "", LATER).bridge
    assert (held.state, held.is_effective) == (State.ACTIVE, False)


@pytest.mark.parametrize("ours", sorted(set(State) - {State.REVOKED}))
@pytest.mark.parametrize("revision", [1, 5, 6])
def test_a_revocation_ends_both_sides_however_old_it_is(ours: State, revision: int) -> None:
    said = a_statement(State.REVOKED, revision=revision, reason="moving out")
    after = hear(standing(ours), said, "", LATER).bridge
    assert (after.state, after.reason, after.changed_at) == (State.REVOKED, "moving out", LATER)
    assert hear(after, said, "", LATER) == Heard(after, is_news=False)
    for state in set(State) - {State.REVOKED}:
        with pytest.raises(Denied, match="revoked on this side"):
            hear(after, a_statement(state, revision=9), "", LATER)


def test_what_is_older_is_passed_over_and_what_contradicts_itself_is_refused() -> None:
    bridge = standing(State.ACTIVE, State.SUSPENDED)
    for said in (a_statement(State.ACTIVE, revision=4), bridge.theirs):
        assert said is not None
        assert hear(bridge, said, "other", LATER) == Heard(bridge, is_news=False)
    with pytest.raises(Denied, match="another statement") as refused:
        hear(bridge, a_statement(State.ACTIVE, revision=5), "", LATER)
    assert refused.value.code == "version_conflict"
    with pytest.raises(Denied) as refused:
        hear(bridge, a_statement(State.ACTIVE, revision=6, generation=2), "", LATER)
    assert refused.value.code == "version_conflict"


@pytest.mark.parametrize(("before", "said"), [*product(State, State)])
def test_a_side_is_heard_only_where_its_own_moves_can_have_led(before: State, said: State) -> None:
    statement = a_statement(said, revision=6)
    bridge = standing(State.ACTIVE, before)
    if said in REACHABLE[before]:
        hear(bridge, statement, "", LATER)
    else:
        with pytest.raises(Denied) as refused:
            hear(bridge, statement, "", LATER)
        assert refused.value.code == "transition_not_allowed"


def test_reachable_is_what_the_table_of_moves_leads_to() -> None:
    for start in State:
        found = {start}
        for _ in State:
            found |= {target for (state, _), target in TRANSITIONS.items() if state in found}
        assert REACHABLE[start] == found


@pytest.mark.parametrize("said", State)
def test_the_first_word_of_whom_we_asked_is_an_answer(said: State) -> None:
    statement = a_statement(said, revision=2)
    if said is State.PROPOSED:
        with pytest.raises(Denied, match="cannot follow nothing"):
            hear(a_bridge(), statement, "", LATER)
    else:
        hear(a_bridge(), statement, "", LATER)


def test_a_proposer_that_says_it_is_active_opens_nothing_before_we_have_accepted() -> None:
    after = hear(asked(), a_statement(State.ACTIVE, revision=2), "", LATER).bridge
    assert (after.state, after.accepted, after.is_effective) == (State.PROPOSED, (), False)


def test_what_is_offered_no_more_goes_at_once_and_what_is_new_waits_for_the_operator() -> None:
    one, other = THEIR_TERMS.prefixes
    bridge = replace(standing(State.ACTIVE), accepted=(one, other))
    fewer = a_statement(State.ACTIVE, revision=6, terms=replace(THEIR_TERMS, prefixes=(other,)))
    after = hear(bridge, fewer, "", LATER).bridge
    assert after.accepted == (other,)
    more = replace(fewer, revision=7, terms=THEIR_TERMS)
    again = hear(after, more, "", LATER).bridge
    assert again.accepted == (other,)
    assert again.state is State.ACTIVE
    assert checked_choice(again, ()) == (one, other)
    narrower = ip_network("fd99:1:2:1:7::/80")
    assert checked_choice(again, (narrower, narrower)) == (narrower,)
    with pytest.raises(TransitionNotAllowed, match="is not offered"):
        checked_choice(after, (one,))
    wider = a_statement(State.ACTIVE, revision=8, terms=replace(THEIR_TERMS, prefixes=(other.supernet(),)))
    assert hear(after, wider, "", LATER).bridge.accepted == (other,)


def test_what_was_not_heard_is_said_again_with_a_revision_that_counts() -> None:
    bridge = standing(State.ACTIVE, revision=7)
    assert to_say_again(bridge, None) == bridge
    assert to_say_again(bridge, Known(6, is_same=False)) == bridge
    assert to_say_again(bridge, Known(7, is_same=True)) is None
    for known in (7, 9):
        assert to_say_again(bridge, Known(known, is_same=False)) == restated(bridge, known)
        assert restated(bridge, known).revision == known + 1
    assert to_say_again(asked(), None) is None
    revoked = bridge.after(Action.REVOKE, LATER)
    assert to_say_again(revoked, None) is None
    assert to_say_again(revoked, Known(7, is_same=False)) == revoked


def test_new_terms_are_told_and_move_nothing() -> None:
    bridge = standing(State.ACTIVE)
    terms = replace(OUR_TERMS, network="attic")
    after = bridge.with_terms(terms, LATER)
    assert after.ours == terms
    for silent in (after, asked(), bridge.after(Action.REVOKE, LATER)):
        assert silent.with_terms(terms, LATER) == silent
    assert (after.revision, after.changed_at, after.state) == (bridge.revision + 1, bridge.changed_at, bridge.state)
