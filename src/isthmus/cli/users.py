"""`isthmus user`: the people of this backend, who may see them, and people of others."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.lookup import id_of
from isthmus.cli.options import without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, fields, minute, table
from isthmus.domain.federation.directory import Visibility

if TYPE_CHECKING:
    from isthmus.cli.client import Client

app = noun("Users: the people of this backend as others may see them. They have no account here.")

Who = Annotated[str, typer.Argument(metavar="USER", help="Handle or id of the user.")]
Name = Annotated[str | None, typer.Option("--name", help="Name for people to read, for example 'Alice Liddell'.")]
SEEN = "Who may see the user: nobody, who knows the handle, or who searches."
Seen = Annotated[Visibility | None, typer.Option("--visibility", help=SEEN)]


@command(app, "create", "isthmus user create alice --name 'Alice Liddell' --visibility search")
def create(
    session: Session,
    handle: Annotated[str, typer.Argument(metavar="HANDLE", help="What comes before the @, for example alice.")],
    name: Name = None,
    visibility: Seen = None,
) -> None:
    """Put a person into the directory. Whoever knows the handle may see it, unless told otherwise."""
    body = {"handle": handle, "display_name": name, "visibility": visibility and visibility.value}
    session.show(session.api.post("/users", without_none(body)), details)


@command(app, "list", "isthmus user list", options=LIST)
def list_all(session: Session) -> None:
    """List the people of this backend."""
    users = session.api.items("/users")
    session.show({"items": users, "next": None}, lambda page: overview(page["items"], session.width))


@command(app, "show", "isthmus user show alice")
def show(session: Session, user: Who) -> None:
    """Show one person of this backend."""
    session.show(session.api.get(user_path(session.api, user)), details)


@command(app, "set", "isthmus user set alice --remote c.example=nobody")
def set_(
    session: Session,
    user: Who,
    handle: Annotated[str | None, typer.Option(help="New handle.")] = None,
    name: Name = None,
    visibility: Seen = None,
    remote: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOMAIN=VISIBILITY",
            help="What one remote may see; DOMAIN= for what all see. May be given more than once.",
        ),
    ] = None,
) -> None:
    """Change a person, or who may see it."""
    overrides = [override_of(text) for text in remote or ()]
    body = {"handle": handle, "display_name": name, "visibility": visibility and visibility.value}
    change = without_none(body)
    if not change and not overrides:
        raise Misuse("nothing to change was given", "isthmus user set --help lists what can be")
    path = user_path(session.api, user)
    shown: Any = None
    if change:
        shown = session.api.patch(path, change, session.api.read(path).etag)
    for domain, seen in overrides:
        method, body_ = ("DELETE", None) if seen is None else ("PUT", {"visibility": seen})
        shown = session.api.call(method, f"{path}/visibility/{domain}", body=body_).body
    session.show(shown, details)


@command(app, "delete", "isthmus user delete alice")
def delete(session: Session, user: Who, yes: Annotated[bool, options.YES] = False) -> None:
    """Take a person out of the directory."""
    path = user_path(session.api, user)
    confirm(f"Delete user {user}?", yes=yes)
    session.api.delete(path)
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"user {user} is deleted")


@command(app, "lookup", "isthmus user lookup alice@b.example")
def lookup(
    session: Session,
    handle: Annotated[str, typer.Argument(metavar="HANDLE@DOMAIN", help="Whom, for example alice@b.example.")],
) -> None:
    """Ask a backend for one of its people. It answers if that one may be seen from here."""
    session.show(session.api.get("/directory/lookup", {"handle": handle}), profile)


@command(app, "search", "isthmus user search ali --at b.example")
def search(
    session: Session,
    begins: Annotated[str, typer.Argument(metavar="TEXT", help="What the handle or name begins with.")],
    at: Annotated[str, typer.Option(metavar="DOMAIN", help="The backend that is asked, for example b.example.")],
) -> None:
    """Search the people of another backend."""
    found = session.api.get("/directory/search", {"begins": begins, "domain": at})
    session.show(found, lambda page: matches(page["items"], session.width))


def user_path(api: "Client", name: str) -> str:
    if found := id_of(name):
        return f"/users/{found}"
    for user in api.items("/users", {"handle": name}):
        return f"/users/{user['id']}"
    raise Failure(f"there is no user {name}", "isthmus user list shows those that exist")


def override_of(text: str) -> tuple[str, str | None]:
    """`domain=visibility`, or `domain=` for none of its own."""
    domain, equals, seen = text.partition("=")
    if not domain or not equals or "/" in domain or (seen and seen not in set(Visibility)):
        known = ", ".join(Visibility)
        raise Misuse(f"{text!r} is no setting for a remote", f"write DOMAIN=VISIBILITY, which is one of: {known}")
    return domain, seen or None


def details(user: dict[str, Any]) -> str:
    pairs: list[tuple[str, object]] = [
        ("id", user["id"]),
        ("handle", user["handle"]),
        ("name", user["display_name"]),
        ("visibility", user["visibility"]),
        *((f"for {remote}", seen) for remote, seen in user["overrides"].items()),
        ("created", minute(user["created_at"])),
    ]
    return fields(pairs)


def profile(found: dict[str, Any]) -> str:
    handle = f"{found['handle']}@{found['domain']}"
    return fields([("user", handle), ("name", found["display_name"]), ("id", f"{found['id']} at {found['domain']}")])


def matches(found: list[dict[str, Any]], width: int | None) -> str:
    if not found:
        return "nobody there begins so, or may be searched for from here"
    columns = [Column("USER"), Column("NAME", may_shrink=True), Column("ID")]
    rows = [(f"{each['handle']}@{each['domain']}", each["display_name"], each["id"]) for each in found]
    return table(columns, rows, width)


def overview(users: list[dict[str, Any]], width: int | None) -> str:
    if not users:
        return "no users yet: isthmus user create alice --name 'Alice Liddell'"
    columns = [Column("HANDLE"), Column("NAME", may_shrink=True), Column("VISIBILITY"), Column("REMOTES")]
    rows = [
        (user["handle"], user["display_name"], user["visibility"], len(user["overrides"]) or None) for user in users
    ]
    return table(columns, rows, width)
