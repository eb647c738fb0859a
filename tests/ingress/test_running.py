"""`isthmus ingress run` keeps nginx as the facts and the certificate say, and never opens the door on a mistake."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from isthmus.ingress import process
from tests.ingress.client import Client
from tests.ingress.running import Ingress, an_ingress


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[Ingress]:
    with an_ingress(tmp_path / "data") as found:
        yield found


def test_it_serves_and_ends_with_its_nginx(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200
    assert ingress.status()["well"]
    master = process.master_of(ingress.applier.layout())
    assert ingress.stop() == 0
    assert master is not None
    assert not Path(f"/proc/{master}").exists()
    assert not ingress.status()["running"]


def test_an_nginx_that_dies_is_started_again(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    master = process.master_of(ingress.applier.layout())
    assert master is not None
    os.kill(master, signal.SIGKILL)
    ingress.wait(lambda: process.master_of(ingress.applier.layout()) not in (master, None), "another nginx")
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200


def test_a_runner_that_was_killed_leaves_no_nginx(ingress: Ingress) -> None:
    ingress.start()
    ingress.wait_applied()
    master = process.master_of(ingress.applier.layout())
    assert ingress.runner is not None
    ingress.runner.kill()
    ingress.runner.wait()
    ingress.wait(lambda: not Path(f"/proc/{master}").exists(), "the end of nginx")
    ingress.start()
    ingress.wait_applied()
    assert ingress.world.wan.post().status == 200


def test_a_remote_that_is_added_is_let_in_without_a_restart(ingress: Ingress) -> None:
    facts = ingress.world.facts
    newcomer = Client(facts.listeners[0].port, ingress.world.cas["c"].leaf("infra.c.example"))
    without = [ingress.world.cas[name].pem for name in ("a", "b")]
    ingress.tell(msgspec.structs.replace(facts, anchors=without))
    ingress.start()
    before = ingress.wait_applied()
    assert newcomer.post().code == "client_certificate_rejected"
    ingress.tell(msgspec.structs.replace(facts, generation=2))
    ingress.wait_other(before)
    assert newcomer.post().status == 200
    assert ingress.world.wan.post().status == 200
