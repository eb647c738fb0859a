"""How much change of a peer is ordinary: the thresholds of a network above which an incident opens."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Self

from isthmus.domain.errors import InvalidValue


def bounds_of(name: str) -> tuple[int, int]:
    """The lowest and the highest value of a limit."""
    return (30, 604_800) if name.endswith("_window") else (2, 10_000)


@dataclass(frozen=True, slots=True)
class Limits:
    """`address_changes` in `address_window` seconds block the peer; `port_changes` of one address in `port_window`
    seconds are reported. `return_window`: an address left and returned to within so many seconds is a second user.
    """

    address_changes: int = 10
    address_window: int = 86_400
    port_changes: int = 6
    port_window: int = 300
    return_window: int = 300

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            lowest, highest = bounds_of(item.name)
            if not lowest <= value <= highest:
                raise InvalidValue(f"/limits/{item.name}", f"is not between {lowest} and {highest}")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """From what the store keeps; names that this version does not know are left out."""
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})

    def span(self, window: str) -> timedelta:
        """One of the windows as a duration."""
        return timedelta(seconds=getattr(self, window))
