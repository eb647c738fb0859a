"""`isthmus peer import|export|update-many|delete-many`: many peers at once, all of them or none."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.bulk_files import MOST_ROWS, Action, Format, Operations, Row, read, row_of, written
from isthmus.cli.command import command, lone
from isthmus.cli.errors import Failure, Misuse, Refused
from isthmus.cli.handout import Handout, handout
from isthmus.cli.lookup import network_id
from isthmus.cli.options import with_labels, without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, minute, table
from isthmus.domain.mesh.peer import Kind

MOST_BYTES = 1024 * 1024

# Its verbs become verbs of `isthmus peer`.
app = lone()

Network = Annotated[str, typer.Option(help="Name or id of the network.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and show what would happen.")]
OfKind = Annotated[Kind | None, typer.Option(help="Only peers of this kind.")]
Search = Annotated[str | None, typer.Option(metavar="TEXT", help="Only peers with TEXT in their name.")]
All = Annotated[bool, typer.Option("--all", help="All peers of the network.")]


@command(app, "import", "isthmus peer import peers.csv --network office --dry-run")
def import_file(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv with a line of titles, or a .json array.")],
    network: Network,
    dry_run: DryRun = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tokens and configs to FILE, as JSON, mode 0600.")
    ] = None,
    force: Annotated[bool, options.REPLACE] = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Create, update and delete peers as a file says.

    All rows are done or, if one is wrong, none.

    Columns: action (create, update, delete), name, new_name, kind, endpoint, public_key, keep_private_key, address_v4,
    address_v6, isolated, full_encapsulation, additional_allowed_ips, owner, labels, groups, token_lifetime, version,
    force. Lists have ; in between, labels are key=value, an empty cell says nothing and - says none.
    """
    asked = read(_text_of(file), _format_of(file))
    path = f"/networks/{network_id(session.api, network)}/peers/bulk"
    if gone := sum(body.get("action") == "delete" for body in asked.bodies):
        confirm(f"Delete {gone} peers?", yes=yes or dry_run)
    with handout(output, force=force, qr=False) as where:
        answer = send(session, path, asked, dry_run=dry_run)
        show_done(session, answer, where)
    if output and (count := sum(bool(row["enrollment"] or row["config"]) for row in answer["rows"])):
        session.note(f"The tokens and configs of {count} new peers are in {output}.")


def _format_of(file: Path) -> Format:
    try:
        return Format(file.suffix.removeprefix(".").lower())
    except ValueError:
        raise Misuse(f"{file.name} is neither .csv nor .json") from None


