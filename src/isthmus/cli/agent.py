"""`isthmus agent`: join this host to a network and keep its tunnel up."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from isthmus.cli import options
from isthmus.cli.agent_work import finish, load_settings, run_agent
from isthmus.cli.ask import confirm, secret
from isthmus.cli.command import SHARED, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.session import Session
from isthmus.cli.text import Column, age, fields, minute, size, table

if TYPE_CHECKING:
    from isthmus.agent.plan import Plan
    from isthmus.agent.settings import Settings

app = noun("Join this host to a network and keep its tunnel up.")

CONFIG = typer.Option(metavar="FILE", help="Settings in TOML. [env: ISTHMUS_AGENT_CONFIG]")


@command(app, "enroll", "isthmus agent enroll --server https://isthmus.example.com", options=SHARED)
def enroll(
    session: Session,
    server: Annotated[str | None, typer.Option(metavar="URL", help="The server. [env: ISTHMUS_SERVER]")] = None,
    token_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read the enrollment token from FILE, - for standard input.")
    ] = None,
    with_instance: Annotated[
        bool, typer.Option("--instance", help="Also ask for an instance: a leaf to call other backends with.")
    ] = False,
    config: Annotated[Path | None, CONFIG] = None,
) -> None:
    """Make this host a peer. It takes the one-time token that `isthmus peer create` showed."""
    url = server or os.environ.get("ISTHMUS_SERVER")
    if not url:
        raise Misuse("name the server: isthmus agent enroll --server URL")
    settings = load_settings(config)
    token = secret("enrollment token", token_file, "--token-file")
    from isthmus.agent import main

    answer = finish(main.enroll(settings, url, token))
    shown = {"peer": msgspec.to_builtins(answer.peer), "network": msgspec.to_builtins(answer.network)}
    text = f"this host is {answer.peer.name} of network {answer.network.name}; bring its tunnel up: isthmus agent run"
    if with_instance:
        try:
            made = _instance(settings)
            shown["instance"] = made
            text = f"{text}\n\n{instance_text(made)}"
        except Failure as failure:
            # The host is a peer all the same, and the agent that will run here asks again.
            session.note(f"No instance yet: {failure.title}." + (f" {failure.hint}" if failure.hint else ""))
    session.show(shown, lambda _: text)


@command(app, "instance", "isthmus agent instance", options=SHARED)
def instance(session: Session, config: Annotated[Path | None, CONFIG] = None) -> None:
    """Ask for an instance on this host.

    It gets a leaf to call other backends with. The running agent renews it.
    """
    session.show(_instance(load_settings(config)), instance_text)


@command(app, "run", "isthmus agent run", options={})
def run(session: Session, config: Annotated[Path | None, CONFIG] = None) -> None:
    """Keep the tunnel as the server wants it, until Ctrl-C. The tunnel itself stays up."""
    run_agent(config)


@command(app, "status", "isthmus agent status", options=SHARED)
def status(session: Session, config: Annotated[Path | None, CONFIG] = None) -> None:
    """Show this host's tunnel, its neighbours and its server."""
    settings = load_settings(config)
    from isthmus.agent import main

    found = msgspec.to_builtins(finish(main.status(settings)))
    session.show(found, lambda each: status_text(each, session.now, session.width))


@command(app, "plan", "isthmus agent plan --dry-run", options=SHARED)
def plan(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, as a plan never does.")] = True,
    config: Annotated[Path | None, CONFIG] = None,
) -> None:
    """Show what the agent would change on this host now. The config is the last that it got."""
    settings = load_settings(config)
    from isthmus.agent import main

    _show_plan(session, finish(main.plan(settings)), "nothing to do: this host is as it shall be")


@command(app, "leave", "isthmus agent leave", options=SHARED)
def leave(
    session: Session,
    config: Annotated[Path | None, CONFIG] = None,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Take the tunnel down and forget the enrollment. Nothing of the agent stays on this host."""
    settings = load_settings(config)
    from isthmus.agent import main

    confirm("Take the tunnel down and forget this host's key?", yes=yes)
    _show_plan(session, finish(main.leave(settings)), "nothing was left to undo")


def _instance(settings: "Settings") -> dict[str, str]:
    from isthmus.agent import main

    leaf = finish(main.instance(settings))
    folder = Path(settings.state_dir) / "instance"
    return {"uri": leaf.uris[0], "expires_at": leaf.not_after.isoformat(), "folder": str(folder)}


def instance_text(made: dict[str, Any]) -> str:
    folder = made["folder"]
    return f"this host is {made['uri']}, until {minute(made['expires_at'])}: {folder}/chain.pem and {folder}/key.pem"


def _show_plan(session: Session, plan: "Plan", nothing: str) -> None:
    found = {"steps": [str(step) for step in plan.steps], "remarks": list(plan.remarks)}
    session.show(found, lambda each: "\n".join([*each["steps"], *each["remarks"]]) or nothing)


def status_text(status: dict[str, Any], now: datetime, width: int | None) -> str:
    state = "up" if status["is_up"] else "down"
    reached = f"reached by {status['connected_by']}" if status["reachable"] else "not reached"
    pairs: list[tuple[str, object]] = [
        ("peer", f"{status['peer']} of network {status['network']}"),
        ("interface", f"{status['interface']} is {state}, WireGuard in {status['backend']}"),
        ("addresses", status["addresses"]),
        ("agent", "running" if status["running"] else "not running: isthmus agent run"),
        ("server", f"{status['server']}, {reached}" if status["running"] else status["server"]),
        ("last contact", _ago(status["last_contact"], now)),
        ("revision", f"{status['applied_revision']} applied, {status['desired_revision'] or 'unknown'} desired"),
    ]
    if status["ended"]:
        pairs.append(("enrollment", "ended by the server: isthmus agent leave, then enroll anew"))
    if status["blocked_by"]:
        pairs.append(("blocked", f"by incident {status['blocked_by']}: an operator resolves it"))
    if status["error"]:
        pairs.append(("error", status["error"]))
    text = fields(pairs)
    return f"{text}\n\n{_neighbours(status['neighbours'], now, width)}" if status["neighbours"] else text


def _neighbours(neighbours: list[dict[str, Any]], now: datetime, width: int | None) -> str:
    titles = ("NEIGHBOUR", "ROLE", "WAY", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT")
    rows = [
        (
            each["name"] or each["public_key"],
            each["role"],
            each["way"],
            each["endpoint"],
            _ago(each["latest_handshake"], now),
            size(each["rx"]),
            size(each["tx"]),
        )
        for each in neighbours
    ]
    return table([Column(title, may_shrink=title == "ENDPOINT") for title in titles], rows, width)


def _ago(seconds: int | None, now: datetime) -> str:
    return age(datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None, now)
