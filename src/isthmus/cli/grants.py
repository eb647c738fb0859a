"""`isthmus grant`: what somebody of a remote may do with a resource of ours, and what remotes let ours do."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.grant_text import details, explained, held, issued, overview
from isthmus.cli.lookup import network_id, service_id
from isthmus.cli.options import without_none
from isthmus.cli.session import Session

app = noun("Grants: what somebody of a remote may do here.")

Grant = Annotated[str, typer.Argument(metavar="GRANT", help="Id of the grant.")]
Subject = Annotated[str, typer.Option("--to", metavar="SUBJECT", help="To whom, for example bob@b.example.")]
Resource = Annotated[
    str | None, typer.Option("--resource", metavar="ID", help="Id of the one resource; name for network and service.")
]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scopes", metavar="SCOPE[,SCOPE]", help="Of read, write, admin, migrate and connect."),
]
Instances = Annotated[
    list[str] | None, typer.Option("--instance", metavar="UUID", help="Only this instance; may be given more often.")
]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", metavar="NETWORK", help="Only over this network of ours; may be given more often."),
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="CIDR", help="Only from here; may be given more often.")
]
Expires = Annotated[
    int | None, typer.Option(parser=options.read_duration, metavar="DURATION", help="How long, 30d if not given.")
]
Disclose = Annotated[
    str | None, typer.Option(metavar="LEVEL", help="What a denial tells of the lists: grantee, count or none.")
]
Note = Annotated[str | None, typer.Option(help="What it is for.")]
Overlap = Annotated[
    int, typer.Option(parser=options.read_duration, metavar="DURATION", help="How long the old token still works.")
]
REMOTE = typer.Option(metavar="DOMAIN", help="Only of this remote.")


@command(app, "create", "isthmus grant create --to bob@b.example --kind service --resource wiki --scopes connect,read")
def create(
    session: Session,
    to: Subject,
    kind: Annotated[str, typer.Option(metavar="KIND", help="network, peer, service, directory, or an extension's.")],
    resource: Resource = None,
    scopes: Scopes = None,
    instance: Instances = None,
    network: Networks = None,
    source: Sources = None,
    expires: Expires = None,
    disclose: Disclose = None,
    note: Note = None,
) -> None:
    """Grant a resource to somebody of a remote.

    Without --resource it is every one of its kind. The token is shown once.
    """
    given: dict[str, Any] = {"subject": to, "kind": kind, "resource_id": resource_of(session, kind, resource)}
    given |= {"scopes": scopes_of(scopes) or [], "instances": instance, "sources": source}
    given |= {"disclose": disclose, "note": note}
    given |= {"networks": networks_of(session, network), "expires_at": moment_in(expires)}
    session.show(session.api.post("/grants", without_none(given)), issued)


@command(app, "list", "isthmus grant list --remote b.example", options=LIST)
def list_all(
    session: Session,
    remote: Annotated[str | None, REMOTE] = None,
    holding: Annotated[bool, typer.Option("--held", help="Those that remotes have given to ours.")] = False,
) -> None:
    """List grants, with --held those of remotes to ours."""
    rows = session.api.items("/grants/held" if holding else "/grants", {"remote": remote})
    show_rows = held if holding else overview
    session.show({"items": rows, "next": None}, lambda page: show_rows(page["items"], session.width))


@command(app, "show", "isthmus grant show 01890a5d-ac96-774b-bcce-b302099a8057")
def show(session: Session, grant: Grant) -> None:
    """Show a grant, and which tokens of it may still be used."""
    session.show(session.api.get(f"/grants/{grant}"), details)


@command(app, "set", "isthmus grant set 01890a5d-ac96-774b-bcce-b302099a8057 --source fd00:abcd:1234::/48")
def set_(
    session: Session,
    grant: Grant,
    scopes: Scopes = None,
    instance: Instances = None,
    network: Networks = None,
    source: Sources = None,
    any_instance: Annotated[bool, typer.Option("--any-instance", help="Open that axis.")] = False,
    any_network: Annotated[bool, typer.Option("--any-network", help="Open that axis.")] = False,
    any_source: Annotated[bool, typer.Option("--any-source", help="Open that axis.")] = False,
    expires: Expires = None,
    disclose: Disclose = None,
    note: Note = None,
) -> None:
    """Change a grant. A list that is given replaces the one before; '' empties it, and then it admits nobody."""
    given = {"scopes": scopes_of(scopes), "expires_at": moment_in(expires), "disclose": disclose, "note": note}
    change = without_none(given)
    lists = {
        "instances": (instance, any_instance),
        "networks": (networks_of(session, network), any_network),
        "sources": (source, any_source),
    }
    for name, (entries, is_open) in lists.items():
        if entries is not None and is_open:
            raise Misuse(f"{name} are both listed and opened", "give one of the two")
        if entries is not None:
            change[name] = [each for each in entries if each]
        if is_open:
            change[name] = None
    if not change:
        raise Misuse("nothing to change was given", "isthmus grant set --help lists what can be")
    path = f"/grants/{grant}"
    session.api.patch(path, change, session.api.read(path).etag)
    session.show(session.api.get(path), details)


@command(app, "revoke", "isthmus grant revoke 01890a5d-ac96-774b-bcce-b302099a8057 --reason 'project is over'")
def revoke(
    session: Session,
    grant: Grant,
    reason: Annotated[str, typer.Option(help="Why, for the record; the remote is not told.")],
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Take a grant back, at once and for good."""
    confirm(f"Revoke grant {grant}?", yes=yes)
    answer = session.api.post(f"/grants/{grant}/revoke", {"reason": reason})
    session.show(answer, lambda each: f"grant {each['id']} is revoked")


