"""The federation of a worker, and what its backends said when a test failed."""

from collections.abc import Generator, Iterator

import pytest

from lab import Lab
from tests.federation.federation import LOG_LINES, Federation, build
from tests.federation.loner import Loner, a_loner
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


@pytest.fixture(scope="session")
def loner(federation: Federation) -> Iterator[Loner]:
    """A fourth backend, which lists whom a test makes up."""
    with a_loner(federation) as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the backends said last is part of a failure."""
    report = yield
    found = getattr(item, "funcargs", {}).get("federation")
    if report.failed and isinstance(found, Federation):
        for name, text in found.logs().items():
            report.sections.append((f"log of {name}", text))
    alone = getattr(item, "funcargs", {}).get("loner")
    if report.failed and isinstance(alone, Loner):
        report.sections.append(("log of the loner", "\n".join(alone.party.site.log.splitlines()[-LOG_LINES:])))
    return report
