"""`isthmus token`: API tokens for scripts and other machines."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.lookup import token_path
from isthmus.cli.session import Session
from isthmus.cli.text import Column, age, minute, table

app = noun("API tokens for scripts and other machines.")


class Scope(StrEnum):
    READ = "read"
    PEERS = "peers"
    WRITE = "write"
    ADMIN = "admin"
    AUDIT = "audit"
    ACCOUNTS = "accounts"
    METRICS = "metrics"


@command(app, "create", "isthmus token create backup --scope read --lifetime 30d")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given more than once.")],
    lifetime: Annotated[int | None, options.LIFETIME] = None,
) -> None:
    """Create an API token; it is shown once."""
    body = {"name": name, "scopes": [str(each) for each in scope], "lifetime": lifetime}
    session.show(session.api.post("/tokens", body), created)


@command(app, "list", "isthmus token list", options=LIST)
def list_all(session: Session) -> None:
    """List your API tokens by their prefixes. The tokens themselves are not stored."""
    tokens = session.api.items("/tokens")

    def text(page: dict[str, Any]) -> str:
        if not page["items"]:
            return "no API tokens yet: isthmus token create backup --scope read"
        titles = [Column("NAME"), Column("PREFIX"), Column("SCOPES"), Column("EXPIRES"), Column("LAST USED")]
        rows = [
            (each["name"], each["prefix"], each["scopes"], _end(each), age(each["last_used_at"], session.now))
            for each in page["items"]
        ]
        return table(titles, rows, session.width)

    session.show({"items": tokens, "next": None}, text)


@command(app, "delete", "isthmus token delete backup")
def delete(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="TOKEN", help="Name, prefix or id of the token.")],
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Revoke an API token; it ends at once."""
    path = token_path(session.api, name)
    confirm(f"Revoke API token {name}?", yes=yes)
    session.api.delete(path)
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"API token {name} is revoked")


def created(token: dict[str, Any]) -> str:
    scopes = ", ".join(token["scopes"])
    return (
        f"API token {token['name']} ({scopes}), valid until: {_end(token)}. It is shown only now:\n\n"
        f"{token['token']}\n\n"
        "Scripts pass it in the environment: ISTHMUS_SERVER=URL ISTHMUS_TOKEN=… isthmus peer list"
    )


def _end(token: dict[str, Any]) -> str:
    return minute(token["expires_at"]) if token["expires_at"] else "never"
