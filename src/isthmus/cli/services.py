"""`isthmus service`: addresses and ports of our networks that grants can open to remotes."""

from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.grant_text import service as details
from isthmus.cli.grant_text import services as overview
from isthmus.cli.lookup import network_id, service_id
from isthmus.cli.options import without_none
from isthmus.cli.session import Session

app = noun("Services: addresses and ports that can be granted to remotes.")

Name = Annotated[str, typer.Argument(metavar="SERVICE", help="Name or id of the service.")]
Ports = Annotated[
    list[str] | None, typer.Option("--port", metavar="P[-Q]", help="A port or a range; may be given more than once.")
]
Protocol = Annotated[str | None, typer.Option(metavar="tcp|udp", help="tcp if not given.")]
Address = Annotated[str | None, typer.Option(help="Where it is: an address of the network, or behind a peer of it.")]
Note = Annotated[str | None, typer.Option(help="What it is.")]


@command(app, "create", "isthmus service create wiki --network office --address 10.20.0.9 --port 443")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS label, for example wiki.")],
    network: Annotated[str, typer.Option(metavar="NETWORK", help="The network that it is in.")],
    address: Annotated[str, typer.Option(help="Where it is: an address of the network, or behind a peer of it.")],
    port: Ports = None,
    protocol: Protocol = None,
    note: Note = None,
) -> None:
    """Name an address and ports, so that they can be granted. By itself it opens nothing."""
    given: dict[str, Any] = {"name": name, "network_id": network_id(session.api, network), "address": address}
    given |= {"ports": port or [], "protocol": protocol, "note": note}
    session.show(session.api.post("/services", without_none(given)), details)


@command(app, "list", "isthmus service list --network office", options=LIST)
def list_all(
    session: Session,
    network: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only of this network.")] = None,
) -> None:
    """List services."""
    wanted = None if network is None else network_id(session.api, network)
    rows = session.api.items("/services", {"network": wanted})
    names = {each["id"]: each["name"] for each in session.api.items("/networks")}
    session.show({"items": rows, "next": None}, lambda page: overview(page["items"], names, session.width))


@command(app, "show", "isthmus service show wiki")
def show(session: Session, name: Name) -> None:
    """Show one service."""
    session.show(session.api.get(path_of(session, name)), details)


@command(app, "set", "isthmus service set wiki --port 443 --port 8000-8080")
def set_(
    session: Session,
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    address: Address = None,
    port: Ports = None,
    protocol: Protocol = None,
    note: Note = None,
) -> None:
    """Change a service; the grants that name it follow."""
    change = without_none({"name": new_name, "address": address, "ports": port, "protocol": protocol, "note": note})
    if not change:
        raise Misuse("nothing to change was given", "isthmus service set --help lists what can be")
    path = path_of(session, name)
    session.show(session.api.patch(path, change, session.api.read(path).etag), details)


@command(app, "delete", "isthmus service delete wiki")
def delete(session: Session, name: Name, yes: Annotated[bool, options.YES] = False) -> None:
    """Delete a service that no live grant names."""
    path = path_of(session, name)
    confirm(f"Delete service {name}?", yes=yes)
    session.api.delete(path)
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"service {name} is deleted")


def path_of(session: Session, name: str) -> str:
    return f"/services/{service_id(session.api, name)}"
