"""`isthmus up`: one small backend on this machine, all its processes under one supervisor."""

import asyncio
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import targets
from isthmus.cli.command import command, lone
from isthmus.cli.options import DATA_DIR, LISTEN, SETTINGS
from isthmus.cli.session import Session
from isthmus.cli.supervisor import Program, Supervisor
from isthmus.logs import WATCHED
from isthmus.protocol.places import MOST_REPLICAS, Places

app = lone()

# How one of several Federators or ingresses is called, and started.
WHICH = [("", []), *((f"-{number}", ["--replica", str(number)]) for number in range(2, MOST_REPLICAS + 1))]
# What `isthmus server` prints when all its listeners are bound.
SERVER_RUNS = "Isthmus is running at"


@command(app, "up", "isthmus up", options={})
def up(
    session: Session,
    config: Annotated[Path | None, SETTINGS] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    listen: Annotated[str | None, LISTEN] = None,
) -> None:
    """Run a whole backend on this machine until Ctrl-C: the server, and in a federation its Federator and ingress.
    Whatever dies is started again."""
    options = {"--config": config, "--data-dir": data_dir, "--listen": listen}
    given = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    folder = Path(data_dir) if data_dir else data_folder(config, os.environ)
    kept = programs(folder, given, os.environ, replicas(config, os.environ))
    raise typer.Exit(asyncio.run(_run(kept)))


async def _run(programs: list[Program]) -> int:
    return await Supervisor(programs).run()


def programs(folder: Path, given: list[str], environment: Mapping[str, str], count: int = 1) -> list[Program]:
    """The processes of a backend with its data in `folder`, in the order of their start; `given` is for the server.
    There are `count` Federators, and as many ingresses."""
    isthmus = own_command()
    # They write into pipes, and whoever reads those may be a person all the same.
    watched = {WATCHED: "1"} if sys.stderr.isatty() and not environment.get("NO_COLOR") else {}
    environment = {**environment, **watched}
    beside = {**environment, "ISTHMUS_DATA_DIR": str(folder)}

    def federates() -> bool:
        return is_initialised(Places(folder))

    return [
        Program("server", [*isthmus, "server", *given], environment, sign=SERVER_RUNS, all_need=True),
        *(
            Program(f"{name}{number}", [*isthmus, name, "run", *which], beside, may_start=federates)
            for name in ("federator", "ingress")
            for number, which in WHICH[:count]
        ),
    ]


def is_initialised(places: Places) -> bool:
    """Whether `isthmus federation init` has made all that the Federator and the ingress start with."""
    pairs = (places.federator_pair, places.ingress_pair)
    files = [pair / name for pair in pairs for name in ("chain.pem", "key.pem")]
    return all(file.exists() for file in [*files, places.message_key, places.listener_key])


def replicas(config: Path | None, environment: Mapping[str, str]) -> int:
    """How many Federators and ingresses the settings ask for."""
    text = str(environment.get("ISTHMUS_REPLICAS") or _named(config, "replicas"))
    # Whatever else stands there is for the server to refuse.
    return int(text) if text.isdecimal() and 0 < int(text) <= MOST_REPLICAS else 1


def data_folder(config: Path | None, environment: Mapping[str, str]) -> Path:
    """Where the server keeps its data: the settings file counts less than the environment. A file with a mistake is for
    the server to refuse."""
    named = None if environment.get("ISTHMUS_DATA_DIR") else _named(config, "data_dir")
    return Path(named) if isinstance(named, str) else targets.data_dir(environment)


def _named(config: Path | None, key: str) -> Any:
    """What the settings file says of `key`; None where it says nothing that can be read."""
    try:
        return None if config is None else tomllib.loads(config.read_text()).get(key)
    except (OSError, ValueError):
        return None


def own_command() -> list[str]:
    """This very installation: the script beside the interpreter, whatever PATH says."""
    script = Path(sys.executable).with_name("isthmus")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from isthmus.cli.main import run; run()"]
