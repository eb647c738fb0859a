"""Backends that tell each other of their bridges over a bad channel: what is withdrawn stays so, and views converge."""

import os
from random import Random

import pytest

from isthmus.domain.federation.bridge import State
from tests.domain.federation.bridging import World

STEPS = int(os.environ.get("ISTHMUS_BRIDGE_STEPS", "40000"))
"""Random steps of all runs together; more are asked for by the environment."""
STEPS_OF_A_RUN = 40
EXCHANGES = 3


@pytest.mark.case("BRIDGE-005")
@pytest.mark.parametrize("size", [2, 3, 4])
def test_views_converge_and_nothing_withdrawn_is_effective(size: int) -> None:
    seen: set[tuple[State, bool]] = set()
    for seed in range(STEPS // 3 // STEPS_OF_A_RUN + 1):
        world = World(Random(f"{size}.{seed}"), size)
        # Short runs meet many beginnings, and some go on for long.
        for _ in range(STEPS_OF_A_RUN * (10 if seed % 50 == 0 else 1)):
            world.step()
        seen |= {(each.state, each.is_effective) for side in world.backends.values() for each in side.bridges.values()}
        world.heal(EXCHANGES)
        assert world.disagreements() == [], f"seed {size}.{seed}"
    # The runs went everywhere, or they have shown nothing.
    assert seen == {*((state, False) for state in State), (State.ACTIVE, True)}


@pytest.mark.parametrize("size", [2, 3])
def test_a_side_that_was_set_back_to_a_backup_is_told_and_heard_again(size: int) -> None:
    for seed in range(STEPS // 20 // STEPS_OF_A_RUN + 1):
        world = World(Random(f"backup {size}.{seed}"), size)
        side = world.random.choice(list(world.backends.values()))
        for _ in range(STEPS_OF_A_RUN):
            world.step()
        backup = dict(side.bridges)
        for _ in range(STEPS_OF_A_RUN):
            world.step()
        world.channel = []
        world.set_back(side, backup)
        for _ in range(STEPS_OF_A_RUN):
            world.act()
        world.heal(EXCHANGES)
        assert world.disagreements(side.domain) == [], f"seed {size}.{seed}"
