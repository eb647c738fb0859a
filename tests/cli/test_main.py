"""Help, completion and what every command has in common."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.cli.root import COMMANDS, load
from tests.cli.conftest import Run

HEAVY = {"rich", "httpx2", "fastapi", "sqlalchemy", "websockets", "isthmus.server", "isthmus.agent"}


def commands() -> Iterator[tuple[list[str], Any]]:
    for name in COMMANDS:
        found = load(name)
        for verb, command in getattr(found, "commands", {}).items():
            yield [name, verb], command
        if not hasattr(found, "commands"):
            yield [name], found


ALL = list(commands())
IDS = [" ".join(path) for path, _ in ALL]


def test_help_lists_every_noun_with_what_it_is_for(isthmus: Run) -> None:
    shown = isthmus("--help")
    assert shown.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in shown.out
        assert summary in shown.out


@pytest.mark.parametrize("name", [name for name in COMMANDS if hasattr(load(name), "commands")])
def test_no_line_in_a_list_of_verbs_is_cut_off(isthmus: Run, name: str) -> None:
    lines = isthmus(name, "--help").out.partition("Commands:")[2].splitlines()
    assert lines
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_every_command_says_what_it_does_and_shows_an_example_that_works(path: list[str], command: Any) -> None:
    assert command.help
    example = command.epilog.partition("Example:\n")[2].strip()
    words = shlex.split(example, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    assert words[: len(path) + 1] == ["isthmus", *path]
    command.make_context(" ".join(path), words[len(path) + 1 :])


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_no_command_takes_a_secret_as_an_argument(path: list[str], command: Any) -> None:
    secret = {"password", "token", "secret", "key", "private_key", "preshared_key", "session_token"}
    taking_values = {each.name for each in command.params if not getattr(each, "is_flag", False)}
    if path[0] == "token":
        taking_values.discard("name")
    assert not taking_values & secret


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_every_command_that_answers_does_so_in_json_too(path: list[str], command: Any) -> None:
    # A server and an agent that run do not answer, and a completion script is for shells.
    if path not in (["up"], ["server"], *([each, "run"] for each in ("agent", "federator", "ingress")), ["completion"]):
        assert "--json" in {option for each in command.params for option in each.opts}


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_help_fits_into_80_columns(path: list[str], command: Any, isthmus: Run) -> None:
    body = isthmus(*path, "--help").out.partition("Example:")[0]
    assert max(map(len, body.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--help"], {}),
        ([], {"_ISTHMUS_COMPLETE": "complete_bash", "COMP_WORDS": "isthmus pe", "COMP_CWORD": "1"}),
    ],
)
def test_help_of_all_and_completion_load_nothing_heavy(arguments: list[str], environment: dict[str, str]) -> None:
    ran = ran_with_modules(arguments, environment)
    assert not HEAVY & set(json.loads(ran.stderr))
    assert "peer" in ran.stdout


def ran_with_modules(
    arguments: list[str], environment: dict[str, str], without: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which writes the modules that it loaded as its last words."""
    code = (
        "import atexit, json, sys\n"
        "def loaded(): return [name for name, module in sys.modules.items() if module]\n"
        "atexit.register(lambda: print(json.dumps(loaded()), file=sys.stderr))\n"
        f"sys.argv = {['isthmus', *arguments]!r}\n"
        f"sys.modules[{without!r}] = None\n"
        "from isthmus.cli.main import run\nrun()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_running_agent_carries_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    environment = {"ISTHMUS_AGENT_STATE_DIR": str(tmp_path / "none"), "ISTHMUS_AGENT_RUNTIME_DIR": str(tmp_path)}
    ran = ran_with_modules(["agent", "run"], environment)
    assert ran.returncode == 1
    assert "what to do: enroll this host first" in ran.stderr
    loaded = json.loads(ran.stderr.splitlines()[-1])
    assert "isthmus.agent.loop" in loaded
    unwanted = {"typer", "pydantic", "fastapi", "sqlalchemy", "segno", "rich", "pygments", "greenlet"}
    assert not unwanted & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "extra", "package"),
    [(["server"], "server", "sqlalchemy"), (["agent", "run"], "agent", "websockets")],
)
def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(
    arguments: list[str], extra: str, package: str
) -> None:
    ran = ran_with_modules(arguments, {}, without=package)
    assert ran.returncode == 1
    assert f"the {extra} needs the package {package}" in ran.stderr
    assert f"pip install 'isthmus[{extra}]'" in ran.stderr


def test_a_mistyped_noun_is_a_usage_error_that_names_the_right_one(isthmus: Run) -> None:
    shown = isthmus("pear", "list")
    assert shown.code == 2
    assert "Did you mean 'peer'?" in shown.err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("isthmus netw", ["network"]),
        ("isthmus network cap", ["capacity"]),
        ("isthmus peer create --kind s", ["static"]),
        ("isthmus peer create --iso", ["--isolated"]),
    ],
)
def test_bash_completes_nouns_verbs_options_and_their_values(
    words: str, offered: list[str], isthmus: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ISTHMUS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert isthmus().out.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_command_back(shell: str, isthmus: Run) -> None:
    shown = isthmus("completion", shell)
    assert shown.code == 0
    assert f"_ISTHMUS_COMPLETE=complete_{shell}" in shown.out


def test_version_is_the_packages_own(isthmus: Run) -> None:
    assert isthmus("version", "--json").json["isthmus"] == "0.1.0"
    assert isthmus("version").out.startswith("isthmus 0.1.0 (Python 3.")
