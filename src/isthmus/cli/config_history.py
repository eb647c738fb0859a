"""`isthmus peer config-history|config-at|config-diff`: what a peer was told, and when it changed."""

from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.command import command, lone
from isthmus.cli.errors import Misuse
from isthmus.cli.lookup import peer_path
from isthmus.cli.session import Session
from isthmus.cli.text import Column, second, table

PAGE = 500

# Its verbs become verbs of `isthmus peer`.
app = lone()

Revision = Annotated[int, typer.Argument(min=1, metavar="REVISION", help="A revision of the peer's network.")]


@command(app, "config-history", "isthmus peer config-history laptop")
def config_history(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many revisions.")] = 20,
) -> None:
    """List the revisions that changed what a peer is told."""
    path = f"{peer_path(session.api, name, network)}/config-revisions"
    items: list[dict[str, Any]] = []
    before = None
    while True:
        page = session.api.get(path, {"limit": min(limit - len(items), PAGE), "before": before})
        items += page["items"]
        before = page["next"]
        if before is None or len(items) >= limit:
            break
    session.show(page | {"items": items}, lambda each: overview(each, session.width))


def overview(page: dict[str, Any], width: int | None) -> str:
    begins = "" if page["next"] else f"\n\nThe history of its network begins at revision {page['begins']}."
    return _caused(page["items"], width) + begins


def _caused(revisions: list[dict[str, Any]], width: int | None) -> str:
    columns = [Column("REVISION"), Column("TIME (UTC)"), Column("EVENT"), Column("OF", may_shrink=True)]
    rows = [(each["revision"], second(each["at"]), each["event"], each["subject"]) for each in revisions]
    return table(columns, rows, width)


@command(app, "config-at", "isthmus peer config-at laptop 17")
def config_at(
    session: Session,
    name: Annotated[str, options.PEER],
    revision: Revision,
    network: Annotated[str | None, options.OF_NETWORK] = None,
) -> None:
    """Show what a peer was told at a revision.

    It is shown in wg-quick's syntax; private keys are never part of it.
    """
    answer = session.api.get(f"{peer_path(session.api, name, network)}/config-revisions/{revision}")
    session.show(answer, lambda each: str(each["text"]).rstrip("\n"))


@command(app, "config-diff", "isthmus peer config-diff laptop 17 21")
def config_diff(
    session: Session,
    name: Annotated[str, options.PEER],
    start: Annotated[int, typer.Argument(min=1, metavar="FROM", help="The older revision.")],
    to: Annotated[int | None, typer.Argument(min=1, metavar="TO", help="Default: the present revision.")] = None,
    network: Annotated[str | None, options.OF_NETWORK] = None,
) -> None:
    """Show how what a peer was told at two revisions differs."""
    if to is not None and to < start:
        raise Misuse("the second revision is older than the first", f"isthmus peer config-diff {name} {to} {start}")
    path = f"{peer_path(session.api, name, network)}/config-revisions/{start}/diff"
    session.show(session.api.get(path, {"to": to}), lambda answer: difference(answer, session.width))


def difference(answer: dict[str, Any], width: int | None) -> str:
    """What is another line, after what made it so."""
    diff = str(answer["diff"]).rstrip("\n")
    if not diff:
        return f"nothing changed for it from revision {answer['start']} to {answer['to']}"
    return f"{_caused(answer['causes'], width)}\n\n{diff}" if answer["causes"] else diff
