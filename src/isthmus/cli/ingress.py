"""`isthmus ingress`: the reverse proxy that takes calls of remotes."""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import targets
from isthmus.cli.command import SHARED, command, noun
from isthmus.cli.errors import Failure, Misuse, Unreachable
from isthmus.cli.options import DATA_DIR, REPLICA
from isthmus.cli.session import Session
from isthmus.cli.text import age, fields
from isthmus.ingress.refused import FactsUnavailable, IngressRefused
from isthmus.protocol.places import Places

if TYPE_CHECKING:
    from isthmus.protocol.ingress import IngressFacts, Kind

app = noun("The ingress: takes calls of remotes over mutual TLS and passes them to the Federator.")

KINDS: "tuple[Kind, ...]" = ("nginx", "traefik", "kubernetes")
Facts = Annotated[Path | None, typer.Option("--facts", metavar="FILE", help="Facts in JSON instead of the server's.")]
DataDir = Annotated[Path | None, DATA_DIR]
Replica = Annotated[int, REPLICA]


@command(app, "render", "isthmus ingress render nginx --out ingress", options=SHARED)
def render(
    session: Session,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="nginx, traefik or kubernetes.")],
    facts: Facts = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Write the files there.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write the configuration of the ingress. Without --out it is shown, and the secrets in it are not."""
    from isthmus.ingress import rendering
    from isthmus.ingress.layout import Layout, no_secret, secrets_of

    wanted = _kind(kind)
    places = _places(data_dir)
    try:
        found = _facts(places, facts)
        layout = Layout.of(places, no_secret if out is None else secrets_of(places))
        files = rendering.render(wanted, found, layout)
        findings = rendering.lint(wanted, files)
        if findings:
            raise Failure("the rendering fails its own lint, which is a defect: " + "; ".join(findings))
        if out is not None:
            rendering.write(files, out)
    except IngressRefused as refused:
        raise _failure(refused) from None
    if out is None:
        session.show(files, lambda each: "\n".join(f"# {name}\n{text}" for name, text in each.items()))
        session.note("the secrets of the listeners are left out: write the files with --out FOLDER")
    else:
        found_in = {"kind": wanted, "folder": str(out), "files": list(files)}
        session.show(found_in, lambda each: f"wrote {', '.join(each['files'])} to {out}; the lint is content")


@command(app, "lint", "isthmus ingress lint ingress", options=SHARED)
def lint(
    session: Session, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What render wrote.")]
) -> None:
    """Check that a configuration still is as the contract asks. Names every directive that is missing or weakened."""
    from isthmus.ingress import rendering

    try:
        kind, files = rendering.read_rendered(folder)
    except IngressRefused as refused:
        raise _failure(refused) from None
    findings = rendering.lint(kind, files)
    session.show({"kind": kind, "findings": findings}, _lint_text)
    if findings:
        raise typer.Exit(1)


@command(app, "apply", "isthmus ingress apply", options=SHARED)
def apply(session: Session, facts: Facts = None, data_dir: DataDir = None, replica: Replica = 1) -> None:
    """Apply the server's facts once. The configuration is rendered, checked and swapped, and the nginx that
    `isthmus ingress run` keeps takes it."""
    from isthmus.ingress import process
    from isthmus.ingress.applying import Applier
    from isthmus.ingress.guarding import Guard, planned

    places = _places(data_dir, replica)
    applier = Applier(places)
    try:
        found, guard = _facts(places, facts), Guard()
        runs = process.master_of(applier.layout()) is not None
        plan = guard.before(planned(found))
        version = applier.apply(plan.of(found), reload=runs, force=True)
        guard.after(plan)
    except IngressRefused as refused:
        raise _failure(refused) from None
    session.show({"version": version.name, "running": runs, "left_out": dict(plan.left_out)}, _applied_text)


def _applied_text(found: dict[str, Any]) -> str:
    done = "nginx runs it" if found["running"] else "nothing runs it yet: isthmus ingress run"
    text = f"applied version {found['version']}; {done}"
    return "\n".join([text, *(f"left out: {name}: {why}" for name, why in found["left_out"].items())])


@command(app, "run", "isthmus ingress run", options={})
def run(session: Session, facts: Facts = None, data_dir: DataDir = None, replica: Replica = 1) -> None:
    """Keep an nginx as the server's facts say, until Ctrl-C. New facts and certificates are taken up at once."""
    import asyncio

    from isthmus import logs
    from isthmus.ingress import runner

    logs.configure()
    try:
        asyncio.run(runner.run(_places(data_dir, replica), facts))
    except IngressRefused as refused:
        raise _failure(refused) from None


@command(app, "status", "isthmus ingress status", options=SHARED)
def status(session: Session, data_dir: DataDir = None, replica: Replica = 1) -> None:
    """Show what runs, and whether it still is what was rendered. Exit code 1 if it is not."""
    from isthmus.ingress.standing import standing

    try:
        found = standing(_places(data_dir, replica))
    except IngressRefused as refused:
        raise _failure(refused) from None
    session.show(found, lambda each: _status_text(each, session.now))
    if not found["well"]:
        raise typer.Exit(1)


def _status_text(found: dict[str, Any], now: datetime) -> str:
    pairs: list[tuple[str, object]] = [
        ("ingress", "running" if found["running"] else "not running: isthmus ingress run"),
        ("version", found["version"]),
        ("digest", found["digest"]),
        ("reached at", [_listener_text(each) for each in found["listeners"]]),
        ("not reached at", [f"{name}: {why}" for name, why in found["left_out"].items()] or "none is left out"),
        ("trust anchors", found["anchors"]),
        ("certificate", f"until {found['certificate_until']}" if found["certificate_until"] else "none"),
        ("drift", found["drift"] or "none"),
    ]
    if found["drifted_at"]:
        pairs.append(("last drift", f"{age(found['drifted_at'], now)}: {'; '.join(found['last_drift'])}"))
    if found["problem"]:
        pairs.append(("problem", found["problem"]))
        pairs.append(("what to do", found["mend"]))
    return fields(pairs)


def _listener_text(listener: dict[str, Any]) -> str:
    host = f"[{listener['address']}]" if ":" in listener["address"] else listener["address"]
    guard = "" if listener["dropped"] is None else f", {listener['dropped']} packets dropped that came another way"
    return f"{host}:{listener['port']} ({listener['name']}{guard})"


def _lint_text(found: dict[str, Any]) -> str:
    if not found["findings"]:
        return f"nothing to find fault with: this {found['kind']} ingress is as it must be"
    return "\n".join([*found["findings"], "what to do: render it again, and change facts instead of files"])


def _kind(text: str) -> "Kind":
    for kind in KINDS:
        if text == kind:
            return kind
    raise Misuse(f"there is no rendering {text}", f"use one of: {', '.join(KINDS)}")


def _places(data_dir: Path | None, replica: int = 1) -> Places:
    return Places(data_dir or targets.data_dir(os.environ), replica)


def _facts(places: Places, file: Path | None) -> "IngressFacts":
    from isthmus.ingress import control, facts

    found = facts.read(file) if file is not None else control.fetch(places.control, after=-1, wait=0)
    if found is None:
        raise FactsUnavailable("the server knows no facts of an ingress yet", "isthmus federation init")
    return facts.part_of(found, places.replica)


def _failure(refused: IngressRefused) -> Failure:
    kind = Unreachable if isinstance(refused, FactsUnavailable) else Failure
    return kind(str(refused), refused.mend or None)
