"""The table that people read, and the file that keeps a run."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import Row

ROOT = Path(__file__).resolve().parent.parent
LATEST = ROOT / "bench" / "results" / "latest.json"
HEADINGS = ("what", "goal", "median", "p99", "server CPU each", "verdict")
WIDTHS = (68, 12, 12, 10, 15, 14)
GIT_SECONDS = 10


def heading() -> str:
    """The first two lines of the table."""
    return "\n".join([_line(HEADINGS), _line(["─" * width for width in WIDTHS])])


def line(row: Row, *, judged: bool) -> str:
    """One line of the table; what does not fit into a column follows below it."""
    cells = [
        row.what,
        _goal(row),
        _figure(row.median, row.unit),
        _figure(row.p99, ""),
        _figure(row.cpu_each, "µs"),
        _verdict(row, judged),
    ]
    below = [f"    {text}" for text in (row.note, row.skipped) if text]
    return "\n".join([_line(cells), *below])


def save(path: Path, rows: Sequence[Row], *, full: bool) -> None:
    """Write the run with what is needed to compare it with another one."""
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "size": "full" if full else "small",
        "machine": machine(),
        "rows": [_entry(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def commit() -> str:
    """The commit of the checkout, marked when files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        # Of other work on the machine: more than the number of cores, and the figures are of little use.
        "load_1min_at_end": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for entry in Path("/proc/cpuinfo").read_text().splitlines():
        if entry.startswith("model name"):
            return entry.partition(":")[2].strip()
    return platform.machine()


def _entry(row: Row) -> dict[str, Any]:
    entry = {
        "what": row.what,
        "unit": row.unit,
        "median": _rounded(row.median),
        "p99": _rounded(row.p99),
        "goal": None if row.goal is None else row.goal.limit,
        "goal_is_at_least": None if row.goal is None else row.goal.at_least,
        "goal_is_for_p99": True if row.goal is not None and row.goal.of_p99 else None,
        "ratio_to_goal": _rounded(row.ratio),
        "met": row.is_met,
        "server_cpu_seconds": _rounded(row.cpu),
        "operations": row.operations if row.cpu is not None else None,
        "server_cpu_us_each": _rounded(row.cpu_each),
        "note": row.note or None,
        "skipped": row.skipped or None,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _line(cells: Sequence[str]) -> str:
    first, *others = cells
    return "  ".join(
        [first.ljust(WIDTHS[0]), *(cell.rjust(width) for cell, width in zip(others, WIDTHS[1:], strict=True))]
    ).rstrip()


def _goal(row: Row) -> str:
    if row.goal is None:
        return "–"
    goal = row.goal
    return f"{'p99 ' if goal.of_p99 else ''}{'≥' if goal.at_least else '≤'} {goal.limit:,g}"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 1_000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit.partition(' ')[0]}".rstrip()


def _verdict(row: Row, judged: bool) -> str:
    if row.skipped:
        return "skipped"
    if row.is_met is None:
        return "–"
    if not judged:
        return "small run"
    return "met" if row.is_met else f"missed ({row.ratio:.2f}×)" if row.ratio else "missed"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
