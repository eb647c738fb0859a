"""The two organisations of a worker, and what their processes said when a test failed."""

from collections.abc import Generator, Iterator

import pytest

from lab import Lab
from lab.alliance import Alliance, assemble

EXTENSION = "tests.bridging.skills"


@pytest.fixture(scope="session")
def alliance() -> Iterator[Alliance]:
    """One for all tests of a worker: leave it as you found it."""
    with Lab() as lab:
        built = assemble(lab, EXTENSION)
        try:
            yield built
        finally:
            built.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes said last is part of a failure."""
    report = yield
    found = getattr(item, "funcargs", {}).get("alliance")
    # At the end of the last test the lab is gone, and its logs with it.
    if report.failed and report.when != "teardown" and isinstance(found, Alliance):
        for name, text in found.logs().items():
            report.sections.append((f"log of {name}", text))
    return report
