"""One Federator for each module of tests; those that need another one make it by themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.federator.stage import Stage


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("federator"))
    stage.start()
    yield stage
    stage.stop()


@pytest.fixture
def stage(shared: Stage) -> Stage:
    """The module's Federator, with the plain allow list and names, and components that have not been called."""
    for each in (shared.a, shared.c):
        shared.publish(each, each.infra)
    shared.relist(shared.a.entry(), shared.c.entry())
    for component in shared.around.components.values():
        component.calls.clear()
        component.status, component.body, component.delay = 200, b'{"handle": "alice"}', 0.0
    shared.around.server.suspicions.clear()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """A stage that the test starts by itself and may break."""
    stage = Stage(tmp_path / "data")
    yield stage
    stage.stop()
