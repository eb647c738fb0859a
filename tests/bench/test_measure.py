"""Figures, goals and what the report makes of them."""

import json
from pathlib import Path

import pytest

from bench import report
from bench.measure import Goal, Row, percentile


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 1), (50, 50), (98.5, 99), (99, 99), (100, 100)],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percent: float, expected: int) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


def test_of_few_values_the_99th_percentile_is_the_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (Goal(4.0), 4.0, True),
        (Goal(4.0), 4.1, False),
        (Goal(20_000, at_least=True), 19_999.0, False),
        (Goal(20_000, at_least=True), 20_000.0, True),
        (Goal(0), 0.0, True),
        (Goal(0), 1.0, False),
    ],
)
def test_the_median_decides_whether_a_goal_is_met(goal: Goal, value: float, met: bool) -> None:
    assert Row.of("something", "ms", [value, value, value * 10], goal=goal).is_met is met


def test_a_goal_may_be_for_the_99th_percentile() -> None:
    met = Row.of("something", "ms", [1.0, 2.0, 4.0], goal=Goal(4.0, of_p99=True))
    missed = Row.of("something", "ms", [1.0, 2.0, 8.0], goal=Goal(4.0, of_p99=True))

    assert met.is_met
    assert not missed.is_met
    assert "p99 ≤ 4" in report.line(missed, judged=True)
    assert "missed (2.00×)" in report.line(missed, judged=True)


def test_a_row_without_a_figure_is_neither_met_nor_missed() -> None:
    row = Row("something", "ms", goal=Goal(4.0), skipped="there is no database")

    assert row.is_met is None
    assert "skipped" in report.line(row, judged=True)
    assert "there is no database" in report.line(row, judged=True)


def test_a_small_run_is_not_judged() -> None:
    row = Row("something", "ms", 1.0, goal=Goal(4.0))

    assert report.line(row, judged=True).endswith("met")
    assert report.line(row, judged=False).endswith("small run")


def test_a_missed_goal_says_by_how_much() -> None:
    assert "missed (2.50×)" in report.line(Row("something", "ms", 10.0, goal=Goal(4.0)), judged=True)


def test_a_run_is_kept_with_what_it_takes_to_compare_it(tmp_path: Path) -> None:
    row = Row.of("something", "ms", [1.0, 2.0, 3.0], goal=Goal(4.0), cpu=0.5, operations=100)

    report.save(tmp_path / "new" / "run.json", [row], full=True)

    run = json.loads((tmp_path / "new" / "run.json").read_text())
    assert run["size"] == "full"
    assert run["commit"]
    assert run["machine"]["cores"] >= 1
    assert run["rows"] == [
        {
            "what": "something",
            "unit": "ms",
            "median": 2.0,
            "p99": 3.0,
            "goal": 4.0,
            "goal_is_at_least": False,
            "ratio_to_goal": 0.5,
            "met": True,
            "server_cpu_seconds": 0.5,
            "operations": 100,
            "server_cpu_us_each": 5000.0,
        }
    ]
