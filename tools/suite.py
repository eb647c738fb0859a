"""All tests: first what may run beside much else, then what is timed, then once more, alone, the few that failed."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import conformance

ROOT = Path(__file__).resolve().parent.parent
CACHES = ROOT / ".build" / "pytest"
# Only here are tests that are timed: to collect all others a second time takes half a minute.
TIMED = ("agent", "api/test_crowd.py", "bench", "bridging", "e2e", "faults", "federation/test_two_of_each.py", "web")
# A machine that hiccups spoils one test or two, and with a lab those that share it. More is a fault, and to repeat it
# would only take time.
SECOND_LOOKS = 10
PASSED, FAILED = 0, 1


class Part:
    """One run of pytest, which remembers what failed in it."""

    def __init__(self, name: str) -> None:
        self.cache = CACHES / name

    def run(self, *arguments: str) -> int:
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={self.cache}", *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode

    def failed(self) -> list[str]:
        """The ids of the tests, or of the files that could not be read."""
        path = self.cache / "v" / "cache" / "lastfailed"
        return sorted(json.loads(path.read_text("utf-8"))) if path.is_file() else []


def second_look(part: Part, failed: Sequence[str]) -> int:
    """How `failed`, which failed beside others, end alone. What passes now is named all the same."""
    print(f"\nonce more, alone: {len(failed)} of the tests failed beside others", flush=True)
    status = part.run("-n", "0", *failed)
    for test in sorted({*failed} - {*part.failed()}):
        print(f"unsteady: {test} failed beside others and passed alone")
    return status


def run_all(beside: Part, timed: Part, alone: Part, workers: int, cores: int) -> int:
    shared = ("--dist", "loadfile", "--no-loadscope-reorder")
    ends = [
        beside.run(*shared, "-n", str(workers), "-m", "not timed"),
        timed.run(*shared, "-n", str(cores), "-m", "timed", *(f"tests/{each}" for each in TIMED)),
    ]
    if {*ends} - {PASSED, FAILED}:
        return max(ends)
    failed = [test for part, end in zip((beside, timed), ends, strict=True) if end == FAILED for test in part.failed()]
    if not failed:
        return PASSED
    return second_look(alone, failed) if len(failed) <= SECOND_LOOKS else FAILED


def main() -> int:
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2 * cores, help="for what is not timed; it mostly waits")
    parser.add_argument("--cores", type=int, default=cores, help="workers for what is timed")
    chosen = parser.parse_args()
    conformance.forget(conformance.CLAIMS)
    status = run_all(Part("beside"), Part("timed"), Part(conformance.ALONE), chosen.workers, chosen.cores)
    return max(status, conformance.main())


if __name__ == "__main__":
    sys.exit(main())
