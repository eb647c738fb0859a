"""`isthmus peer`: create, list, show, update and delete peers; tokens and configs for their hosts."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import bulk, config_history, options, path_text, peer_text
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.handout import Handout, handout, token_text
from isthmus.cli.lookup import network_id, peer_path
from isthmus.cli.options import with_labels, without_none
from isthmus.cli.session import Session
from isthmus.domain.mesh.peer import Kind

WAIT_SECONDS = 150  # the server itself waits up to two minutes for agents that are away for a moment
POLL_SECONDS = 0.2

app = noun("Peers: the hosts and devices of a network.")


@command(app, "create", "isthmus peer create gw --network office --kind jump --endpoint 198.51.100.7:51820")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A DNS label, for example laptop.")],
    network: Annotated[str, typer.Option(help="Name or id of the network that it joins.")],
    kind: Annotated[Kind, typer.Option(help="jump forwards for others, static has no agent.")] = Kind.DYNAMIC,
    endpoint: Annotated[str | None, options.ENDPOINT] = None,
    public_key: Annotated[str | None, typer.Option(help="Its own key, if a static peer has one.")] = None,
    keep_private_key: Annotated[
        bool, typer.Option("--keep-private-key", help="Let the config of a static peer be shown again later.")
    ] = False,
    address_v4: Annotated[str | None, typer.Option(help="This IPv4 address instead of the next free one.")] = None,
    address_v6: Annotated[str | None, typer.Option(help="This IPv6 address instead of the next free one.")] = None,
    isolated: Annotated[bool, typer.Option("--isolated", help="Reaches jump peers only.")] = False,
    full_encapsulation: Annotated[
        bool, typer.Option("--full-encapsulation", help="Sends all its traffic through the tunnel.")
    ] = False,
    additional_allowed_ips: Annotated[list[str] | None, options.ALLOWED_IPS] = None,
    owner: Annotated[str | None, options.OWNER] = None,
    label: Annotated[list[str] | None, options.LABEL] = None,
    group: Annotated[list[str] | None, options.GROUP] = None,
    token_lifetime: Annotated[int | None, options.LIFETIME] = None,
    output: Annotated[Path | None, options.OUTPUT] = None,
    force: Annotated[bool, options.REPLACE] = False,
    qr: Annotated[bool, options.QR] = False,
) -> None:
    """Create a peer. Shows once what its host needs: an enrollment token, or a static peer's config."""
    if output and kind is not Kind.STATIC:
        raise Misuse("--output is for the config of a static peer", "other peers get an enrollment token")
    body = {
        "name": name,
        "kind": str(kind),
        "endpoint": endpoint,
        "public_key": public_key,
        "keep_private_key": keep_private_key or None,
        "address_v4": address_v4,
        "address_v6": address_v6,
        "isolated": isolated,
        "full_encapsulation": full_encapsulation,
        "additional_allowed_ips": additional_allowed_ips or [],
        "owner": owner,
        "labels": with_labels({}, label or []),
        "groups": group or None,
        "token_lifetime": token_lifetime,
    }
    path = f"/networks/{network_id(session.api, network)}/peers"
    with handout(output, force=force, qr=qr) as where:
        show_created(session, session.api.post(path, without_none(body)), where)


def show_created(session: Session, created: dict[str, Any], where: Handout) -> None:
    """A token is part of the answer; a config is the answer, and all else is said beside it."""
    if config := created["config"]:
        session.note(f"{peer_text.summary(created['peer'])}. Its config is shown only now.")
        where.give(session, config)
    if session.as_json or not config:
        session.show(created, lambda answer: created_text(answer, session.public_url))


def created_text(created: dict[str, Any], server: str | None) -> str:
    text = peer_text.summary(created["peer"])
    return f"{text}\n\n{token_text(created['enrollment'], server)}" if created["enrollment"] else text


@command(app, "list", "isthmus peer list --network office --watch", options=LIST)
def list_all(
    session: Session,
    network: Annotated[str | None, typer.Option(help="Only peers of this network.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only peers of this kind.")] = None,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only peers with TEXT in their name.")] = None,
    enrolled: Annotated[
        bool | None, typer.Option("--enrolled/--not-enrolled", help="Only peers that have, or have not, enrolled.")
    ] = None,
    group: Annotated[str | None, options.IN_GROUP] = None,
    label: Annotated[list[str] | None, options.WITH_LABEL] = None,
) -> None:
    """List peers and their states.

    REV is the revision that was applied, and the one desired. ENDPOINT is as declared, else as a jump peer sees it.
    """
    query = {
        "network": network and network_id(session.api, network),
        "kind": kind and str(kind),
        "search": search,
        "enrolled": None if enrolled is None else str(enrolled).lower(),
        "group": group,
        "label": label or None,
    }
    peers = session.api.items("/peers", query)
    page = {"items": peers, "next": None}
    session.show(page, lambda each: peer_text.overview(each["items"], session.now, session.width))


@command(app, "show", "isthmus peer show laptop")
def show(
    session: Session, name: Annotated[str, options.PEER], network: Annotated[str | None, options.OF_NETWORK] = None
) -> None:
    """Show one peer: its settings and what is known of its host."""
    peer = session.api.get(peer_path(session.api, name, network))
    session.show(peer, lambda each: peer_text.details(each, session.now))


