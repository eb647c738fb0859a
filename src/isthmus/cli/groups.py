"""`isthmus group`: which groups there are. Peers are put into them with `isthmus peer create|update --group`."""

from typing import Annotated, Any

import typer

from isthmus.cli.command import LIST, command, noun
from isthmus.cli.lookup import network_id
from isthmus.cli.session import Session
from isthmus.cli.text import Column, table

app = noun("Groups: names that peers share. Peers are put into them with isthmus peer create|update --group.")


@command(app, "list", "isthmus group list --network office", options=LIST)
def list_all(
    session: Session,
    network: Annotated[str | None, typer.Option(help="Only groups of this network.")] = None,
) -> None:
    """List groups: how many peers are in each. A group is there as long as a peer is in it."""
    groups = session.api.items("/groups", {"network": network and network_id(session.api, network)})
    session.show({"items": groups, "next": None}, lambda page: overview(page["items"], session.width))


def overview(groups: list[dict[str, Any]], width: int | None) -> str:
    if not groups:
        return "no groups yet: isthmus peer update laptop --group NAME"
    columns = [Column("NETWORK"), Column("GROUP"), Column("PEERS")]
    return table(columns, [(each["network"]["name"], each["name"], each["peers"]) for each in groups], width)
