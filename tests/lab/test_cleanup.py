"""Nothing of a lab is left behind, however its owner ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import Lab, LabUnavailable, wait_until

REPOSITORY = Path(__file__).parents[2]

# Also forks a child that survives its owner and holds every pipe of it open.
OWNER = """
import json, os, time
from lab import Lab
from lab.wireguard import quick_up

with Lab() as lab:
    desk = lab.host("desk", behind=lab.nat("home"))
    key = desk.run(["wg", "genkey"]).stdout
    quick_up(desk, f"[Interface]\\nPrivateKey = {key}\\n")
    deaf = desk.start(["sh", "-c", "trap '' TERM INT HUP; sleep 600 & echo deaf; wait"])
    deaf.wait_for("deaf")
    network = os.readlink(f"/proc/{deaf.pid}/ns/net")
    bystander = os.fork()
    if bystander == 0:
        time.sleep(600)
    print(json.dumps({"folder": str(lab.folder), "network": network, "bystander": bystander,
                      "guardian": lab.guardian_pid}), flush=True)
    time.sleep(600)
"""


@dataclass
class Owned:
    owner: "subprocess.Popen[str]"
    folder: Path
    network: str
    guardian: int

    def members(self) -> list[str]:
        """What still lives in the network namespace of the lab's host."""
        return [path.parts[2] for path in Path("/proc").glob("[0-9]*/ns/net") if namespace_of(path) == self.network]


def namespace_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


@pytest.fixture
def owned() -> Iterator[Owned]:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        owned = Owned(owner, Path(told["folder"]), told["network"], told["guardian"])
        # nsenter, sh, sleep, wireguard-go and the holder of the namespaces
        assert len(owned.members()) >= 4
        try:
            yield owned
        finally:
            os.kill(told["bystander"], signal.SIGKILL)
            owner.kill()
            shutil.rmtree(owned.folder, ignore_errors=True)


def test_a_lab_vanishes_when_its_owner_is_killed(owned: Owned) -> None:
    owned.owner.kill()
    wait_until(lambda: not owned.members(), within=5, what="the lab's processes to be gone")
    wait_until(lambda: not owned.folder.exists(), within=5, what="the lab's folder to be gone")


def test_a_lab_vanishes_when_its_owner_is_interrupted(owned: Owned) -> None:
    owned.owner.send_signal(signal.SIGINT)
    owned.owner.wait(timeout=10)
    assert not owned.members()
    assert not owned.folder.exists()


def test_no_process_survives_even_when_owner_and_guardian_are_killed(owned: Owned) -> None:
    os.kill(owned.guardian, signal.SIGKILL)
    owned.owner.kill()
    wait_until(lambda: not owned.members(), within=5, what="the lab's processes to be gone")


def test_leaving_the_lab_after_an_error_takes_everything_away() -> None:
    lab = Lab()
    with contextlib.suppress(ZeroDivisionError), lab:
        sleeper = lab.host("desk").start(["sleep", "600"])
        raise ZeroDivisionError
    assert not lab.folder.exists()
    assert not sleeper.running


def test_without_root_the_lab_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="run it as root"), Lab():
        pass


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabUnavailable, match=r"apt-get install --no-install-recommends iproute2 .*nftables"), Lab():
        pass


def test_where_namespaces_are_forbidden_the_lab_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho unshare failed: Operation not permitted >&2\nexit 1\n")
    refusing.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(LabUnavailable, match=r"not permitted; namespaces need root and, in a container"), Lab():
        pass
    assert list(tmp_path.iterdir()) == [refusing]
