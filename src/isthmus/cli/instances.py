"""`isthmus instance`: processes of this backend that call others in its name, and their leaves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.lookup import id_of, peer_path
from isthmus.cli.options import without_none
from isthmus.cli.session import Session
from isthmus.cli.text import Column, fields, minute, parse_time, span, table

app = noun("Instances: processes of this backend that call others in its name.")

LONGEST_REQUEST = 64 * 1024

Named = Annotated[str, typer.Argument(metavar="INSTANCE", help="Name or id of the instance.")]
Csr = Annotated[Path | None, typer.Option(metavar="FILE", help="A certificate request in PEM; its key alone counts.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Make the key here, and put chain.pem and key.pem into FOLDER.")
]
Lifetime = Annotated[
    int | None,
    typer.Option(
        "--expires", parser=options.read_duration, metavar="DURATION", help="Life of the leaf: 24h, at most 7d."
    ),
]


@command(app, "issue", "isthmus instance issue billing --peer office/web --out /etc/billing/isthmus")
def issue(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called here, for example billing.")],
    peer: Annotated[
        str | None, typer.Option(metavar="NETWORK/PEER", help="The peer on whose host it runs, if it is one.")
    ] = None,
    csr: Csr = None,
    out: Out = None,
    expires: Lifetime = None,
) -> None:
    """Make an instance and its first leaf.

    The key is made here, or stays where the request was made: the server never sees it.
    With --csr the leaf goes to standard output.
    """
    chosen = None if peer is None else _peer_id(session, peer)
    _hand_out(session, "/instances", {"name": name, "peer": chosen, "lifetime": expires}, csr, out)


@command(app, "renew", "isthmus instance renew billing --out /etc/billing/isthmus")
def renew(session: Session, instance: Named, csr: Csr = None, out: Out = None, expires: Lifetime = None) -> None:
    """Issue another leaf, before the last one ends.

    In FOLDER the new pair takes the place of the old one at once.
    """
    path = f"/instances/{_found(session, instance)['id']}/renew"
    _hand_out(session, path, {"lifetime": expires}, csr, out)


@command(app, "list", "isthmus instance list", options=LIST)
def list_all(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Also those that were revoked.")] = False,
) -> None:
    """List instances.

    Federator and ingress come first; of each, where it runs and until when its leaf lasts.
    """
    found = session.api.items("/instances", {"revoked": "true" if every else None})
    session.show({"items": found, "next": None}, lambda page: overview(page["items"], session))


@command(app, "show", "isthmus instance show billing")
def show(session: Session, instance: Named) -> None:
    """Show one instance and its newest leaf."""
    session.show(_found(session, instance), details)


@command(app, "revoke", "isthmus instance revoke billing --reason 'the host was lost'")
def revoke(
    session: Session,
    instance: Named,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit log.")],
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """End an instance for good.

    Remotes are told to refuse its leaves. A new one takes its place: isthmus instance issue.
    """
    found = _found(session, instance)
    confirm(f"Revoke the instance {found['name']}?", yes=yes)
    session.show(session.api.post(f"/instances/{found['id']}/revoke", {"reason": reason}), details)


def _hand_out(session: Session, path: str, body: dict[str, Any], csr: Path | None, out: Path | None) -> None:
    if (csr is None) == (out is None):
        raise Misuse("say where the key is", "--out FOLDER makes one there, --csr FILE takes the request for one")
    if csr is not None:
        handed = session.api.post(path, without_none({**body, "csr": _request_in(csr)}))
        session.note(f"{_summary(handed)}. Its leaf:")
        session.show(handed, lambda each: str(each["chain"]).rstrip())
    elif out is not None:
        handed = _into_folder(session, path, body, out)
        session.show(handed, lambda each: f"{_summary(each)}: {out}/chain.pem and {out}/key.pem")


def _into_folder(session: Session, path: str, body: dict[str, Any], out: Path) -> dict[str, Any]:
    # What reads certificates takes longer to load than all other commands take.
    from isthmus.x509.pair import PairUnusable
    from isthmus.x509.pair_files import check_room, keep_pair
    from isthmus.x509.request import make_request

    try:
        check_room(out)
        key, request = make_request()
        handed: dict[str, Any] = session.api.post(path, without_none({**body, "csr": request}))
        keep_pair(out, handed["chain"].encode(), key)
    except PairUnusable as unusable:
        raise Failure(str(unusable)) from None
    except OSError as error:
        raise Failure(f"cannot write to {out}: {error.strerror}", "name another folder with --out") from None
    return handed


def _request_in(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as stream:
            return stream.read(LONGEST_REQUEST)
    except OSError as error:
        raise Misuse(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{file} is no certificate request in PEM") from None


def _peer_id(session: Session, name: str) -> str:
    network, _, peer = name.rpartition("/")
    return peer_path(session.api, peer, network or None).rpartition("/")[2]


def _found(session: Session, name: str) -> dict[str, Any]:
    if found := id_of(name):
        instance: dict[str, Any] = session.api.get(f"/instances/{found}")
        return instance
    for each in session.api.items("/instances"):
        if each["name"] == name:
            return dict(each)
    raise Failure(f"there is no instance {name}", "isthmus instance list shows those that exist")


def overview(instances: list[dict[str, Any]], session: Session) -> str:
    if not instances:
        return "no instances yet: isthmus federation init makes the first"
    columns = [Column("NAME"), Column("ID"), Column("MADE BY"), Column("RUNS ON"), Column("LEAF")]
    rows = [(each["name"], each["id"], each["made_by"], place(each), _leaf(each, session)) for each in instances]
    return table(columns, rows, session.width)


def place(instance: dict[str, Any]) -> str:
    return f"{instance['network']['name']}/{instance['peer']['name']}" if instance["peer"] else ""


def _leaf(instance: dict[str, Any], session: Session) -> str:
    if instance["revoked_at"]:
        return "revoked"
    ends = parse_time(instance["leaf"]["ends_at"]) if instance["leaf"] else None
    if ends is None:
        return "none"
    return f"ends in {span(ends - session.now)}" if ends > session.now else "expired"


def details(instance: dict[str, Any]) -> str:
    pairs: list[tuple[str, object]] = [("name", instance["name"]), ("id", instance["id"])]
    pairs += [("made by", instance["made_by"]), ("runs on", place(instance))]
    if leaf := instance["leaf"]:
        pairs += [("URI", leaf["uri"]), ("infra domains", leaf["infra_domains"]), ("serial", leaf["serial"])]
        pairs += [("since", minute(leaf["issued_at"])), ("expires", minute(leaf["ends_at"]))]
    if instance["revoked_at"]:
        pairs += [("revoked", minute(instance["revoked_at"])), ("revoked by", instance["revoked_by"])]
        pairs.append(("reason", instance["reason"]))
    return fields([pair for pair in pairs if pair[1] not in (None, "", [])])


def _summary(handed: dict[str, Any]) -> str:
    return f"instance {handed['name']} ({handed['id']}), leaf until {minute(handed['leaf']['ends_at'])}"
