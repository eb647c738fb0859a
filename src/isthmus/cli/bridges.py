"""`isthmus bridge`: agreements with remotes to join a network of ours with one of theirs."""

from typing import Annotated

import typer

from isthmus.cli import bridge_text, options
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.lookup import network_id
from isthmus.cli.session import Session

app = noun("Bridges: agreements with remotes to join a network of ours with one of theirs.")


@command(app, "status", "isthmus bridge status --watch", options=LIST)
def status(
    session: Session,
    bridge: Annotated[str | None, typer.Argument(metavar="[ID]", help="One bridge with all that is open.")] = None,
    network: Annotated[str | None, options.OF_NETWORK] = None,
) -> None:
    """Show how bridges stand at this moment.

    Tunnel, last handshake, traffic and lease; of one bridge every rule in force with the grant behind it.
    """
    if bridge is not None:
        found = session.api.get(f"/bridges/{bridge}/status")
        session.show(found, lambda each: bridge_text.details(each, session.now, session.width))
        return
    chosen = None if network is None else network_id(session.api, network)
    items = session.api.items("/bridge-status", {"network_id": chosen})
    page = {"items": items, "next": None}
    session.show(page, lambda each: bridge_text.overview(each["items"], session.now, session.width))
