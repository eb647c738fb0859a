"""One backend for the tests of a module: a jump peer, and two peers behind NAT routers of their own."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import pytest

from lab import Lab
from lab.backend import Backend
from lab.mesh import Member

LAST_LINES = 25


@dataclass
class Office:
    """A network with both families and its first three members."""

    backend: Backend
    gw: Member
    laptop: Member
    desk: Member

    @property
    def lab(self) -> Lab:
        return self.backend.lab


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Lab() as lab, Backend(lab) as backend:
        yield backend


@pytest.fixture(scope="module")
def office(backend: Backend) -> Office:
    lab = backend.lab
    # Most tests look at what the jump peer carries; ways past it have tests of their own.
    backend.create_network("office", cidr_v4="10.20.0.0/24", direct_paths="off")
    gw = backend.join(lab.host("gw", address="198.51.100.7"), "office", kind="jump")
    laptop = backend.join(lab.host("laptop", behind=lab.nat("home")), "office")
    desk = backend.join(lab.host("desk", behind=lab.nat("cafe")), "office")
    backend.settle()
    return Office(backend, gw, laptop, desk)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the server and the agents said last is part of a failure."""
    report = yield
    found = getattr(item, "funcargs", {}).get("backend")
    if report.failed and isinstance(found, Backend):
        for name, text in found.logs().items():
            report.sections.append((f"log of {name}", "\n".join(text.splitlines()[-LAST_LINES:])))
    return report
