"""The web UI is built the same from the same sources, and types that do not fit the API any more stop the checks."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = Path("src/isthmus/server/ui")
SECONDS = 170.0


def checkout(folder: Path) -> Path:
    """The tracked files of `web/` and what its checks need beside them, with the packages of this working copy."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "web", "tools"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    (folder / "web/node_modules").symlink_to(ROOT / "web/node_modules")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "src").mkdir()
    return folder


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    first, second = (checkout(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    return first, second


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        command, cwd=folder, env={"PATH": path, "CI": "true"}, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip


def without_a_warning(folder: Path, *scripts: str) -> None:
    for script in scripts:
        done = run(folder / "web", "npm", "run", "-s", script)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "warn" not in said.lower(), said


def built_in(folder: Path) -> dict[str, bytes]:
    without_a_warning(folder, "build")
    built = folder / BUILT
    return {str(path.relative_to(built)): path.read_bytes() for path in sorted(built.rglob("*")) if path.is_file()}


@pytest.mark.case("SEED-103")
@pytest.mark.timeout(2 * SECONDS)
def test_two_builds_of_clean_checkouts_are_the_same_byte_for_byte(checkouts: tuple[Path, Path]) -> None:
    # Of the same files, types and tests say the same.
    without_a_warning(checkouts[0], "types", "test")
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(built_in, checkouts)
    assert "index.html" in first
    assert len(first) > 20
    assert first == second


@pytest.mark.case("SEED-103")
@pytest.mark.timeout(SECONDS)
def test_types_that_the_api_does_not_have_any_more_fail_the_check(checkouts: tuple[Path, Path]) -> None:
    folder = checkouts[0]
    types = folder / "web/src/api/schema.gen.ts"
    fresh = types.read_text("utf-8")
    stale = fresh.replace("network_admin", "network_boss")
    assert stale != fresh
    types.write_text(stale, "utf-8")
    done = run(folder, "tools/ui", "check")
    assert done.returncode == 1
    assert "schema.gen.ts was stale" in done.stderr
    assert types.read_text("utf-8") == fresh
