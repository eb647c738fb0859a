"""`isthmus remote`: the other backends that this one knows, from the invitation to the end."""

import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import typer

from isthmus.cli import options
from isthmus.cli.ask import confirm as ask_confirm
from isthmus.cli.command import LIST, command, noun
from isthmus.cli.errors import Misuse
from isthmus.cli.lookup import network_id
from isthmus.cli.options import read_duration, without_none
from isthmus.cli.remote_text import (
    accepted_text,
    details,
    dropped_text,
    examination,
    invitations_text,
    messages_text,
    overview,
)
from isthmus.cli.session import Session
from isthmus.cli.text import minute, printable
from isthmus.domain.federation.remote import Direction

app = noun("Remotes: other backends, from the invitation to the end.")

END = "-----END ISTHMUS INVITATION-----"
LONGEST = 64 * 1024
MOST_LINES = 2_000
DOCTOR_SECONDS = 40
LIMITS = ("requests", "requests_burst", "mutations", "mutations_burst", "parallel")

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="Domain of the other backend, such as b.example.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="Id of the instance, from isthmus remote show.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


def path_of(domain: str) -> str:
    return f"/remotes/{quote(domain, safe='')}"


@command(app, "invite", "isthmus remote invite b.example > invitation.txt")
def invite(
    session: Session,
    domain: Domain,
    lifetime: Annotated[int | None, options.LIFETIME] = None,
    network: Annotated[str | None, typer.Option(help="Network of ours of which a bridge is proposed then.")] = None,
) -> None:
    """Invite another backend; prints the invitation.

    Whoever holds it can become that remote.
    """
    chosen = None if network is None else network_id(session.api, network)
    body = {"domain": domain, "lifetime": lifetime, "network_id": chosen}
    made = session.api.post("/remotes/invitations", without_none(body))
    session.note(
        f"Hand this to the operator of {domain} over a channel that you both trust; it is shown only now.\n"
        f"It works once, until {minute(made['expires_at'])}. There they type: isthmus remote accept\n"
        "Then compare the short code that both sides show, and each of you types: isthmus remote confirm\n"
    )
    session.show(made, lambda each: each["text"].rstrip("\n"))


@command(app, "invitations", "isthmus remote invitations", options=LIST)
def invitations(session: Session) -> None:
    """List the invitations of the last 30 days."""
    rows = session.api.items("/remotes/invitations")
    session.show({"items": rows, "next": None}, lambda page: invitations_text(page["items"], session))


@command(app, "withdraw", "isthmus remote withdraw 0190c6e2-5d0e-7c34-9d0f-0b6f3a1f2a11")
def withdraw(
    session: Session, invitation: Annotated[str, typer.Argument(metavar="ID", help="Id of the invitation.")]
) -> None:
    """Withdraw an open invitation."""
    session.api.delete(f"/remotes/invitations/{_id(invitation, 'isthmus remote invitations lists them')}")
    session.show({"deleted": invitation}, lambda _: f"invitation {invitation} is withdrawn")


@command(app, "accept", "isthmus remote accept invitation.txt")
def accept(
    session: Session,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The invitation, - for standard input; asked for if left out.")
    ] = None,
    network: Annotated[str | None, typer.Option(help="Network of ours for the bridge that they propose.")] = None,
) -> None:
    """Accept an invitation, and show the short code to compare."""
    chosen = None if network is None else network_id(session.api, network)
    answer = session.api.post("/remotes/accept", without_none({"invitation": _invitation(file), "network_id": chosen}))
    session.show(answer, accepted_text)


@command(app, "confirm", "isthmus remote confirm b.example")
def confirm(
    session: Session,
    domain: Domain,
    code: Annotated[str | None, typer.Option(help="The short code of the other side; asked about if left out.")] = None,
) -> None:
    """Confirm that the other side shows the same short code.

    Once both operators have, the remote is active.
    """
    if code is None:
        code = _compared(session, domain)
    session.show(session.api.post(f"{path_of(domain)}/confirm", {"short_code": code}), after_confirm)


@command(app, "add", "isthmus remote add c.example --infra infra.c.example")
def add(
    session: Session,
    domain: Domain,
    infra: Annotated[
        list[str], typer.Option("--infra", metavar="DOMAIN", help="Its infra domain; may be given more often.")
    ],
) -> None:
    """List a remote that the shared roots vouch for.

    It needs no handshake; all others are invited.
    """
    answer = session.api.post("/remotes", {"domain": domain, "infra_domains": infra})
    session.show(answer, lambda each: f"remote {each['domain']} is {each['state']}")


@command(app, "list", "isthmus remote list", options=LIST)
def list_all(session: Session) -> None:
    """List all remotes, and how the two sides stand."""
    rows = session.api.items("/remotes")
    session.show({"items": rows, "next": None}, lambda page: overview(page["items"], session))


@command(app, "show", "isthmus remote show b.example", options=LIST)
def show(session: Session, domain: Domain) -> None:
    """Show a remote, its instances and what it has not yet heard."""
    session.show(session.api.get(path_of(domain)), lambda each: details(each, session))