def _text_of(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            text = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Misuse(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{file} is not UTF-8 text") from None
    if len(text) > MOST_BYTES:
        raise Misuse(f"{file} is larger than {MOST_BYTES} bytes", f"at most {MOST_ROWS} rows can be all or nothing")
    return text


def send(session: Session, path: str, asked: Operations, *, dry_run: bool) -> Any:
    """The answer to a bulk. What is refused is told by its place in the file."""
    try:
        return session.api.post(path, {"operations": asked.bodies, "dry_run": dry_run})
    except Refused as refused:
        raise Refused(placed(refused.problem, asked.places)) from None


def placed(problem: dict[str, Any], places: list[str]) -> dict[str, Any]:
    """`problem` with `where` beside each pointer that leads to a row."""
    errors = [dict(error) for error in problem.get("errors") or ()]
    for error in errors:
        parts = str(error.get("pointer", "")).split("/")
        if parts[:2] == ["", "operations"] and len(parts) > 2 and parts[2].isdigit() and int(parts[2]) < len(places):
            error["where"] = places[int(parts[2])]
    return problem | ({"errors": errors} if errors else {})


def show_done(session: Session, answer: dict[str, Any], where: Handout) -> None:
    """What happened, row by row; secrets go into the file if there is one, and are part of the answer else."""
    secrets = [row for row in answer["rows"] if row["enrollment"] or row["config"]]
    if where.file is not None:
        json.dump(secrets, where.file, indent=2)
        where.file.write("\n")
        hidden = {"enrollment": None, "config": None}
        answer = answer | {"rows": [row | hidden for row in answer["rows"]]}
        secrets = []
    session.show(answer, lambda each: "\n\n".join([done_text(each, session.width), *map(secret_text, secrets)]))


def done_text(answer: dict[str, Any], width: int | None) -> str:
    # In a dry run the words tell what did not happen.
    columns = [Column("WOULD BE" if answer["dry_run"] else "RESULT"), Column("NAME"), Column("KIND"), Column("ADDRESS")]
    rows = [
        (row["result"], row["peer"]["name"], row["peer"]["kind"], next(iter(row["peer"]["addresses"]), None))
        for row in answer["rows"]
    ]
    counted = Counter(row["result"] for row in answer["rows"])
    total = ", ".join(f"{count} {result}" for result, count in counted.items())
    said = f"This would happen: {total}. Nothing was changed." if answer["dry_run"] else f"Done: {total}."
    return f"{table(columns, rows, width)}\n\n{said}"


def secret_text(row: dict[str, Any]) -> str:
    """What the owner of a new peer needs; it is shown once."""
    name = row["peer"]["name"]
    if row["enrollment"]:
        until = minute(row["enrollment"]["expires_at"])
        return f"# {name}: enrollment token, valid until {until}, shown only now\n{row['enrollment']['token']}"
    return f"# {name}: {row['config']['filename']}, shown only now\n{row['config']['text'].rstrip()}"


@command(app, "export", "isthmus peer export --network office --format csv")
def export(
    session: Session,
    network: Network,
    kind: Annotated[Format, typer.Option("--format", help="Of the file.")] = Format.CSV,
    action: Annotated[Action, typer.Option(help="What the rows shall do when they are imported.")] = Action.CREATE,
    addresses: Annotated[bool, typer.Option("--addresses", help="Keep the addresses in the rows.")] = False,
) -> None:
    """Print the peers of a network as a file that import takes. No key of a host and no token is in it."""
    peers = session.api.items("/peers", {"network": network_id(session.api, network)})
    rows = [row_of(peer, action, addresses=addresses) for peer in peers]
    session.show(rows, lambda each: written(each, kind).rstrip("\n"))


@command(app, "update-many", "isthmus peer update-many --network office --group staff --isolated")
def update_many(
    session: Session,
    network: Network,
    group: Annotated[str | None, options.IN_GROUP] = None,
    label: Annotated[list[str] | None, options.WITH_LABEL] = None,
    kind: OfKind = None,
    search: Search = None,
    all_: All = False,
    isolated: Annotated[bool | None, typer.Option("--isolated/--no-isolated", help="Reach jump peers only.")] = None,
    full_encapsulation: Annotated[
        bool | None,
        typer.Option("--full-encapsulation/--no-full-encapsulation", help="Send all traffic through the tunnel."),
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose they are; '' for nobody's.")] = None,
    set_label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a label; KEY= takes it away.")
    ] = None,
    add_group: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Put them into a group.")] = None,
    remove_group: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take them out of a group.")] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Change all peers that the filters find, or none. What changed meanwhile is refused, not overwritten."""
    fixed = without_none({"isolated": isolated, "full_encapsulation": full_encapsulation})
    if owner is not None:
        fixed["owner"] = owner or None
    if not (fixed or set_label or add_group or remove_group):
        raise Misuse("nothing to change was given", "isthmus peer update-many --help lists what can be")
    peers, path = found(session, network, {"group": group, "label": label, "kind": kind, "search": search}, all_)

    def change(peer: dict[str, Any]) -> Row:
        body: Row = {"action": "update", "name": peer["name"], "version": peer["version"]} | fixed
        if set_label:
            body["labels"] = with_labels(peer["labels"], set_label)
        if add_group or remove_group:
            body["groups"] = sorted({*peer["groups"], *(add_group or ())} - set(remove_group or ()))
        return body

    confirm(f"Change {len(peers)} peers?", yes=yes or dry_run)
    answer = send(session, path, _named(map(change, peers)), dry_run=dry_run)
    session.show(answer, lambda each: done_text(each, session.width))


@command(app, "delete-many", "isthmus peer delete-many --network office --group retired")
def delete_many(
    session: Session,
    network: Network,
    group: Annotated[str | None, options.IN_GROUP] = None,
    label: Annotated[list[str] | None, options.WITH_LABEL] = None,
    kind: OfKind = None,
    search: Search = None,
    all_: All = False,
    force: Annotated[bool, typer.Option("--force", help="Even the last jump peer that others need.")] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Delete all peers that the filters find, or none."""
    peers, path = found(session, network, {"group": group, "label": label, "kind": kind, "search": search}, all_)
    # Jump peers last: by then nobody may need them any more.
    peers.sort(key=lambda peer: peer["kind"] == Kind.JUMP)
    confirm(f"Delete {len(peers)} peers?", yes=yes or dry_run)
    bodies = ({"action": "delete", "name": peer["name"], "version": peer["version"], "force": force} for peer in peers)
    answer = send(session, path, _named(bodies), dry_run=dry_run)
    session.show(answer, lambda each: done_text(each, session.width))


def _named(bodies: Any) -> Operations:
    listed = list(bodies)
    return Operations(listed, [f"peer {body['name']}" for body in listed])


def found(
    session: Session, network: str, filters: dict[str, Any], everything: bool
) -> tuple[list[dict[str, Any]], str]:
    """The peers that the filters find, and the path of their network's bulks."""
    # One that is empty was most likely meant to hold something: it must not find everybody.
    if everything == any(filters.values()) or "" in filters.values():
        raise Misuse("say which peers: by filters, or --all of the network", "for example --group staff")
    own = network_id(session.api, network)
    peers = session.api.items("/peers", {"network": own} | {name: value or None for name, value in filters.items()})
    if not peers:
        raise Failure("no peer is found by these filters")
    if len(peers) > MOST_ROWS:
        raise Failure(f"{len(peers)} peers are found, and at most {MOST_ROWS} can be all or nothing", "narrow it down")
    return peers, f"/networks/{own}/peers/bulk"
