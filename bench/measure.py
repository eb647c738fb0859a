"""What a benchmark yields: rows with a median, a 99th percentile, the server's CPU time and a goal."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: `full` gives the figures that are published, the small one shows that a benchmark works."""

    full: bool

    def pick(self, small: int, full: int) -> int:
        return full if self.full else small


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure for the median, or for the 99th percentile: to stay below, or to reach when `at_least`."""

    limit: float
    at_least: bool = False
    of_p99: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `cpu` is the server's CPU time in seconds over `operations` operations.

    `skipped` says why there is no figure.
    """

    what: str
    unit: str
    median: float | None = None
    p99: float | None = None
    goal: Goal | None = None
    cpu: float | None = None
    operations: int = 1
    note: str = ""
    skipped: str = ""

    @classmethod
    def of(cls, what: str, unit: str, values: Sequence[float], **more: Any) -> "Row":
        """A row of single measurements."""
        return cls(what, unit, statistics.median(values), percentile(values, 99), **more)

    @property
    def judged(self) -> float | None:
        """The figure that the goal is for."""
        return self.p99 if self.goal is not None and self.goal.of_p99 else self.median

    @property
    def ratio(self) -> float | None:
        """Measured ÷ goal."""
        if self.goal is None or self.judged is None or self.goal.limit == 0:
            return None
        return self.judged / self.goal.limit

    @property
    def cpu_each(self) -> float | None:
        """The server's CPU time per operation in microseconds."""
        return None if self.cpu is None else self.cpu / self.operations * 1e6

    @property
    def is_met(self) -> bool | None:
        """Whether the figure meets the goal; None without a goal or a figure."""
        return None if self.goal is None or self.judged is None else self.goal.is_met(self.judged)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that `percent` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = -int(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1]
