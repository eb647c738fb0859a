"""`isthmus certificate`: the backend's own CA, leaves and message keys."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.session import Session
from isthmus.cli.text import Column, fields, minute, parse_time, printable, span, table

app = noun("Certificates: the CA of this backend, its leaves and its message keys.")
SHOWN = 16


class What(StrEnum):
    AUTHORITY = "authority"
    MESSAGE_KEY = "message-key"


@command(app, "list", "isthmus certificate list", options=LIST)
def list_all(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Also leaves that were replaced or have expired.")] = False,
) -> None:
    """List what is in use, until when, and what happens next."""
    session.show(session.api.get("/certificates"), lambda answer: overview(answer, session, every=every))


@command(app, "show", "isthmus certificate show bundle")
def show(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="ID", help="An id, its beginning, or the word bundle.")],
) -> None:
    """Show one certificate or key, or the bundle.

    The bundle is what remotes know us by.
    """
    if name == "bundle":
        session.show(session.api.get("/certificates/bundle"), bundle)
        return
    session.show(session.api.get(f"/certificates/{_id(name)}"), details)


@command(app, "renew", "isthmus certificate renew")
def renew(session: Session) -> None:
    """Issue new leaves now.

    Federator and ingress take them up by themselves.
    """
    session.show(session.api.post("/certificates/renew"), lambda answer: overview(answer, session))


@command(app, "revoke", "isthmus certificate revoke 3f2a9c --reason 'key was copied'")
def revoke(
    session: Session,
    serial: Annotated[str, typer.Argument(metavar="SERIAL", help="Serial number of the leaf, or its beginning.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit log.")],
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Revoke a leaf before it expires.

    Remotes are told, and a new one takes its place at once.
    """
    # As other tools write it: 0F:2A:…
    plain = serial.replace(":", "").lower().lstrip("0")
    leaf = session.api.get(f"/certificates/{_id(plain)}")
    if leaf["kind"] != "leaf":
        raise Misuse(f"{serial} is no leaf", "a CA or message key is replaced: isthmus certificate roll")
    confirm(f"Revoke the leaf {leaf['id']} of the {leaf['purpose']}?", yes=yes)
    answer = session.api.post(f"/certificates/{leaf['id']}/revoke", {"reason": reason})
    session.show(answer, lambda found: overview(found, session))


@command(app, "roll", "isthmus certificate roll message-key")
def roll(
    session: Session,
    what: Annotated[What, typer.Argument(help="What shall be followed by a new one.")],
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Make another CA or message key.

    It is published now and used in seven days, when remotes have heard of it.
    """
    confirm(f"Make another {what.value.replace('-', ' ')}?", yes=yes)
    answer = session.api.post("/certificates/roll", {"what": what.value.replace("-", "_")})
    session.show(answer, lambda found: overview(found, session))


@command(app, "import", "isthmus certificate import --certificate ca.pem --key-file ca.key")
def import_authority(
    session: Session,
    certificate: Annotated[Path, typer.Option(help="The CA and those above it up to its root, in PEM.")],
    key_file: Annotated[Path, typer.Option(help="Its private key, in PEM without a password.")],
    key_stays: Annotated[
        bool, typer.Option("--key-stays", help="Use the key where it is, instead of a copy in the data folder.")
    ] = False,
) -> None:
    """Take a CA that exists as the next one.

    Before isthmus federation init it is the one to begin with.
    To be run on the server's machine: the server itself reads the files.
    """
    if session.target.socket is None:
        raise Misuse("a CA is imported on the server's own machine", "run this there, over the server's socket")
    body = {
        "certificate_file": str(certificate.absolute()),
        "key_file": str(key_file.absolute()),
        "key_stays": key_stays,
    }
    session.show(session.api.post("/certificates/import", body), lambda found: overview(found, session))


def overview(answer: dict[str, Any], session: Session, *, every: bool = False) -> str:
    hidden = () if every else ("replaced", "expired")
    rows = [_row(each, session) for each in answer["items"] if each["use"] not in hidden]
    if not rows:
        return "no certificates yet: isthmus federation init makes them"
    columns = [Column("WHAT"), Column("ID"), Column("USE"), Column("EXPIRES"), Column("NEXT")]
    problem = f"\n\ncertificates cannot be kept up: {printable(answer['problem'])}" if answer["problem"] else ""
    return table(columns, rows, session.width) + problem


def _row(each: dict[str, Any], session: Session) -> tuple[str, str, str, str, str]:
    what = {"authority": "CA", "message_key": "message key"}.get(each["kind"]) or f"leaf of the {each['purpose']}"
    ends, changes = parse_time(each["ends_at"]), parse_time(each["changes_at"])
    left = "never" if ends is None else f"in {span(ends - session.now)}" if ends > session.now else "expired"
    following = "" if changes is None else f"{each['change']} in {span(changes - session.now)}"
    return what, each["id"][:SHOWN], each["use"], left, following


def details(each: dict[str, Any]) -> str:
    pairs: list[tuple[str, object]] = [("kind", each["kind"].replace("_", " ")), ("id", each["id"])]
    pairs += [("use", each["use"]), ("purpose", each["purpose"]), ("URI", each["uri"])]
    pairs += [("infra domains", each["infra_domains"]), ("since", minute(each["begins_at"]))]
    pairs += [("expires", minute(each["ends_at"]))]
    if each["change"]:
        pairs.append((each["change"], minute(each["changes_at"])))
    if each["reason"]:
        pairs.append(("revoked", each["reason"]))
    text = fields([pair for pair in pairs if pair[1] not in (None, "", [])])
    return f"{text}\n\n{each['pem']}".rstrip()


def bundle(found: dict[str, Any]) -> str:
    names = ("domain", "sequence", "digest", "infra_domains", "authorities", "message_keys", "revoked")
    return fields([(name.replace("_", " "), found[name]) for name in names])


def _id(text: str) -> str:
    if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
        raise Misuse(f"{text!r} is no id", "isthmus certificate list shows them")
    return text
