"""The two organisations of a worker, and what their processes said when a test failed."""

from collections.abc import Generator, Iterator

import pytest

from lab import Lab
from tests.bridging.alliance import Alliance, assemble


@pytest.fixture(scope="session")
def alliance() -> Iterator[Alliance]:
    """One for all tests of a worker: leave it as you found it."""
    with Lab() as lab:
        built = assemble(lab)
        try:
            yield built
        finally:
            built.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the processes said last is part of a failure."""
    report = yield
    found = getattr(item, "funcargs", {}).get("alliance")
    if report.failed and isinstance(found, Alliance):
        for name, text in found.logs().items():
            report.sections.append((f"log of {name}", text))
    return report
