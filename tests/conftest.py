"""What every test shares: recorded claims, no silent skips on CI, one event loop, hypothesis profiles."""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ON_CI = os.environ.get("CI") == "true"
CLAIMS = Path(__file__).resolve().parent.parent / ".build" / "claims" / "pytest.json"
SEVERITY = ("passed", "skipped", "failed")

# Other work on the machine says nothing about the code, so neither a deadline nor slow data fails a test.
# CI tries the same examples every time: a change must not fail for what it did not touch.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if ON_CI else "local")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class ClaimRecorder:
    """Writes the cases that the tests of this run claim, with how each test ended."""

    def __init__(self) -> None:
        self.results: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cases = [case for name, case in report.user_properties if name == "case"]
        if cases:
            result = self.results.setdefault(
                report.nodeid, {"test": report.nodeid, "cases": cases, "outcome": "passed"}
            )
            # Set-up, call and tear-down report apart: the worst of them is how the test ended.
            result["outcome"] = max(result["outcome"], report.outcome, key=SEVERITY.index)

    def pytest_sessionfinish(self) -> None:
        CLAIMS.parent.mkdir(parents=True, exist_ok=True)
        draft = CLAIMS.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(list(self.results.values()), indent=1), encoding="utf-8")
        draft.replace(CLAIMS)


def pytest_configure(config: pytest.Config) -> None:
    # With xdist the workers' reports arrive here, in the process that started them.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ClaimRecorder(), "claims")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("case"):
            if not marker.args or marker.kwargs:
                raise pytest.UsageError(f'{item.nodeid}: write the claim as @pytest.mark.case("ENROL-001")')
            item.user_properties.extend(("case", case) for case in marker.args)


# The outermost wrapper, so that pytest has already told an expected failure from a skip.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if ON_CI and report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if ON_CI and report.skipped:
        _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    report.outcome = "failed"
    report.longrepr = f"CI skips nothing: install what is missing or delete the test ({report.longreprtext})"
