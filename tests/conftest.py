"""What tests share: databases, turns and workers, recorded claims, no silent skips on CI, profiles of hypothesis."""

import gc
import json
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.stores import backend_name, database_url, empty_database_url, postgres, sqlite_template, store

__all__ = ["backend_name", "database_url", "empty_database_url", "postgres", "sqlite_template", "store"]

TESTS = Path(__file__).resolve().parent
# Whole systems of which tests count the time that changes take and the packets that are lost. `make test` runs them
# after all others, one for each core. The longest come first, so that none of them is what remains at the end.
TIMED = (
    "bridging/",
    "e2e/test_demo",
    "web/",
    "agent/test_bridges",
    "federation/test_two_of_each",
    "api/test_crowd",
    "e2e/",
    "faults/",
    "agent/test_direct_paths",
    "agent/test_tunnel",
    "bench/test_cases",
)
# One worker has all of a place, where what it needs takes long to come and is not spoilt by one test for the others.
SHARED = ("bridging/", "web/")
# What does not rest while nobody calls it comes at the end, so that it runs beside nothing else.
LAST = ("federation/",)
ON_CI = os.environ.get("CI") == "true"
CLAIMS = TESTS.parent / ".build" / "claims"
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

    def __init__(self, name: str) -> None:
        self.name = name
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
        CLAIMS.mkdir(parents=True, exist_ok=True)
        draft = CLAIMS / f"{self.name}.{os.getpid()}"
        draft.write_text(json.dumps(list(self.results.values()), indent=1), encoding="utf-8")
        draft.replace(CLAIMS / f"{self.name}.json")


def pytest_configure(config: pytest.Config) -> None:
    # With xdist the workers' reports arrive here, in the process that started them.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ClaimRecorder(_runner(config)), "claims")


def _runner(config: pytest.Config) -> str:
    """Which part of the suite this is; `tools.suite` gives each a cache of its own."""
    cache = Path(config.getini("cache_dir"))
    return cache.name if cache.is_absolute() else "pytest"


def place_of(item: pytest.Item, places: Sequence[str]) -> int | None:
    """Which of `places`, each the beginning of a path below this folder, a test belongs to."""
    name = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    return next((number for number, place in enumerate(places) if name.startswith(place)), None)


def turn_of(item: pytest.Item) -> tuple[int, int]:
    """When a test has its turn in a run of those that are timed, or of all others."""
    timed, last = place_of(item, TIMED), place_of(item, LAST)
    return -1 if timed is None else timed, -1 if last is None else last


# Before pytest's own hook, which leaves out what the marks on the command line leave out.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=turn_of)
    for item in items:
        if place_of(item, TIMED) is not None:
            item.add_marker(pytest.mark.timed)
        for marker in item.iter_markers("case"):
            if not marker.args or marker.kwargs:
                raise pytest.UsageError(f'{item.nodeid}: write the claim as @pytest.mark.case("ENROL-001")')
            item.user_properties.extend(("case", case) for case in marker.args)


def pytest_sessionstart() -> None:
    gc.disable()


# Thousands of tests are collected and stay: to look for garbage among them takes a part of the time of each.
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


class ByPlace(LoadFileScheduling):
    """One worker has all tests of a file, or of a shared place."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((place for place in SHARED if file.startswith(f"{TESTS.name}/{place}")), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByPlace:
    return ByPlace(config, log)


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
