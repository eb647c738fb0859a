"""The supervisor of `isthmus up`, with small programs of the shell as its children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lab.waiting import wait_until

WITHIN = 20.0
# Runs the supervisor as a process of its own: its signals and its death are what is tested.
SCRIPT = """
import asyncio, sys
from pathlib import Path
from isthmus.cli.supervisor import Program, Supervisor
folder = Path(sys.argv[1])
def program(name, text, **options):
    return Program(name, ["sh", "-c", f"cd {folder}; {text}"], {"PATH": "/usr/bin:/bin"}, **options)
sys.exit(asyncio.run(Supervisor([PROGRAMS], first_pause=0.1).run()))
"""
# Ends at once when told, and writes down that it was told.
LISTENS = "trap 'echo {0} >>ended; exit' TERM; echo $$ >>{0}; echo {0} runs; while :; do sleep 0.05; done"


class Running:
    def __init__(self, folder: Path, programs: str) -> None:
        self.folder = folder
        command = [sys.executable, "-c", SCRIPT.replace("PROGRAMS", programs), str(folder)]
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def pids(self, name: str) -> list[int]:
        """Of all lives of a program so far."""
        file = self.folder / name
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def ended(self) -> list[str]:
        file = self.folder / "ended"
        return file.read_text().split() if file.exists() else []

    def await_lives(self, **lives: int) -> None:
        for name, number in lives.items():
            lived = partial(self.has_lived, name, number)
            wait_until(lived, within=WITHIN, what=f"life {number} of {name}")

    def has_lived(self, name: str, lives: int) -> bool:
        return len(self.pids(name)) >= lives


def listener(name: str, options: str = "") -> str:
    return f"program({name!r}, {LISTENS.format(name)!r}{options}), "


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextlib.contextmanager
def running(folder: Path, programs: str) -> Iterator[Running]:
    started = Running(folder, programs)
    try:
        yield started
    finally:
        started.process.send_signal(signal.SIGTERM)
        try:
            started.process.wait(WITHIN)
        finally:
            started.process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_its_programs_in_the_opposite_order_of_their_start(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, listener("server") + listener("federator") + listener("ingress")) as up:
        up.await_lives(server=1, federator=1, ingress=1)
        up.process.send_signal(number)
        assert up.process.wait(WITHIN) == 0
        assert up.ended() == ["ingress", "federator", "server"]


def test_output_names_the_program_that_wrote_it(tmp_path: Path) -> None:
    with running(tmp_path, "program('a', 'echo one; echo two >&2; sleep 60'), " + listener("ingress")) as up:
        wait_until(lambda: "two" in up.err and "runs" in up.out, within=WITHIN, what="the output of both")
        assert "a       | one\n" in up.out
        assert "a       | two\n" in up.err
        assert "ingress | ingress runs\n" in up.out


def test_a_program_that_dies_is_started_again_and_the_others_run_on(tmp_path: Path) -> None:
    with running(tmp_path, listener("server") + listener("federator")) as up:
        up.await_lives(server=1, federator=1)
        os.kill(up.pids("federator")[0], signal.SIGKILL)
        up.await_lives(federator=2)
        assert "federator was killed by SIGKILL; it is started again in 0.1 s" in up.err
        assert len(up.pids("server")) == 1


def test_whoever_fails_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    with running(tmp_path, "program('bad', 'echo $$ >>bad; exit 3'), " + listener("good")) as up:
        up.await_lives(bad=4, good=1)
        assert [
            f"bad ended with status 3; it is started again in {pause} s" in up.err for pause in ("0.1", "0.2", "0.4")
        ]
        assert is_alive(up.pids("good")[0])


def test_whoever_was_asked_to_end_is_started_again_at_once_every_time(tmp_path: Path) -> None:
    with running(tmp_path, listener("server") + listener("federator")) as up:
        for life in (1, 2, 3, 4):
            up.await_lives(federator=life)
            time.sleep(0.2)
            os.kill(up.pids("federator")[-1], signal.SIGTERM)
        up.await_lives(federator=5)
        assert up.err.count("federator ended with status 0; it is started again\n") == 4


def test_the_next_program_waits_for_the_sign_of_the_one_before_and_for_its_own_condition(tmp_path: Path) -> None:
    programs = (
        "program('first', 'while [ ! -e go ]; do sleep 0.05; done; echo ready; sleep 60', sign='ready'), "
        + listener("second", ", may_start=lambda: (folder / 'allowed').exists()")
    )
    with running(tmp_path, programs) as up:
        (tmp_path / "allowed").touch()
        time.sleep(0.5)
        assert not up.pids("second")
        (tmp_path / "allowed").unlink()
        (tmp_path / "go").touch()
        wait_until(lambda: "ready" in up.out, within=WITHIN, what="the sign")
        time.sleep(0.5)
        assert not up.pids("second")
        (tmp_path / "allowed").touch()
        up.await_lives(second=1)


def test_a_first_start_that_fails_ends_everything_with_one_sentence(tmp_path: Path) -> None:
    first = "program('server', 'echo the port is busy >&2; exit 1', sign='never', all_need=True), "
    with running(tmp_path, first + listener("rest")) as up:
        assert up.process.wait(WITHIN) == 1
        assert up.err.splitlines() == [
            "server | the port is busy",
            "up     | server did not start: it ended with status 1; what it said stands above",
        ]
        assert not up.pids("rest")


def test_a_program_that_was_up_once_is_started_again_even_if_all_need_it(tmp_path: Path) -> None:
    with running(tmp_path, listener("server", ", sign='runs', all_need=True")) as up:
        up.await_lives(server=1)
        wait_until(lambda: "runs" in up.out, within=WITHIN, what="the sign")
        os.kill(up.pids("server")[0], signal.SIGKILL)
        up.await_lives(server=2)


def test_a_command_that_does_not_exist_is_told_in_one_line(tmp_path: Path) -> None:
    with running(tmp_path, "Program('gone', ['/no/such/file'], {}, sign='x', all_need=True), ") as up:
        assert up.process.wait(WITHIN) == 1
        assert "cannot be run (No such file or directory: /no/such/file)" in up.err
        assert "Traceback" not in up.err


def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with running(tmp_path, listener("server") + listener("ingress")) as up:
        up.await_lives(server=1, ingress=1)
        pids = up.pids("server") + up.pids("ingress")
        up.process.kill()
        up.process.wait(WITHIN)
        wait_until(lambda: not any(map(is_alive, pids)), within=WITHIN, what="the end of the programs")


def test_what_a_dead_program_leaves_behind_is_killed_before_it_starts_again(tmp_path: Path) -> None:
    text = "sleep 600 & echo $! >>grandchild; echo $$ >>server; wait"
    with running(tmp_path, f"program('server', {text!r}), ") as up:
        up.await_lives(server=1, grandchild=1)
        os.kill(up.pids("server")[0], signal.SIGKILL)
        up.await_lives(server=2)
        assert not is_alive(up.pids("grandchild")[0])


def test_one_that_does_not_listen_is_killed_in_the_end(tmp_path: Path) -> None:
    text = "trap '' TERM; echo $$ >>deaf; while :; do sleep 0.05; done"
    with running(tmp_path, f"program('deaf', {text!r}, stop_seconds=0.3), ") as up:
        up.await_lives(deaf=1)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(WITHIN) == 0
        assert not is_alive(up.pids("deaf")[0])
        assert "deaf did not end in time and is killed" in up.err


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    text = "trap '' TERM; echo $$ >>deaf; while :; do sleep 0.05; done"
    with running(tmp_path, f"program('deaf', {text!r}, stop_seconds=600), ") as up:
        up.await_lives(deaf=1)
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(WITHIN) == 0
        assert not is_alive(up.pids("deaf")[0])


def test_lines_of_any_length_pass(tmp_path: Path) -> None:
    text = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end; sleep 60"
    with running(tmp_path, f"program('long', {text!r}), ") as up:
        wait_until(lambda: "end" in up.out, within=WITHIN, what="the end of the long line")
        assert up.out.count("x") == 300_000
