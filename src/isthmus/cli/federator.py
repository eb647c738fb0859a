"""`isthmus federator`: carry calls between this backend and others, and look how it does."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli.command import SHARED, command, lone
from isthmus.cli.errors import Failure, Unreachable, missing_extra, report
from isthmus.cli.importing import importing
from isthmus.cli.options import DATA_DIR, REPLICA, without_none
from isthmus.cli.session import Session

app = lone()

CONFIG = typer.Option(metavar="FILE", help="Settings in TOML. [env: ISTHMUS_FEDERATOR_CONFIG]")
STATUS_SECONDS = 10.0


@app.callback(invoke_without_command=True)
def bare(
    ctx: typer.Context,
    config: Annotated[Path | None, CONFIG] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
) -> None:
    """Carry calls between this backend and others. Without a verb it runs, until Ctrl-C."""
    if ctx.invoked_subcommand is None:
        try:
            code = _run(config, data_dir)
        except Failure as failure:
            report(failure)
            code = failure.exit_code
        raise typer.Exit(code)


@command(app, "run", "isthmus federator run", options={})
def run(
    session: Session,
    config: Annotated[Path | None, CONFIG] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    replica: Annotated[int | None, REPLICA] = None,
) -> None:
    """Carry calls between this backend and others, until Ctrl-C."""
    raise typer.Exit(_run(config, data_dir, replica))


def _run(config: Path | None, data_dir: str | None, replica: int | None = None) -> int:
    try:
        with importing():
            from isthmus.federator.main import run
    except ModuleNotFoundError as error:
        raise missing_extra(error, "federator") from None
    return run(config, without_none({"data_dir": data_dir, "replica": replica}))


@command(app, "status", "isthmus federator status", options=SHARED)
def status(
    session: Session,
    config: Annotated[Path | None, CONFIG] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    replica: Annotated[int | None, REPLICA] = None,
) -> None:
    """Show whether each part of the running Federator does its work."""
    try:
        from isthmus.federator.settings import SettingsRefused, load
    except ModuleNotFoundError as error:
        raise missing_extra(error, "federator") from None
    try:
        given = without_none({"data_dir": data_dir, "replica": replica})
        socket = load(config, given, os.environ).places.outward
    except SettingsRefused as reason:
        raise Failure(str(reason)) from None
    health = _ask(socket)
    session.show(health, status_text)
    if not health["ready"]:
        raise typer.Exit(1)


def _ask(socket: Path) -> Any:
    import httpx2

    try:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(socket)), timeout=STATUS_SECONDS) as client:
            answer = client.get("http://federator/health/ready")
            found = answer.json()
    except (httpx2.HTTPError, ValueError):
        hint = "start it: isthmus up, or isthmus federator"
        raise Unreachable(f"no Federator answers at {socket}", hint) from None
    if "ready" not in found:
        raise Failure(f"the Federator refused: {found.get('detail', answer.status_code)}", "ask as its own user")
    return found


def status_text(health: dict[str, Any]) -> str:
    lines = ["ready" if health["ready"] else "NOT ready"]
    lines += [f"  {name}: {fault or 'ok'}" for name, fault in sorted(health["parts"].items())]
    lines += [f"  alarm: {alarm}" for alarm in health["alarms"]]
    return "\n".join(lines)
