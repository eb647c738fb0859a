"""The pictures of the page on trust are those of the code, and every refusal of the gate is explained there."""

import re
import sys

import pytest

from isthmus.domain.federation.bridge import TRANSITIONS, Action, State
from isthmus.domain.federation.disclosure import SENTENCES
from tools import bridge_states


def test_every_move_is_in_the_diagram_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", bridge_states.diagram(), re.MULTILINE))
    assert drawn == {(state.value, after.value, action.value) for (state, action), after in TRANSITIONS.items()}


def test_the_page_has_the_pictures_of_the_code() -> None:
    page = bridge_states.PAGE.read_text(encoding="utf-8")
    assert bridge_states.diagram() in page
    assert page.count("**passes**") == 1


def test_a_move_that_is_not_in_the_page_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bridge_states", "--check"])
    assert bridge_states.main() == 0
    more = {**TRANSITIONS, (State.REVOKED, Action.RESUME): State.ACTIVE}
    monkeypatch.setattr(bridge_states, "TRANSITIONS", more)
    assert bridge_states.main() == 1
    assert "stale" in capsys.readouterr().err


def test_a_page_without_a_place_for_a_picture_is_named() -> None:
    with pytest.raises(LookupError, match="states"):
        bridge_states.redrawn("# Trust")


def test_every_refusal_of_the_gate_is_explained_with_its_mend() -> None:
    page = bridge_states.PAGE.read_text(encoding="utf-8")
    table = page.partition("| code | what it means | the mend |\n")[2].partition("\n\n")[0]
    rows = table.splitlines()[1:]
    explained = {code for row in rows for code in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert explained >= {*SENTENCES, "axis_denied", "instance_blocked"}
    assert all(row.count("|") == 4 and row.split("|")[3].strip() for row in rows)
