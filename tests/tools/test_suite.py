"""What failed beside others is looked at once more, alone, and what stays unsteady is named."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TIMED
from tools import conformance, suite

INTERRUPTED = int(pytest.ExitCode.INTERRUPTED)


@dataclass
class Played(suite.Part):
    """A part that ends as it is told, without a run."""

    fails: Sequence[str] = ()
    end: int | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, *arguments: str) -> int:
        self.asked.append(arguments)
        return self.end if self.end is not None else int(bool(self.fails))

    def failed(self) -> list[str]:
        return sorted(self.fails)


def ended(beside: Played, timed: Played, alone: Played) -> int:
    return suite.run_all(beside, timed, alone, workers=4, cores=2)


def test_where_nothing_fails_nothing_is_run_again() -> None:
    alone = Played()
    assert ended(Played(), Played(), alone) == 0
    assert alone.asked == []


def test_the_few_that_failed_are_run_once_more_in_one_process_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    alone = Played(fails=["c"])
    assert ended(Played(fails=["b"]), Played(fails=["a", "c"]), alone) == 1
    assert alone.asked == [("-n", "0", "b", "a", "c")]
    told = capsys.readouterr().out
    assert "unsteady: a failed" in told
    assert "unsteady: b failed" in told
    assert "unsteady: c" not in told
    assert ended(Played(fails=["b"]), Played(), Played()) == 0


def test_many_failures_are_a_fault_and_are_not_tried_again() -> None:
    alone = Played()
    some = [f"test {number}" for number in range(suite.SECOND_LOOKS)]
    assert ended(Played(fails=some), Played(fails=["one more"]), alone) == 1
    assert alone.asked == []
    assert ended(Played(fails=some[1:]), Played(fails=["one more"]), alone) == 0


@pytest.mark.parametrize("broken", [0, 1])
def test_a_part_that_did_not_come_to_its_end_fails_the_run(broken: int) -> None:
    beside, timed = Played(), Played()
    (beside, timed)[broken].end = INTERRUPTED
    alone = Played()
    assert ended(beside, timed, alone) == INTERRUPTED
    assert alone.asked == []


def test_a_real_run_leaves_what_failed_to_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "ROOT", tmp_path)
    monkeypatch.setattr(suite, "CACHES", tmp_path / "caches")
    (tmp_path / "test_it.py").write_text("def test_good(): pass\ndef test_bad(): assert False\n", "utf-8")
    part = suite.Part("beside")
    assert part.run("-q", "-n", "0", "--rootdir", str(tmp_path), str(tmp_path)) == 1
    assert part.failed() == ["test_it.py::test_bad"]
    (tmp_path / "test_it.py").write_text("def test_good(): pass\ndef test_bad(): pass\n", "utf-8")
    assert part.run("-q", "-n", "0", "--rootdir", str(tmp_path), *part.failed()) == 0
    assert part.failed() == []


def test_what_a_test_does_alone_replaces_what_it_did_beside_others(tmp_path: Path) -> None:
    def record(runner: str, *results: Mapping[str, Any]) -> None:
        (tmp_path / f"{runner}.json").write_text(json.dumps(results), "utf-8")

    record(conformance.ALONE, {"test": "a", "cases": ["MESH-001"], "outcome": "passed"})
    record(
        "timed",
        {"test": "a", "cases": ["MESH-001"], "outcome": "failed"},
        {"test": "b", "cases": ["MESH-002"], "outcome": "failed"},
    )
    claims = conformance.read_claims(conformance.recorded_results(tmp_path))
    assert claims.passed == {"MESH-001"}
    assert claims.failed.keys() == {"MESH-002"}
    conformance.forget(tmp_path)
    assert conformance.recorded_results(tmp_path) == []


def test_whatever_is_timed_lies_where_the_timed_part_looks() -> None:
    """What is left out of both parts would be run by none."""
    unseen = [
        place
        for place in TIMED
        if not any(place.startswith(f"{each}/") or f"{place}.py" == each for each in suite.TIMED)
    ]
    assert unseen == []
