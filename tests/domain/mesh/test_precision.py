"""How well thefts are told from ordinary days, on the scripted traces."""

import pytest

from tests.domain.mesh.traces import FOUND_ONLY, ORDINARY, THEFTS, Trace
from tests.domain.mesh.watching import Scene


def name_of(trace: Trace) -> str:
    return trace.__name__


def test_there_are_as_many_traces_as_the_measure_asks_for() -> None:
    assert len(ORDINARY) >= 20
    assert len(THEFTS) + len(FOUND_ONLY) >= 10


@pytest.mark.parametrize("trace", ORDINARY, ids=name_of)
def test_an_ordinary_day_opens_nothing(trace: Trace) -> None:
    scene = Scene()
    trace(scene)
    assert scene.findings == []


@pytest.mark.parametrize("trace", THEFTS, ids=name_of)
def test_a_theft_blocks(trace: Trace) -> None:
    scene = Scene()
    trace(scene)
    assert scene.blocks, scene.findings


@pytest.mark.parametrize("trace", FOUND_ONLY, ids=name_of)
def test_a_key_that_one_observer_saw_twice_is_found_and_does_not_block(trace: Trace) -> None:
    scene = Scene()
    trace(scene)
    assert "shared_config" in scene.types
    assert not scene.blocks