@command(app, "update", "isthmus peer update laptop --isolated")
def update(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    endpoint: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where it is reached; '' for none.")] = None,
    public_key: Annotated[str | None, typer.Option(help="New key of a static peer.")] = None,
    isolated: Annotated[bool | None, typer.Option("--isolated/--no-isolated", help="Reaches jump peers only.")] = None,
    full_encapsulation: Annotated[
        bool | None,
        typer.Option("--full-encapsulation/--no-full-encapsulation", help="Sends all traffic through the tunnel."),
    ] = None,
    additional_allowed_ips: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="All subnets behind it, one option each; '' for none.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose it is; '' for nobody's.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a label; KEY= takes it away.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="All its groups, one option each; '' for none.")
    ] = None,
) -> None:
    """Change a peer. Its host and all others follow by themselves; what is not given stays as it is."""
    path = peer_path(session.api, name, network)
    present = session.api.read(path)
    given = {
        "name": new_name,
        "endpoint": endpoint,
        "public_key": public_key,
        "isolated": isolated,
        "full_encapsulation": full_encapsulation,
        "owner": owner,
    }
    # An empty text is how a command line says "none".
    change: dict[str, Any] = {key: value if value != "" else None for key, value in given.items() if value is not None}
    if additional_allowed_ips:
        change["additional_allowed_ips"] = [cidr for cidr in additional_allowed_ips if cidr]
    if group:
        change["groups"] = [name for name in group if name]
    if label:
        change["labels"] = with_labels(present.body["labels"], label)
    if not change:
        raise Misuse("nothing to change was given", "isthmus peer update --help lists what can be")
    session.show(session.api.patch(path, change, present.etag), lambda each: peer_text.details(each, session.now))


@command(app, "paths", "isthmus peer paths laptop --watch", options=LIST)
def paths(
    session: Session, name: Annotated[str, options.PEER], network: Annotated[str | None, options.OF_NETWORK] = None
) -> None:
    """Show how a peer reaches each other one.

    Directly or through which jump peer, since when, and how long an answer takes. RECEIVED and SENT are the peer's own.
    """
    found = session.api.items(f"{peer_path(session.api, name, network)}/paths")
    page = {"items": found, "next": None}
    session.show(page, lambda each: path_text.overview(each["items"], session.now, session.width))


@command(app, "delete", "isthmus peer delete laptop")
def delete(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if it is the last jump peer others need.")] = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Delete a peer. Its session ends and every other peer forgets its key."""
    path = peer_path(session.api, name, network)
    confirm(f"Delete peer {name}?", yes=yes)
    session.api.delete(path, {"force": "true" if force else None})
    session.show({"deleted": path.rpartition("/")[2]}, lambda _: f"peer {name} is deleted")


@command(app, "token", "isthmus peer token laptop --lifetime 2h")
def token(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    lifetime: Annotated[int | None, options.LIFETIME] = None,
) -> None:
    """Make a new enrollment token for a peer. The one before ends."""
    path = peer_path(session.api, name, network)
    answer = session.api.post(f"{path}/enrollment-token", {} if lifetime is None else {"lifetime": lifetime})
    session.show(answer, lambda each: token_text(each, session.public_url))


@command(app, "config", "isthmus peer config phone --output phone.conf")
def config(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    output: Annotated[Path | None, options.OUTPUT] = None,
    force: Annotated[bool, options.REPLACE] = False,
    qr: Annotated[bool, options.QR] = False,
) -> None:
    """Show the config of a static peer again. Its key must have been kept, or be its owner's."""
    path = peer_path(session.api, name, network)
    with handout(output, force=force, qr=qr) as where:
        show_config(session, session.api.get(f"{path}/config"), where)


@command(app, "regenerate", "isthmus peer regenerate phone --output phone.conf")
def regenerate(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    output: Annotated[Path | None, options.OUTPUT] = None,
    force: Annotated[bool, options.REPLACE] = False,
    qr: Annotated[bool, options.QR] = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Make a new key and config for a static peer. The present one stops working."""
    path = peer_path(session.api, name, network)
    confirm(f"Replace the key of {name}? Its present config stops working.", yes=yes)
    with handout(output, force=force, qr=qr) as where:
        show_config(session, session.api.post(f"{path}/config/regenerate"), where)


@command(app, "rotate-key", "isthmus peer rotate-key laptop --wait")
def rotate_key(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the new key is in use.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also a jump peer's, though static peers then need a new config.")
    ] = False,
) -> None:
    """Have a peer's agent change its key. Traffic goes on; an agent that is away does it when it connects."""
    path = peer_path(session.api, name, network)
    answer = session.api.post(f"{path}/rotate-key", query={"force": "true" if force else None})
    if wait and answer["waits_for"] in {None, "others"}:
        answer["new_public_key"] = await_key(session, path, answer["public_key"])
    session.show(answer, peer_text.rotation)


def await_key(session: Session, path: str, old: str) -> str:
    """The key of a peer once it is another than `old`."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        present = session.api.get(path)["public_key"]
        if present != old:
            return str(present)
        time.sleep(POLL_SECONDS)
    hint = "the agent does it as soon as it can: isthmus peer show tells when the key changed"
    raise Failure(f"the key did not change within {WAIT_SECONDS} s", hint)


@command(app, "revoke-session", "isthmus peer revoke-session laptop")
def revoke_session(
    session: Session,
    name: Annotated[str, options.PEER],
    network: Annotated[str | None, options.OF_NETWORK] = None,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """End the session of a peer's agent at once.

    Its host takes the tunnel down, and needs a new token to return. The peer stays in the configs of others: to lock
    out a host that is not under your control, delete the peer.
    """
    path = peer_path(session.api, name, network)
    confirm(f"End the session of {name}? Its tunnel goes down until it enrolls again.", yes=yes)
    session.api.delete(f"{path}/session")
    done = f"the session of {name} is over; to let its host return: isthmus peer token {name}"
    session.show({"revoked": path.rpartition("/")[2]}, lambda _: done)


def show_config(session: Session, config: dict[str, Any], where: Handout) -> None:
    where.give(session, config)
    if session.as_json:
        session.show(config, str)


app.registered_commands += [*bulk.app.registered_commands, *config_history.app.registered_commands]
