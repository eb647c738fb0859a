"""`isthmus agent`: what is asked of the user, and how refusals and silence are told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.cli.agent import status_text
from tests.cli.conftest import Run

TOKEN = "isthmus-enroll-" + "x" * 43
NOW = datetime(2026, 11, 23, 20, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_AGENT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ISTHMUS_AGENT_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.mark.parametrize("verb", ["run", "status", "plan"])
def test_a_host_that_is_not_enrolled_is_told_how_to(verb: str, isthmus: Run) -> None:
    shown = isthmus("agent", verb)
    assert (shown.code, shown.out) == (1, "")
    assert "what to do: enroll this host first: isthmus agent enroll --server URL" in shown.err


def test_leaving_twice_is_no_mistake(isthmus: Run) -> None:
    assert isthmus("agent", "leave").out == "nothing was left to undo\n"
    assert isthmus("agent", "leave", "--json").json == {"steps": [], "remarks": []}


def test_enrolling_with_no_server_there_exits_3_and_does_not_repeat_the_token(isthmus: Run, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    shown = isthmus("agent", "enroll", "--server", url, "--token-file", "-", stdin=TOKEN)
    assert shown.code == 3
    assert TOKEN not in shown.out + shown.err


def test_enrolling_needs_a_server_and_a_token_but_never_on_the_command_line(isthmus: Run) -> None:
    assert "isthmus agent enroll --server URL" in isthmus("agent", "enroll").err
    shown = isthmus("agent", "enroll", "--server", "https://isthmus.example.com")
    assert shown.code == 2
    assert "--token-file FILE" in shown.err


def test_a_settings_file_with_a_mistake_is_named(isthmus: Run, tmp_path: Path) -> None:
    settings = tmp_path / "agent.toml"
    settings.write_text("backnd = 'auto'", encoding="utf-8")
    shown = isthmus("agent", "status", "--config", str(settings))
    assert shown.code == 1
    assert str(settings) in shown.err
    assert "did you mean 'backend'?" in shown.err


def test_status_tells_tunnel_server_and_neighbours() -> None:
    neighbour = {
        "name": "gw",
        "role": "primary",
        "public_key": "k" * 44,
        "endpoint": "198.51.100.7:51820",
        "latest_handshake": int(NOW.timestamp()) - 5,
        "rx": 2048,
        "tx": 10,
        "way": "in use",
    }
    text = status_text(
        {
            "peer": "laptop",
            "network": "office",
            "server": "https://isthmus.example.com",
            "interface": "ist-office",
            "backend": "userspace",
            "is_up": True,
            "addresses": ["10.20.0.2", "fd00::2"],
            "applied_revision": 6,
            "desired_revision": 7,
            "running": True,
            "reachable": True,
            "connected_by": "stream",
            "last_contact": int(NOW.timestamp()) - 3,
            "error": "boom",
            "ended": False,
            "blocked_by": "i-1",
            "neighbours": [neighbour, neighbour | {"name": None, "latest_handshake": None}],
            "bridged": None,
        },
        NOW,
        None,
    )
    for part in (
        "ist-office is up",
        "10.20.0.2, fd00::2",
        "reached by stream",
        "3s ago",
        "6 applied, 7 desired",
        "by incident i-1",
        "boom",
    ):
        assert part in text
    lines = text.splitlines()
    assert " ".join(lines[-2].split()) == "gw primary in use 198.51.100.7:51820 5s ago 2.0 KiB 10 B"
    assert lines[-1].split()[0] == "k" * 44
