"""Whether an admitted call may still have its effect: every state, and what a moment can change."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.federation.authorization import Standing, check_component, check_standing
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Direction, Remote, State, Strategy
from tests.builders import NOON

ACTIVE = frozenset({State.ACTIVE})


def a_remote(**fields: Any) -> Remote:
    given: dict[str, Any] = {"generation": 2, "state": State.ACTIVE} | fields
    infra = (InfraDomain("infra.a.example"),)
    return Remote(UUID(int=1), BackendDomain("a.example"), changed_at=NOON, infra_domains=infra, **given)


def reason_of(standing: Standing, generation: int = 2, states: frozenset[State] = ACTIVE) -> tuple[str, str] | None:
    try:
        check_standing(standing, generation, states, NOON)
    except Denied as denied:
        return denied.code, denied.reason
    return None


DENIED = {
    State.SUSPENDED: ("remote_suspended", "remote_suspended"),
    State.REVOKED: ("remote_revoked", "remote_revoked"),
    State.PENDING: ("federation_denied", "remote_pending"),
}


@pytest.mark.parametrize("admitted", State)
@pytest.mark.parametrize("state", State)
def test_only_the_states_that_the_call_is_for_pass(state: State, admitted: State) -> None:
    expected = None if state is admitted else DENIED.get(state, ("federation_denied", "remote_active"))
    assert reason_of(Standing(a_remote(state=state), Strategy.LIST), states=frozenset({admitted})) == expected


def test_an_entry_that_was_made_anew_revives_nothing() -> None:
    for generation in (1, 3, 0):
        denial = reason_of(Standing(a_remote(), Strategy.LIST), generation)
        assert denial == ("federation_denied", "generation")


def test_whoever_has_no_entry_passes_only_where_everybody_does() -> None:
    assert reason_of(Standing(None, Strategy.LIST), 0) == ("federation_denied", "not_listed")
    assert reason_of(Standing(None, Strategy.ALL), 0) is None
    pending = frozenset({State.PENDING})
    assert reason_of(Standing(None, Strategy.ALL), 0, pending) == ("federation_denied", "not_listed")


def test_under_no_federation_nobody_passes() -> None:
    assert reason_of(Standing(a_remote(), Strategy.NONE)) == ("federation_denied", "strategy_none")


def test_a_blocked_instance_and_an_expired_entry_end_at_once() -> None:
    blocked = Standing(a_remote(), Strategy.LIST, is_blocked=True)
    assert reason_of(blocked) == ("instance_blocked", "instance_blocked")
    for ends, expected in ((NOON, ("federation_denied", "remote_expired")), (NOON + timedelta(seconds=1), None)):
        assert reason_of(Standing(a_remote(expires_at=ends), Strategy.LIST)) == expected


def test_a_remote_uses_the_components_that_it_was_given() -> None:
    check_component(a_remote(), "directory")
    check_component(a_remote(components=frozenset({"directory"}), direction=Direction.IN), "directory")
    others: list[dict[str, Any]] = [{"components": frozenset({"bridges"})}, {"components": frozenset()}]
    for fields in [*others, {"direction": Direction.OUT}]:
        with pytest.raises(Denied):
            check_component(a_remote(**fields), "directory")
