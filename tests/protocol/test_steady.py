"""The time goes on as it should, whoever sets the clock of the machine."""

from dataclasses import dataclass

import pytest

from isthmus.protocol.steady import MOST_STEP, SteadyClock, since_start

DAY = 86_400.0


@dataclass
class Machine:
    wall: float = 1_700_000_000.0
    counter: float = 500.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.counter += seconds


@pytest.mark.parametrize("jump", [120.0, -120.0, DAY, -DAY])
def test_a_jump_changes_no_time_and_is_told_until_it_is_put_right(jump: float) -> None:
    machine = Machine()
    clock = SteadyClock(lambda: machine.wall, lambda: machine.counter)
    machine.passes(10.0)
    assert (clock.now(), clock.jump) == (machine.wall, 0.0)
    machine.wall += jump
    machine.passes(5.0)
    assert clock.now() == machine.wall - jump
    assert clock.jump == jump
    machine.wall -= jump
    assert (clock.now(), clock.jump) == (machine.wall, 0.0)


def test_small_steps_of_a_time_service_are_followed_and_a_sleep_is_no_jump() -> None:
    machine = Machine()
    clock = SteadyClock(lambda: machine.wall, lambda: machine.counter)
    for step in (MOST_STEP, -MOST_STEP, 1.0):
        machine.wall += step
        assert (clock.now(), clock.jump) == (machine.wall, 0.0)
    machine.passes(8 * 3600.0)
    assert (clock.now(), clock.jump) == (machine.wall, 0.0)


def test_time_since_the_start_of_the_machine_grows() -> None:
    before = since_start()
    assert 0 < before <= since_start()
