"""`isthmus up` with everything that it keeps: real server, Federator, ingress and nginx of one organisation."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from lab import Lab
from lab.host import SYSTEM_PATH
from lab.organisation import FOLLOW_SECONDS, Organisation, children, command_of
from lab.scripted_names import ScriptedNames
from lab.waiting import wait_until

WITHIN = 20.0
PROCESSES = ("server", "federator", "ingress")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def site(lab: Lab) -> Iterator[Organisation]:
    with Organisation(ScriptedNames(lab), "a") as site:
        yield site


def tree(pid: int | None) -> set[int]:
    """A process and all below it."""
    if pid is None:
        return set()
    return {pid}.union(*map(tree, children(pid)))


def is_alive(pid: int) -> bool:
    return bool(command_of(pid))


def killed(site: Organisation, pid: int | None) -> None:
    """SIGKILL, and wait until everything listens again."""
    assert pid is not None
    before = tree(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, before)), within=WITHIN, what="the end of what was killed, and all below")
    wait_until(lambda: all(site.pid(name) not in (None, pid) for name in PROCESSES), within=WITHIN, what="another one")
    wait_until(site.answers, within=FOLLOW_SECONDS, what="the server")
    site.await_ingress()
    wait_until(site.nginx_workers, within=WITHIN, what="workers of nginx")


def test_federation_starts_within_seconds_of_its_set_up_and_whatever_dies_comes_back(site: Organisation) -> None:
    assert (site.pid("federator"), site.pid("ingress")) == (None, None)
    site.init()
    for name in PROCESSES:
        killed(site, site.pid(name))
        assert f"{name} was killed by SIGKILL; it is started again in" in site.log
    nginx = site.nginx()
    assert nginx is not None
    workers = site.nginx_workers()
    os.kill(nginx, signal.SIGKILL)
    wait_until(lambda: site.nginx() not in (None, nginx), within=FOLLOW_SECONDS, what="another nginx")
    wait_until(site.nginx_workers, within=WITHIN, what="its workers")
    wait_until(lambda: not any(map(is_alive, workers)), within=WITHIN, what="the end of the workers without a master")
    everything = tree(site.up.pid)
    assert len(everything) >= 6
    assert site.stop() == 0
    assert not any(map(is_alive, everything))


def test_nothing_is_left_of_a_supervisor_that_was_killed(site: Organisation) -> None:
    site.init()
    everything = tree(site.up.pid)
    site.up.kill()
    wait_until(lambda: not any(map(is_alive, everything)), within=FOLLOW_SECONDS, what="the end of all its processes")
    site.up.restart()
    site.await_server()
    site.await_ingress()


def test_without_nginx_it_says_what_to_do_and_goes_on_by_itself_once_it_is_there(site: Organisation) -> None:
    nginx = shutil.which("nginx", path=SYSTEM_PATH)
    assert nginx is not None
    site.host.run(["mount", "--bind", "/dev/null", nginx])
    site.initialise()
    line = site.up.wait_for("nginx is not installed", within=FOLLOW_SECONDS)
    assert line.startswith("ingress   | ")
    site.up.wait_for("apt-get install nginx-light", within=FOLLOW_SECONDS)
    wait_until(site.places.outward.is_socket, within=FOLLOW_SECONDS, what="the Federator")
    assert site.answers()
    site.host.run(["umount", nginx])
    site.await_ingress()
