"""`isthmus bridge`: networks of ours that are joined with networks of remotes, from the proposal to the end."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import bridge_text, options
from isthmus.cli.ask import confirm as ask_confirm
from isthmus.cli.bridge_sides import details, moved, overview
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.lookup import id_of, network_id
from isthmus.cli.options import without_none
from isthmus.cli.session import Session

if TYPE_CHECKING:
    from isthmus.cli.client import Client

app = noun("Bridges: networks that are joined with networks of remotes.")

Bridge = Annotated[
    str, typer.Argument(metavar="BRIDGE", help="Id of the bridge, or the domain of a remote that has one only.")
]
Prefix = Annotated[
    list[str] | None,
    typer.Option("--prefix", metavar="CIDR", help="Prefix of ours to offer, else its IPv6; may be given more often."),
]
Reason = Annotated[str | None, typer.Option(help="Why; the other side is told.")]


@command(app, "propose", "isthmus bridge propose b.example --network office")
def propose(
    session: Session,
    remote: Annotated[str, typer.Argument(metavar="DOMAIN", help="Domain of the remote, such as b.example.")],
    network: Annotated[str, typer.Option(help="Network of ours to join.")],
    prefix: Prefix = None,
    reason: Reason = None,
) -> None:
    """Propose a bridge. Nothing passes before the other side accepts."""
    body = {"remote": remote, "network_id": network_id(session.api, network), "prefixes": prefix, "reason": reason}
    session.show(session.api.post("/bridges", without_none(body)), lambda each: moved(each, "proposed"))


@command(app, "accept", "isthmus bridge accept a.example --network plant")
def accept(
    session: Session,
    bridge: Bridge,
    network: Annotated[str | None, typer.Option(help="Network of ours to join, if not named at the handshake.")] = None,
    prefix: Prefix = None,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CIDR", help="Prefix of theirs to let in, else all; may be given more often."),
    ] = None,
    reason: Reason = None,
) -> None:
    """Accept a bridge that a remote has proposed."""
    chosen = None if network is None else network_id(session.api, network)
    body = {"network_id": chosen, "prefixes": prefix, "accepted": accept, "reason": reason}
    path = path_of(session.api, bridge)
    session.show(session.api.post(f"{path}/accept", without_none(body)), lambda each: moved(each, "accepted"))


@command(app, "suspend", "isthmus bridge suspend b.example --reason maintenance")
def suspend(session: Session, bridge: Bridge, reason: Reason = None) -> None:
    """Let nothing pass until it is resumed."""
    session.show(_act(session, bridge, "suspend", reason), lambda each: moved(each, "suspended"))


@command(app, "resume", "isthmus bridge resume b.example")
def resume(session: Session, bridge: Bridge, reason: Reason = None) -> None:
    """Lift our own suspension."""
    session.show(_act(session, bridge, "resume", reason), lambda each: moved(each, "resumed"))


@command(app, "hold", "isthmus bridge hold b.example --reason 'scans from their prefix'")
def hold(
    session: Session,
    bridge: Bridge,
    reason: Annotated[str, typer.Option(help="Which incident it is; the other side is told.")],
) -> None:
    """Let nothing pass while an incident is looked into."""
    session.show(_act(session, bridge, "hold", reason), lambda each: moved(each, "held"))


@command(app, "release", "isthmus bridge release b.example")
def release(session: Session, bridge: Bridge, reason: Reason = None) -> None:
    """Lift the hold of an incident that is over."""
    session.show(_act(session, bridge, "release", reason), lambda each: moved(each, "released"))


@command(app, "revoke", "isthmus bridge revoke b.example --reason 'the contract ended'")
def revoke(session: Session, bridge: Bridge, reason: Reason = None, yes: Annotated[bool, options.YES] = False) -> None:
    """End a bridge for good, on both sides."""
    ask_confirm(f"Revoke the bridge {bridge}? It ends on both sides; another one has to be accepted again.", yes=yes)
    session.show(_act(session, bridge, "revoke", reason), lambda each: moved(each, "revoked"))


@command(app, "accept-prefixes", "isthmus bridge accept-prefixes b.example fd99:1:2:1::/64")
def accept_prefixes(
    session: Session,
    bridge: Bridge,
    prefixes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CIDR]...", help="The prefixes to let in, all if none are given."),
    ] = None,
) -> None:
    """Choose which prefixes of the other side are let in."""
    answer = session.api.post(f"{path_of(session.api, bridge)}/accept-prefixes", {"prefixes": prefixes or []})
    session.show(answer, lambda each: moved(each, "has its prefixes"))


@command(app, "list", "isthmus bridge list", options=LIST)
def list_all(
    session: Session,
    remote: Annotated[str | None, typer.Option(help="Only those with this remote.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Revoked ones as well.")] = False,
) -> None:
    """List bridges, and how the two sides stand."""
    rows = session.api.items("/bridges", {"remote": remote})
    rows = [each for each in rows if every or each["state"] != "revoked"]
    session.show({"items": rows, "next": None}, lambda page: overview(page["items"], session))


@command(app, "show", "isthmus bridge show b.example", options=LIST)
def show(session: Session, bridge: Bridge) -> None:
    """Show both sides of a bridge, and why nothing may pass."""
    session.show(session.api.get(path_of(session.api, bridge)), details)


@command(app, "status", "isthmus bridge status --watch", options=LIST)
def status(
    session: Session,
    bridge: Annotated[str | None, typer.Argument(metavar="[BRIDGE]", help="One bridge with all that is open.")] = None,
    network: Annotated[str | None, options.OF_NETWORK] = None,
) -> None:
    """Show how bridges stand at this moment.

    Tunnel, last handshake, traffic and lease; of one bridge every rule in force with the grant behind it.
    """
    if bridge is not None:
        found = session.api.get(f"{path_of(session.api, bridge)}/status")
        session.show(found, lambda each: bridge_text.details(each, session.now, session.width))
        return
    chosen = None if network is None else network_id(session.api, network)
    items = session.api.items("/bridge-status", {"network_id": chosen})
    page = {"items": items, "next": None}
    session.show(page, lambda each: bridge_text.overview(each["items"], session.now, session.width))


def _act(session: Session, bridge: str, action: str, reason: str | None) -> Any:
    return session.api.post(f"{path_of(session.api, bridge)}/{action}", without_none({"reason": reason}))


def path_of(api: "Client", name: str) -> str:
    """The path of a bridge by its id, or by its remote where that has one that is not revoked."""
    if found := id_of(name):
        return f"/bridges/{found}"
    live = [each for each in api.items("/bridges", {"remote": name}) if each["state"] != "revoked"]
    if not live:
        raise Failure(f"there is no bridge with {name}", "isthmus bridge list --all shows also those that were revoked")
    if len(live) > 1:
        ids = ", ".join(each["id"] for each in live)
        raise Misuse(f"there are several bridges with {name}", f"name one by its id: {ids}")
    return f"/bridges/{live[0]['id']}"