@command(app, "set", "isthmus remote set b.example --direction in --component directory --expires 30d")
def set_(
    session: Session,
    domain: Domain,
    direction: Annotated[Direction | None, typer.Option(help="Who may call whom: they us, we them, or both.")] = None,
    component: Annotated[
        list[str] | None, typer.Option(help="A component that it may use; may be given more often, '' for all.")
    ] = None,
    infra: Annotated[
        list[str] | None, typer.Option("--infra", metavar="DOMAIN", help="Its infra domain; may be given more often.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help=f"What it may use: {', '.join(LIMITS)}.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="DURATION", help="When it ends, from now, for example 30d; never for no end.")
    ] = None,
    contact: Annotated[str | None, typer.Option(help="Whom to ask there.")] = None,
    notes: Annotated[str | None, typer.Option(help="What else there is to know.")] = None,
    dnssec: Annotated[bool | None, typer.Option("--dnssec/--no-dnssec", help="Insist on DNSSEC.")] = None,
    tlsa: Annotated[bool | None, typer.Option("--tlsa/--no-tlsa", help="Insist on TLSA records.")] = None,
    known: Annotated[bool | None, typer.Option("--known-instances/--any-instance", help="Who of it may call.")] = None,
    wan: Annotated[bool | None, typer.Option("--wan/--no-wan", help="May it call over the internet?")] = None,
) -> None:
    """Change what a remote may do. What is not given stays."""
    given: dict[str, Any] = {"direction": direction and str(direction), "infra_domains": infra or None}
    given |= {"contact": contact, "notes": notes, "needs_dnssec": dnssec, "needs_tlsa": tlsa}
    given |= {"known_instances_only": known, "wan_permitted": wan}
    change = without_none(given | {"limits": limits_of(limit)})
    if component:
        names = [each for each in component if each]
        change["components"] = names or None
    if expires is not None:
        change["expires_at"] = _moment(expires)
    if not change:
        raise Misuse("nothing to change was given", "isthmus remote set --help lists what can be")
    path = path_of(domain)
    etag = session.api.read(path).etag
    session.api.patch(path, change, etag)
    session.show(session.api.get(path), lambda each: details(each, session))


@command(app, "suspend", "isthmus remote suspend b.example")
def suspend(session: Session, domain: Domain) -> None:
    """Cut a remote off at once, until it is resumed."""
    answer = session.api.post(f"{path_of(domain)}/suspend")
    session.show(answer, lambda each: f"remote {each['domain']} is suspended; isthmus remote resume lets it go on")


@command(app, "resume", "isthmus remote resume b.example")
def resume(session: Session, domain: Domain) -> None:
    """Let a suspended remote go on."""
    session.show(session.api.post(f"{path_of(domain)}/resume"), lambda each: f"remote {each['domain']} is active again")


@command(app, "revoke", "isthmus remote revoke b.example")
def revoke(
    session: Session,
    domain: Domain,
    instance: Annotated[str | None, typer.Option(help="Only this instance of it.")] = None,
    leaf: Annotated[str | None, typer.Option(metavar="SHA256", help="Only the leaf with this fingerprint.")] = None,
    serial: Annotated[str | None, typer.Option(metavar="HEX", help="Only the leaf with this serial.")] = None,
    public_key: Annotated[str | None, typer.Option(metavar="SHA256", help="Only leaves with this public key.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; needed for a leaf or an instance.")] = None,
    yes: Annotated[bool, options.YES] = False,
) -> None:
    """Cut a remote off for good, or one leaf or instance of it."""
    leaves = {"fingerprint": _hex(leaf), "serial": _hex(serial), "key": _hex(public_key)}
    named = without_none({"instance": instance, **leaves})
    if not named:
        ask_confirm(f"Revoke remote {domain}? What belongs to it is not revived by inviting it again.", yes=yes)
        answer = session.api.post(f"{path_of(domain)}/revoke")
        session.show(answer, lambda each: f"remote {each['domain']} is revoked")
        return
    if len(named) > 1 or not reason:
        raise Misuse("name one leaf or instance and say why", "for example --instance ID --reason 'it was stolen'")
    answer = session.api.post(f"{path_of(domain)}/revocations", named | {"reason": reason})
    session.show(answer, lambda _: f"{next(iter(named.values()))} of {domain} counts no more")


@command(app, "remove", "isthmus remote remove b.example")
def remove(session: Session, domain: Domain, yes: Annotated[bool, options.YES] = False) -> None:
    """Take a remote off the list: cut for good, and a stranger.

    Unlike one that is revoked it is not told why its calls are refused.
    """
    ask_confirm(f"Remove remote {domain}? What belongs to it is not revived by inviting it again.", yes=yes)
    session.api.delete(path_of(domain))
    session.show({"deleted": domain}, lambda _: f"remote {domain} is removed")


