"""Each benchmark runs once in the small size: it works, whatever the figures are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cases import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 240


@pytest.mark.timeout(RUN_SECONDS + 10)
@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_gives_figures_in_its_small_size(name: str, tmp_path: Path) -> None:
    output = tmp_path / "run.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench", "--size", "small", "--only", name, "--output", output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert rows
    for row in rows:
        assert "skipped" not in row, row["skipped"]
        assert row["median"] is not None
        assert row["what"].strip() in done.stdout


def test_a_partial_run_does_not_touch_the_results_that_are_kept(tmp_path: Path) -> None:
    from bench import report

    before = report.LATEST.read_bytes() if report.LATEST.exists() else None
    subprocess.run(
        [sys.executable, "-m", "bench", "--size", "small", "--only", "jump-config"],
        cwd=ROOT,
        capture_output=True,
        timeout=RUN_SECONDS,
        check=True,
    )

    assert (report.LATEST.read_bytes() if report.LATEST.exists() else None) == before