@command(app, "rotate", "isthmus grant rotate 01890a5d-ac96-774b-bcce-b302099a8057 --overlap 1h")
def rotate(session: Session, grant: Grant, overlap: Overlap = 0) -> None:
    """Make a new token, which is shown once. The ones before end, after the overlap."""
    session.show(session.api.post(f"/grants/{grant}/rotate", {"overlap": overlap}), issued)


@command(app, "drop-token", "isthmus grant drop-token 01890a5d-ac96-774b-bcce-b302099a8057 Zk3v9QpL0aBc")
def drop_token(
    session: Session,
    grant: Grant,
    public_id: Annotated[str, typer.Argument(metavar="PUBLIC-ID", help="Of the token, as grant show lists it.")],
) -> None:
    """End one token of a grant at once; the others work on."""
    session.api.delete(f"/grants/{grant}/tokens/{public_id}")
    session.show({"dropped": public_id}, lambda _: f"token {public_id} is dropped")


@command(app, "explain", "isthmus grant explain 01890a5d-ac96-774b-bcce-b302099a8057 --request-id 0197…")
def explain(
    session: Session,
    grant: Grant,
    request_id: Annotated[str | None, typer.Option(metavar="ID", help="Of a call that was made.")] = None,
    instance: Annotated[str | None, typer.Option(metavar="UUID", help="A call by this instance.")] = None,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Over this network of ours, or wan.")] = None,
    source: Annotated[str | None, typer.Option(metavar="ADDRESS", help="From this address.")] = None,
    resource: Annotated[str | None, typer.Option(metavar="ID", help="For this resource.")] = None,
    scope: Annotated[str | None, typer.Option(help="That needs this scope.")] = None,
) -> None:
    """Tell why a call was, or would be, denied.

    A call that was made is named by its request id, as its caller was told it.
    """
    given: dict[str, Any] = {"request_id": request_id, "instance": instance, "source": source}
    given |= {"network": overlay_of(session, network), "resource_id": resource, "scope": scope}
    if request_id is not None and any(value is not None for name, value in given.items() if name != "request_id"):
        raise Misuse("a request id names a call with all its facts", "leave out the facts, or the request id")
    session.show(session.api.post(f"/grants/{grant}/explain", without_none(given)), explained)


def resource_of(session: Session, kind: str, named: str | None) -> str | None:
    """The id of a resource; people know networks and services by name."""
    if named is None:
        return None
    lookup = {"network": network_id, "service": service_id}.get(kind)
    return named if lookup is None else lookup(session.api, named)


def scopes_of(given: list[str] | None) -> list[str] | None:
    return None if given is None else [name.strip() for text in given for name in text.split(",")]


def networks_of(session: Session, named: list[str] | None) -> list[str] | None:
    return None if named is None else [network_id(session.api, each) if each else "" for each in named]


def overlay_of(session: Session, named: str | None) -> str | None:
    return named if named in (None, "wan") else network_id(session.api, named)


def moment_in(seconds: int | None) -> str | None:
    return None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
