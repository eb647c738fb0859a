"""What a running Federator says of its health while a part of it goes away and comes back."""

from collections.abc import Callable

import pytest

from lab.waiting import wait_until
from tests.federator.stage import Stage


@pytest.mark.case("SEED-111")
@pytest.mark.parametrize("part", ["resolver", "inward listener"])
def test_a_federator_is_alive_but_not_ready_while_a_part_is_away_and_ready_once_it_is_back(
    own: Stage, part: str
) -> None:
    names, hidden = own.around.names, own.places.run / "hidden.sock"
    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "resolver": (
            lambda: own.around.background.run(names.__aexit__(None, None, None)),
            lambda: own.around.background.run(names.__aenter__()),
        ),
        "inward listener": (lambda: own.places.inward.rename(hidden), lambda: hidden.rename(own.places.inward)),
    }
    away, back = ways[part]
    own.start()

    def faults() -> list[str] | None:
        """The parts with a fault; None where the answer does not agree with itself."""
        code, health = own.federator.ask("/health/ready")
        found = [name for name, fault in health["parts"].items() if fault]
        assert own.federator.ask("/health/live") == (200, {"live": True})
        return found if (code, health["ready"]) == ((503, False) if found else (200, True)) else None

    assert faults() == []
    away()
    wait_until(lambda: faults() == [part], within=10, what=f"readiness to name {part}")
    back()
    wait_until(lambda: faults() == [], within=20, what="readiness to return")