@command(app, "block", "isthmus remote block b.example 0190c6e2-5d0e-4c34-9d0f-0b6f3a1f2a11 --reason 'acts odd'")
def block(session: Session, domain: Domain, instance: Instance, reason: Reason) -> None:
    """Refuse an instance of a remote until it is unblocked."""
    path = f"{path_of(domain)}/instances/{_id(instance, f'isthmus remote show {domain} lists them')}/block"
    session.show(session.api.post(path, {"reason": reason}), lambda _: f"instance {instance} of {domain} is blocked")


@command(app, "unblock", "isthmus remote unblock b.example 0190c6e2-5d0e-4c34-9d0f-0b6f3a1f2a11")
def unblock(session: Session, domain: Domain, instance: Instance) -> None:
    """Admit an instance of a remote, again or for the first time."""
    path = f"{path_of(domain)}/instances/{_id(instance, f'isthmus remote show {domain} lists them')}/block"
    session.api.delete(path)
    session.show({"deleted": instance}, lambda _: f"instance {instance} of {domain} is admitted")


class Work(StrEnum):
    RETRY = "retry"
    DROP = "drop"


@command(app, "messages", "isthmus remote messages b.example drop state/4 --reason 'it cannot take it'")
def messages(
    session: Session,
    domain: Domain,
    work: Annotated[Work | None, typer.Argument(help="What to do with them; left out: list them.")] = None,
    message: Annotated[
        str | None, typer.Argument(metavar="LANE/NUMBER", help="The one to drop, as the list names it.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why it is dropped, for the record.")] = None,
) -> None:
    """List what a remote has not acknowledged.

    It is tried again with `retry`, and one message is given up with `drop`.
    """
    path = f"{path_of(domain)}/messages"
    if work is Work.DROP:
        lane, _, number = (message or "").partition("/")
        if not (lane and number.isascii() and number.isdigit() and reason):
            raise Misuse("name the message and say why", f"for example {domain} drop state/4 --reason 'why'")
        answer = session.api.post(f"{path}/{quote(lane, safe='')}/{number}/drop", {"reason": reason})
        session.show(answer, lambda each: dropped_text(each, f"{lane}/{number}"))
    elif message is not None or reason is not None:
        raise Misuse("only drop takes a message and a reason", f"isthmus remote messages {domain} lists them all")
    elif work is Work.RETRY:
        session.show(session.api.post(f"{path}/retry"), lambda each: f"{each['messages']} are tried again")
    else:
        rows = session.api.items(path)
        session.show({"items": rows, "next": None}, lambda page: messages_text(page["items"], session))


@command(app, "doctor", "isthmus remote doctor b.example")
def doctor(session: Session, domain: Domain) -> None:
    """Look at every link of the chain to a remote.

    Each one is ok, or its mend is told.
    """
    found = session.api.patient(DOCTOR_SECONDS).post(f"{path_of(domain)}/doctor")
    session.show(found, examination)
    if not found["ok"]:
        raise typer.Exit(1)


def after_confirm(remote: dict[str, Any]) -> str:
    if remote["state"] == "active":
        return f"remote {remote['domain']} is active"
    return f"confirmed here; remote {remote['domain']} becomes active once its operator has confirmed too"


def limits_of(texts: list[str] | None) -> dict[str, float] | None:
    limits: dict[str, float] = {}
    for text in texts or ():
        name, _, number = text.partition("=")
        if name not in LIMITS:
            raise Misuse(f"{text!r} is no limit", f"write NAME=NUMBER with one of: {', '.join(LIMITS)}")
        try:
            limits[name] = float(number) if name in ("requests", "mutations") else int(number)
        except ValueError:
            raise Misuse(f"{text!r} is no limit", "write NAME=NUMBER, for example requests=50") from None
    return limits or None


def _compared(session: Session, domain: str) -> str:
    """The code, once somebody at a terminal has said that the other side shows the same."""
    code = session.api.get(path_of(domain))["short_code"]
    if not sys.stdin.isatty():
        raise Misuse("there is no terminal to ask whether the short codes are equal", "give the other's with --code")
    question = f"Here the short code is {printable(code)}. Does the operator of {domain} see the same?"
    typer.confirm(question, abort=True, err=True)
    return str(code)


def _invitation(file: str | None) -> str:
    try:
        if file is not None and file != "-":
            with Path(file).open(encoding="ascii") as stream:
                return stream.read(LONGEST)
        if file == "-" or not sys.stdin.isatty():
            return sys.stdin.read(LONGEST)
    except OSError as error:
        raise Misuse(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Misuse(f"{file} is no invitation", "it is the text that isthmus remote invite printed") from None
    print("Paste the invitation, from the line BEGIN to the line END:", file=sys.stderr)
    lines: list[str] = []
    for line in sys.stdin:
        lines.append(line)
        if line.strip() == END or len(lines) > MOST_LINES:
            break
    return "".join(lines)


def _moment(text: str) -> str | None:
    if text == "never":
        return None
    return (datetime.now(UTC) + timedelta(seconds=read_duration(text))).isoformat()


def _hex(text: str | None) -> str | None:
    """Digits as other tools write them: in capitals, in pairs with colons between."""
    return None if text is None else text.replace(":", "").lower().removeprefix("0x")


def _id(text: str, hint: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise Misuse(f"{text!r} is no id", hint) from None
