"""Commands and processes on lab hosts."""

import signal
import time
from pathlib import Path

import pytest

from lab import CommandFailed, Host, Lab, wait_until

PATIENT = "import time; print('born', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab.host("desk")


def is_alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


def test_a_command_gets_its_input_and_gives_output_and_status(host: Host) -> None:
    done = host.run(["sh", "-c", "cat; echo hint >&2; exit 3"], input="secret", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("secret", "hint\n", 3)


def test_a_failed_command_tells_where_what_and_why(host: Host) -> None:
    with pytest.raises(CommandFailed, match=r"on desk, 'ls /nowhere' ended with status 2:\n.*No such file"):
        host.run(["ls", "/nowhere"])


def test_a_command_that_takes_too_long_is_killed_with_its_children(host: Host) -> None:
    with pytest.raises(CommandFailed, match=r"took more than 0\.2 s:\nstarted"):
        host.run(["sh", "-c", "echo started; sleep 4711 & wait"], timeout=0.2)
    wait_until(
        lambda: "sleep 4711" not in host.run(["ps", "-eo", "args"]).stdout, within=5, what="the child to be gone"
    )


def test_the_real_machines_settings_do_not_reach_a_command(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://192.0.2.99:3128")
    seen = host.run(["env"], env={"ISTHMUS_URL": "http://203.0.113.10"}).stdout
    assert "http_proxy" not in seen
    assert f"HOME={host.folder}" in seen
    assert "ISTHMUS_URL=http://203.0.113.10" in seen


def test_a_process_is_stopped_and_reports_its_status(host: Host) -> None:
    process = host.start(["python", "-c", PATIENT], name="stopped")
    process.wait_for("born")
    pid = process.pid
    assert process.running
    assert is_alive(pid)
    assert process.stop() == -signal.SIGTERM
    assert not is_alive(pid)


def test_killing_a_process_spares_what_it_started(host: Host) -> None:
    process = host.start(["sh", "-c", "sleep 4712 & echo child $!; wait"], name="parent")
    process.wait_for("child")
    process.kill()
    assert process.returncode == -signal.SIGKILL
    assert "sleep 4712" in host.run(["ps", "-eo", "args"]).stdout


def test_a_restarted_process_is_a_new_one_with_output_of_its_own(host: Host) -> None:
    process = host.start(["sh", "-c", "echo I am $$; sleep 60"], name="restarted")
    first = process.wait_for("I am")
    process.restart()
    assert process.wait_for("I am") != first
    assert first not in process.output
    assert process.log.read_text().startswith(first)
    process.stop()


def test_a_process_that_does_not_listen_is_killed_and_reported(host: Host) -> None:
    process = host.start(["python", "-c", STUBBORN], name="stubborn")
    process.wait_for("deaf")
    with pytest.raises(CommandFailed, match=r"did not end within 0\.2 s of SIGTERM.*\n.*deaf"):
        process.stop(within=0.2)
    assert process.returncode == -signal.SIGKILL


def test_waiting_for_a_line_ends_when_the_process_does(host: Host) -> None:
    process = host.start(["sh", "-c", "echo no luck; exit 7"], name="failed")
    started = time.monotonic()
    with pytest.raises(CommandFailed, match="ended with status 7 before it printed 'ready':\nno luck"):
        process.wait_for("ready", within=30)
    assert time.monotonic() - started < 10


def test_waiting_has_a_deadline(host: Host) -> None:
    process = host.start(["sh", "-c", "echo still thinking; sleep 60"], name="slow")
    with pytest.raises(CommandFailed, match=r"did not print 'ready' within 0\.2 s:\nstill thinking"):
        process.wait_for("ready", within=0.2)
    with pytest.raises(TimeoutError, match=r"waited 0\.05 s for the moon"):
        wait_until(lambda: False, within=0.05, what="the moon")
    process.stop()


def test_a_program_that_does_not_exist_is_reported(host: Host) -> None:
    process = host.start(["no-such-program"])
    with pytest.raises(CommandFailed, match="ended with status 127"):
        process.wait_for("ready")


def test_a_frozen_process_does_nothing_until_it_goes_on_and_ends_as_ever(host: Host) -> None:
    ticks = "import time\nfor n in range(10_000): print(n, flush=True); time.sleep(0.01)"
    process = host.start(["python3", "-c", ticks], name="ticks")
    process.wait_for("1")
    with process.frozen():
        said = process.output
        time.sleep(0.2)
        assert process.output == said
    wait_until(lambda: process.output != said, within=5, what="more ticks")
    process.kill()
    assert not process.running
