"""The import contracts hold on the code base, and a planted import breaks the one that forbids it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PURE = "The domain is pure"
PROCESSES = "Processes know nothing of each other"
RINGS = "Rings of the server"
DATABASE = "The API reaches the database through ports alone"
AGENT = "The agent brings no web framework and no database driver"
COMMAND_LINE = "The command line runs without the server's packages"
MESSAGES = "Messages and formats bring no framework"

PLANTS = [
    ("domain", "import asyncio", PURE),
    ("domain/mesh", "from fastapi import FastAPI", PURE),
    ("domain", "from time import monotonic", PURE),
    ("domain", "from isthmus.server import application", PROCESSES),
    ("server/adapters/api/routes", "from isthmus.server.adapters import db", DATABASE),
    ("server/application", "from isthmus.server.adapters import db", RINGS),
    ("server", "import isthmus.agent", PROCESSES),
    ("agent", "import isthmus.server", PROCESSES),
    ("agent", "import sqlalchemy", AGENT),
    ("cli", "import pydantic", COMMAND_LINE),
    ("protocol", "import structlog", MESSAGES),
]


def verdicts(source: Path) -> dict[str, str]:
    """KEPT or BROKEN by the name of each contract, for the package below `source`."""
    run = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-logo",
            "--no-cache",
            "--config",
            ROOT / "pyproject.toml",
        ],
        cwd=source,
        env={**os.environ, "PYTHONPATH": f"{source}:{ROOT}", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    found = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", run.stdout, flags=re.MULTILINE))
    assert found, run.stdout + run.stderr
    assert run.returncode == ("BROKEN" in found.values())
    return found


@pytest.fixture
def copied_source(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "src"


@pytest.mark.case("SEED-051")
def test_the_code_base_keeps_every_contract() -> None:
    found = verdicts(ROOT / "src")
    assert found.keys() >= {PURE, PROCESSES, RINGS, DATABASE, AGENT, COMMAND_LINE, MESSAGES}
    assert [name for name, verdict in found.items() if verdict == "BROKEN"] == []


@pytest.mark.case("SEED-051")
@pytest.mark.parametrize(("folder", "statement", "contract"), PLANTS)
def test_a_planted_import_breaks_the_contract_that_forbids_it(
    copied_source: Path, folder: str, statement: str, contract: str
) -> None:
    planted = copied_source / "isthmus" / folder / "planted.py"
    planted.write_text(f'"""Planted."""\n\n{statement}\n', encoding="utf-8")
    assert verdicts(copied_source)[contract] == "BROKEN"
