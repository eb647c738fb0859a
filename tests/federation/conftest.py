"""The federation of a worker, and what its backends said when a test failed."""

from collections.abc import Generator, Iterator

import pytest

from lab import Lab
from tests.federation.federation import Federation, build
from tests.federation.party import Party


@pytest.fixture(scope="session")
def federation() -> Iterator[Federation]:
    """One for all tests of a worker: leave it as you found it."""
    with Lab() as lab:
        built = build(lab)
        try:
            yield built
        finally:
            built.close()


@pytest.fixture
def a(federation: Federation) -> Party:
    return federation.a


@pytest.fixture
def b(federation: Federation) -> Party:
    return federation.b


@pytest.fixture
def c(federation: Federation) -> Party:
    return federation.c


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the backends said last is part of a failure."""
    report = yield
    found = getattr(item, "funcargs", {}).get("federation")
    if report.failed and isinstance(found, Federation):
        for name, text in found.logs().items():
            report.sections.append((f"log of {name}", text))
    return report
