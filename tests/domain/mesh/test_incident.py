"""An incident's states, and who is blocked by which."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.acl import blocked_by, is_blocked
from isthmus.domain.mesh.incident import (
    EVIDENCE,
    MAX_REASON,
    TRANSITIONS,
    Action,
    Finding,
    Incident,
    SharedConfig,
    State,
    Type,
    parse_reason,
)
from tests.builders import NOON, OFFICE_ID, a_peer

UNDRAWN = sorted(set(product(State, Action)) - TRANSITIONS.keys())
LATER = NOON + timedelta(minutes=5)


def an_incident(number: int = 1, peer: int = 2, **fields: object) -> Incident:
    incident = Incident(
        IncidentId(UUID(int=number)),
        OFFICE_ID,
        PeerId(UUID(int=peer)),
        f"peer-{peer}",
        Type.SHARED_CONFIG,
        SharedConfig(()),
        True,
        NOON,
    )
    return replace(incident, **fields)  # type: ignore[arg-type]


def test_a_resolved_incident_says_who_resolved_it_when_and_why() -> None:
    resolved = an_incident().resolved("user:ada", "a drill", LATER)
    assert not resolved.is_open
    assert (resolved.resolved_by, resolved.reason, resolved.resolved_at) == ("user:ada", "a drill", LATER)


@pytest.mark.parametrize(("state", "action"), UNDRAWN)
def test_refuses_every_move_the_diagram_does_not_draw(state: State, action: Action) -> None:
    assert action is Action.RESOLVE
    with pytest.raises(TransitionNotAllowed, match="is resolved already"):
        an_incident(state=state).resolved("user:ada", "again", LATER)


def test_a_later_finding_may_make_it_block_and_never_lets_it_cease_to() -> None:
    weak, strong = (
        Finding(a_peer().id, Type.SHARED_CONFIG, SharedConfig(()), blocks, LATER) for blocks in (False, True)
    )
    unblocked = an_incident(blocks=False)
    assert unblocked.confirmed_by(weak) == unblocked
    assert unblocked.confirmed_by(strong).blocks
    assert an_incident().confirmed_by(weak) == an_incident()


def test_only_open_incidents_that_block_are_on_the_list() -> None:
    first, second = an_incident(1), an_incident(2, type=Type.SESSION_CONFLICT)
    mild = an_incident(3, peer=3, blocks=False)
    past = an_incident(4, peer=4).resolved("user:ada", "over", LATER)
    assert blocked_by([second, mild, past, first]) == {a_peer(2).id: (first.id, second.id)}
    assert is_blocked(a_peer(2).id, [first])
    assert not is_blocked(a_peer(3).id, [mild, past])


def test_every_type_has_evidence_of_its_own() -> None:
    assert EVIDENCE.keys() == set(Type)
    assert len(set(EVIDENCE.values())) == len(Type)


@pytest.mark.parametrize("text", ["", "   ", "two\nlines", "\x1b[31mred", "x" * (MAX_REASON + 1)])
def test_a_reason_is_one_line(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_reason(text)
    assert parse_reason(" the copy is off ") == "the copy is off"
