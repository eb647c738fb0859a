"""`make lab`: the journey on a terminal, how it ends, and what it says when something is not as promised."""

import signal
import subprocess
import sys

import pytest

from lab import demo

pytestmark = [pytest.mark.xdist_group("e2e-demo"), pytest.mark.timeout(120)]


def test_the_journey_holds_what_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    shown = capsys.readouterr().out
    for command in (
        "server # isthmus network create office --cidr 10.20.0.0/24",
        "laptop # isthmus agent enroll --server https://203.0.113.10 --token-file -",
        "phone # wg-quick up wg0",
        "server # isthmus peer update tablet --isolated",
    ):
        assert command in shown
    assert "✓ laptop does not reach tablet" in shown
    assert "expectations held" in shown.splitlines()[-1]
    assert "\x1b" not in shown


def test_a_step_that_fails_says_what_was_expected_and_shows_the_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(journey: demo.Journey) -> None:
        """A ping to nowhere"""
        journey.reaches(journey.backend.host, "nowhere", "203.0.113.99")

    monkeypatch.setattr(demo, "FOLLOW_SECONDS", 0.1)
    monkeypatch.setattr(demo, "STEPS", [unreachable])
    assert demo.main() == 1
    shown = capsys.readouterr().out
    assert "203.0.113.99 (nowhere) to answer server" in shown
    assert "the last lines of the log of server" in shown
    assert "Isthmus is running at" in shown.partition("last lines")[2]


def test_ctrl_c_ends_it_at_once_and_says_that_all_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-m", "lab"], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if "network create" in line:
                    break
            running.send_signal(signal.SIGINT)
            rest, _ = running.communicate(timeout=20)
        finally:
            running.kill()
    assert running.returncode == 130
    assert rest.splitlines()[-1].startswith("✗ interrupted")
