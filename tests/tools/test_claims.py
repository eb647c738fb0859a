"""A real pytest run records what its tests claim, and on CI refuses to skip."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OUTCOMES = '''
"""Tests of every outcome."""
import pytest

@pytest.mark.case("MESH-001", "MESH-002")
def test_passes(): pass

@pytest.mark.case("MESH-003")
def test_fails(): assert False

@pytest.fixture
def broken():
    yield
    raise RuntimeError("tear-down")

@pytest.mark.case("MESH-004")
def test_fails_in_tear_down(broken): pass

@pytest.mark.case("MESH-005")
@pytest.mark.xfail(reason="known")
def test_fails_as_expected(): assert False

@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.case("MESH-006")), 2])
def test_has_parameters(n): pass

def test_claims_nothing(): pass
'''
SKIPS = {
    "test_skips.py": 'import pytest\ndef test_it(): pytest.skip("no tool")\n',
    "test_module_skips.py": 'import pytest\npytest.importorskip("no_such_module")\ndef test_it(): pass\n',
    "test_empty_table.py": 'import pytest\n@pytest.mark.parametrize("n", [])\ndef test_it(n): pass\n',
}
PLUGINS = "xdist.plugin,pytest_timeout,anyio.pytest_plugin"


def run_pytest(
    folder: Path, tests: Mapping[str, str], *options: str, ci: bool = False
) -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("conftest.py", "stores.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    for name, text in tests.items():
        (folder / "tests" / name).write_text(text, encoding="utf-8")
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": PLUGINS}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env={**os.environ, **plugins, "CI": "true" if ci else ""},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_each_claim_is_recorded_with_the_outcome_of_its_test(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = run_pytest(tmp_path, {"test_outcomes.py": OUTCOMES}, *options)
    recorded = json.loads((tmp_path / ".build" / "claims" / "pytest.json").read_text(encoding="utf-8"))
    assert {tuple(result["cases"]): result["outcome"] for result in recorded} == {
        ("MESH-001", "MESH-002"): "passed",
        ("MESH-003",): "failed",
        ("MESH-004",): "failed",
        ("MESH-005",): "skipped",
        ("MESH-006",): "passed",
    }, run.stdout


def test_every_kind_of_skip_fails_on_ci(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, SKIPS, "--continue-on-collection-errors", ci=True)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert "1 failed, 2 errors" in run.stdout
    assert run.stdout.count("CI skips nothing: install what is missing or delete the test") >= len(SKIPS)


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, SKIPS)
    assert "3 skipped" in run.stdout
    assert "failed" not in run.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    tests = "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert False\n"
    run = run_pytest(tmp_path, {"test_xfails.py": tests}, ci=True)
    assert run.returncode == 0, run.stdout


def test_a_claim_without_an_id_stops_the_run(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, {"test_claims.py": "import pytest\n@pytest.mark.case\ndef test_it(): pass\n"})
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "write the claim as" in run.stderr
