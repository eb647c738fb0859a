"""The coverage script counts only what passed, and fails for what must not be."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools import conformance

CATALOGUE = """
areas: {ENROL: enrollment, MESH: networks}
cases:
- {id: ENROL-001, tier: 1}
- {id: ENROL-002, tier: 1}
- {id: ENROL-003, tier: 2}
- {id: MESH-001, tier: 1}
"""


def a_result(outcome: str, *cases: str, test: str = "test_it") -> dict[str, Any]:
    return {"test": test, "cases": list(cases), "outcome": outcome}


def faults(results: list[dict[str, Any]], complete: list[str] | None = None) -> list[str]:
    claims = conformance.read_claims(results)
    return list(conformance.faults(conformance.read_catalogue(CATALOGUE), claims, complete or []))


def rows(results: list[dict[str, Any]]) -> list[list[str]]:
    claims = conformance.read_claims(results)
    return [line.split() for line in conformance.table(conformance.read_catalogue(CATALOGUE), claims)]


def test_the_table_counts_by_area_and_tier() -> None:
    results = [a_result("passed", "ENROL-001", "ENROL-003"), a_result("failed", "ENROL-002")]
    assert rows(results)[1:] == [
        ["ENROL", "1", "2", "1", "1", "0"],
        ["ENROL", "2", "1", "1", "0", "0"],
        ["MESH", "1", "1", "0", "0", "1"],
        ["2", "of", "4", "cases", "are", "proven"],
    ]


def test_a_skipped_test_claims_nothing() -> None:
    assert rows([a_result("skipped", "MESH-001")])[3] == ["MESH", "1", "1", "0", "0", "1"]


def test_one_failing_test_spoils_the_case_for_those_that_passed() -> None:
    results = [a_result("passed", "MESH-001"), a_result("failed", "MESH-001", test="test_that")]
    assert rows(results)[3] == ["MESH", "1", "1", "0", "1", "0"]
    assert faults(results) == ["MESH-001 is claimed and fails in test_that"]


def test_an_unknown_id_fails_the_run() -> None:
    assert faults([a_result("passed", "MESH-999", "MESH-001")]) == ["the catalogue does not have MESH-999"]


def test_open_cases_are_no_fault_until_their_area_is_declared_complete() -> None:
    results = [a_result("passed", "ENROL-001")]
    assert faults(results) == []
    assert faults(results, ["ENROL"]) == ["area ENROL is declared complete, yet nothing claims 002"]
    assert faults([*results, a_result("passed", "ENROL-002")], ["ENROL"]) == []


def test_a_misspelt_complete_area_fails_the_run() -> None:
    assert faults([], ["ENROLL"]) == ["pyproject.toml declares area ENROLL complete, which the catalogue does not have"]


def test_the_report_reads_every_runners_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cases.yaml").write_text(CATALOGUE, encoding="utf-8")
    (tmp_path / "pytest.json").write_text(json.dumps([a_result("passed", "ENROL-001")]), encoding="utf-8")
    (tmp_path / "web.json").write_text(json.dumps([a_result("passed", "MESH-001", test="test_page")]), encoding="utf-8")
    # What the project declares complete is about its own catalogue.
    (tmp_path / "pyproject.toml").write_text("[tool.isthmus.conformance]\ncomplete = []\n", encoding="utf-8")
    monkeypatch.setattr(conformance, "ROOT", tmp_path)
    monkeypatch.setattr(conformance, "CLAIMS", tmp_path)
    monkeypatch.setenv("ISTHMUS_CONFORMANCE", str(tmp_path / "cases.yaml"))
    assert conformance.main() == 0
    output = capsys.readouterr().out
    assert "2 of 4 cases are proven" in output
    assert "unclaimed tier 1: ENROL 002" in output

    (tmp_path / "web.json").write_text(json.dumps([a_result("failed", "MESH-001", test="test_page")]), encoding="utf-8")
    assert conformance.main() == 1
    assert "MESH-001 is claimed and fails" in capsys.readouterr().out


def test_without_a_catalogue_it_says_where_it_looked_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ISTHMUS_CONFORMANCE", raising=False)
    monkeypatch.setattr(conformance, "NEIGHBOUR", tmp_path / "cases.yaml")
    assert conformance.main() == 0
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert str(tmp_path / "cases.yaml") in output
