"""The state directory: private, whole after any interruption, and used by one agent at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.agent.errors import AgentBusy, NotEnrolled
from isthmus.agent.state import Applied, Identity, StateDir, Undo
from tests.agent.builders import a_config, a_gateway

IDENTITY = Identity("https://isthmus.example.com", "p-1", "laptop", "n-1", "office", "very-secret")


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.make()
    return state


def test_what_was_saved_is_read_back(state: StateDir) -> None:
    assert (state.identity(), state.applied(), state.undo(), state.private_key()) == (None, None, Undo(), None)
    first, applied = Applied(2, a_config()), Applied(4, a_config(a_gateway()))
    undo = Undo("ist-office", {"ipv4/ip_forward": "0"}, {"ipv4/conf/all/src_valid_mark": "0"})
    key = state.make_private_key()
    state.save_identity(IDENTITY)
    state.save_applied(applied)
    state.save_first(first)
    state.save_undo(undo)
    again = StateDir(state.path)
    assert (again.enrolled(), again.undo()) == ((IDENTITY, key), undo)
    assert (again.first(), again.applied()) == (first, applied)
    state.forget_applied()
    assert (again.first(), again.applied()) == (None, None)


def test_nobody_else_may_read_it(state: StateDir) -> None:
    previous = os.umask(0)
    try:
        state.make_private_key()
        state.save_identity(IDENTITY)
        state.save_applied(Applied(1, a_config()))
    finally:
        os.umask(previous)
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in state.path.iterdir()} == {0o600}


def test_a_repeated_enrollment_uses_the_key_of_the_first(state: StateDir) -> None:
    assert state.make_private_key() == StateDir(state.path).make_private_key()


def test_no_secret_is_printed(state: StateDir) -> None:
    assert "very-secret" not in f"{IDENTITY!r}{IDENTITY}"


def test_a_write_that_dies_halfway_leaves_the_old_file(state: StateDir) -> None:
    state.save_applied(Applied(1, a_config()))
    program = (
        "import os, sys; from pathlib import Path; from isthmus.agent.state import *\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "state = StateDir(Path(sys.argv[1])); state.save_applied(Applied(2, state.applied().config))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(state.path)], timeout=30, check=False)
    assert done.returncode == 9
    assert state.applied() == Applied(1, a_config())
    state.save_applied(Applied(3, a_config()))
    assert state.applied() == Applied(3, a_config())


def test_two_agents_do_not_share_it(state: StateDir) -> None:
    with state.locked(), pytest.raises(AgentBusy), StateDir(state.path).locked():
        pass
    with StateDir(state.path).locked():
        pass


def test_a_host_without_identity_is_not_enrolled(state: StateDir) -> None:
    state.make_private_key()
    with pytest.raises(NotEnrolled):
        state.enrolled()


@pytest.mark.parametrize("name", ["private.key", "identity.json", "applied.json"])
def test_a_damaged_file_is_named_and_its_content_is_not(state: StateDir, name: str) -> None:
    (state.path / name).write_text('{"half": "secr')
    with pytest.raises(ValueError, match=name) as caught:
        {"private.key": state.private_key, "identity.json": state.identity, "applied.json": state.applied}[name]()
    assert "secr" not in str(caught.value)


def test_clearing_removes_ours_and_leaves_what_is_not(state: StateDir) -> None:
    state.make_private_key()
    state.save_identity(IDENTITY)
    (state.path / "notes.txt").write_text("mine")
    state.clear()
    assert [file.name for file in state.path.iterdir()] == ["notes.txt"]
    (state.path / "notes.txt").unlink()
    state.clear()
    assert not state.path.exists()
