"""The setup script is quick once all is there, and says in one sentence what is missing."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script reads, without an environment."""
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run_setup(
    folder: Path, profile: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "tools" / "setup", profile],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def path_with(folder: Path, commands: Mapping[str, str | None]) -> str:
    """A PATH of these commands alone: the machine's own, or a script where one is given."""
    folder.mkdir()
    for name, script in commands.items():
        if script is None:
            (folder / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is missing"))
        else:
            (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
    return str(folder)


@pytest.fixture
def offline(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which Python makes a venv whose programs only write their arguments to `calls`."""
    program = '#!/bin/sh\\necho "$*" >>calls\\n'
    python = f"""case "$*" in *venv*)
        mkdir -p .venv/bin
        for name in python uv; do printf '{program}' >.venv/bin/$name; chmod +x .venv/bin/$name; done
        echo "$PWD/.venv" >.venv/bin/activate
    esac"""
    return {"PATH": path_with(tmp_path / "bin", {"python3": python}) + ":" + os.environ["PATH"]}


def calls_of(checkout: Path) -> str:
    return (checkout / "calls").read_text(encoding="utf-8")


def test_a_second_call_takes_no_time_and_does_nothing(checkout: Path, offline: dict[str, str]) -> None:
    first = run_setup(checkout, "run", offline)
    assert first.returncode == 0, first.stderr
    done = calls_of(checkout)
    assert "--require-hashes -r requirements/bootstrap.txt" in done
    assert "-r requirements/run.txt" in done
    assert "--editable ." in done

    started = time.monotonic()
    second = run_setup(checkout, "run", offline)
    assert time.monotonic() - started < 0.3
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert calls_of(checkout) == done


def test_a_changed_lock_is_installed(checkout: Path, offline: dict[str, str]) -> None:
    run_setup(checkout, "run", offline)
    done = calls_of(checkout)
    with (checkout / "requirements" / "run.txt").open("a", encoding="utf-8") as lock:
        lock.write("# changed\n")
    run_setup(checkout, "run", offline)
    assert calls_of(checkout).count("-r requirements/run.txt") == done.count("-r requirements/run.txt") + 1


def test_the_test_profile_serves_the_run_profile_too(checkout: Path, offline: dict[str, str]) -> None:
    assert run_setup(checkout, "test", offline).returncode == 0
    done = calls_of(checkout)
    assert "-r requirements/dev.txt" in done
    assert run_setup(checkout, "run", offline).returncode == 0
    assert calls_of(checkout) == done


def test_an_unknown_profile_is_refused() -> None:
    run = run_setup(ROOT, "tests")
    assert (run.returncode, run.stderr) == (1, "setup: there is no profile tests; use run or test\n")


def test_a_user_who_is_not_root_is_told_what_to_install(checkout: Path, tmp_path: Path) -> None:
    commands = dict.fromkeys(("sh", "dirname", "mkdir", "ls", "wg", "tcpdump", "nsenter", "ps"))
    path = path_with(tmp_path / "bin", {**commands, "id": "echo 1000", "apt-get": "exit 1"})
    run = run_setup(checkout, "test", {"PATH": path})
    assert run.returncode == 1
    assert run.stderr.startswith("setup: missing: wireguard-go")
    assert "as root, type: apt-get install --no-install-recommends wireguard-go" in run.stderr
    assert "wireguard-tools" not in run.stderr
    assert run.stderr.count("\n") == 1


def test_an_old_python_is_refused_with_the_way_out(checkout: Path, tmp_path: Path) -> None:
    commands = dict.fromkeys(("sh", "dirname", "mkdir", "cat", "sha256sum"))
    python = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13"), "exit 1")
    path = path_with(tmp_path / "bin", {**commands, **python, "id": "echo 0", "apt-get": "exit 0"})
    run = run_setup(checkout, "run", {"PATH": path})
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "setup: Python 3.11 or newer is missing; install one and name it: PYTHON=/path/to/python3"
    )


def test_an_unreachable_index_is_named(checkout: Path) -> None:
    environment = {"PIP_INDEX_URL": NOWHERE, "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1", "UV_INDEX_URL": NOWHERE}
    run = run_setup(checkout, "run", environment)
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == (
        "setup: Python packages could not be installed: is the package index reachable? .build/setup.log says why"
    )
    assert not (checkout / ".venv" / ".setup-run").exists()
