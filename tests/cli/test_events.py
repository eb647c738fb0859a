"""`isthmus events` against a real server: in a process of its own, by socket and by URL."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from lab.waiting import wait_until
from tests.server import COMMAND, Server, clean_environment, running

START_SECONDS = 20.0
SOON = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def admin(server: Server) -> Iterator[httpx2.Client]:
    with server.local() as client:
        yield client


class Printed:
    """What the command has printed so far."""

    def __init__(self, folder: Path) -> None:
        self.out, self.err = folder / "out", folder / "err"

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    def wait(self, count: int) -> list[str]:
        wait_until(lambda: len(self.lines()) >= count, within=SOON, what=f"{count} lines of events")
        return self.lines()


@contextmanager
def listening(
    folder: Path, *arguments: str, ready: str, **variables: str
) -> Iterator[tuple[Printed, "subprocess.Popen[bytes]"]]:
    """The command, running and connected."""
    printed = Printed(folder)
    with printed.out.open("wb") as out, printed.err.open("wb") as err:
        process = subprocess.Popen(
            [COMMAND, "events", *arguments], env=clean_environment({}) | variables, stdout=out, stderr=err
        )
    try:
        wait_until(
            lambda: ready in printed.out.read_text() + printed.err.read_text() or process.poll() is not None,
            within=START_SECONDS,
            what="the command to listen",
        )
        yield printed, process
    finally:
        process.kill()
        process.wait(SOON)


def a_network(admin: httpx2.Client, name: str) -> str:
    return str(admin.post("/networks", json={"name": name}).raise_for_status().json()["id"])


def a_peer(admin: httpx2.Client, network: str, name: str) -> str:
    made = admin.post(f"/networks/{network}/peers", json={"name": name}).raise_for_status()
    return str(made.json()["peer"]["id"])


def test_events_are_printed_with_names_as_they_happen(server: Server, admin: httpx2.Client, tmp_path: Path) -> None:
    office, home = a_network(admin, "office"), a_network(admin, "home")
    socket = {"ISTHMUS_SOCKET": str(server.local_socket)}
    with listening(tmp_path, "--network", "office", ready="listening", **socket) as (printed, process):
        a_peer(admin, home, "elsewhere")
        laptop = a_peer(admin, office, "laptop")
        assert printed.wait(1)[0].split("  ")[1:] == ["office", "2", "peer.created", "laptop"]
        admin.delete(f"/peers/{laptop}").raise_for_status()
        admin.patch(f"/networks/{office}", json={"mtu": 1380}).raise_for_status()
        lines = [line.split("  ")[1:] for line in printed.wait(3)]
        assert lines[1:] == [["office", "3", "peer.deleted", "laptop"], ["office", "4", "network.changed"]]
        process.send_signal(signal.SIGINT)
        assert process.wait(SOON) != 0


def test_json_is_one_object_a_line_as_the_server_sends_it(server: Server, admin: httpx2.Client, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    reached = {"ISTHMUS_SERVER": server.url, "ISTHMUS_TOKEN": server.token("read"), "XDG_CONFIG_HOME": str(tmp_path)}
    with listening(tmp_path, "--json", ready='"hello"', **reached) as (printed, _):
        network = a_network(admin, "lab")
        hello, notice = map(json.loads, printed.wait(2))
    assert hello["type"] == "hello"
    assert network not in hello["revisions"]
    assert (notice["type"], notice["event"], notice["subject"]) == ("notice", "network.created", network)


def test_who_may_not_listen_is_told_why(server: Server, tmp_path: Path) -> None:
    reached = {"ISTHMUS_SERVER": server.url, "ISTHMUS_TOKEN": server.token("write"), "XDG_CONFIG_HOME": str(tmp_path)}
    ran = subprocess.run(
        [COMMAND, "events"],
        env=clean_environment({}) | reached,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 1
    assert "lacks the scope read" in ran.stderr
    assert "request id" in ran.stderr


def test_a_server_that_is_not_there_or_goes_away_ends_the_command(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        socket = {"ISTHMUS_SOCKET": str(server.local_socket)}
        with listening(tmp_path, ready="listening", **socket) as (printed, process):
            server.stop()
            assert process.wait(SOON) == 3
            assert "the server restarts" in printed.err.read_text()
    ran = subprocess.run(
        [COMMAND, "events"], env=os.environ | socket, capture_output=True, text=True, timeout=30, check=False
    )
    assert ran.returncode == 3
    assert "no server answers" in ran.stderr
