"""`isthmus audit`: what was changed, when and by whom, and whether the log still says so."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.cli import audit_records
from isthmus.cli.command import LIST, ONLINE, command, noun
from isthmus.cli.errors import Failure
from isthmus.cli.session import Session
from isthmus.cli.text import Column, parse_time, printable, table
from isthmus.domain.audit import Found

app = noun("What was changed, when and by whom.")

Action = Annotated[str | None, typer.Option(help="Only this action; a star at the end matches any rest: 'remote.*'.")]
Actor = Annotated[str | None, typer.Option(help="Only by this one, for example local or 'remote:b.example/*'.")]
Subject = Annotated[str | None, typer.Option(help="Only what was done to this.")]
Outcome = Annotated[str | None, typer.Option(help="Only done, or only denied.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From then on, for example 2026-03-02T12:00:00Z.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")]


@command(app, "list", "isthmus audit list --outcome denied --limit 20", options=LIST)
def list_latest(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, help="How many entries.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only entries older than this number.")] = None,
    action: Action = None,
    actor: Actor = None,
    subject: Subject = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """List the latest entries of the audit log."""
    filters = {
        "action": action, "actor": actor, "subject": subject, "outcome": outcome, "since": since, "until": until
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    after = None if before is None else str(before)
    while len(rows) < limit:
        page = session.api.get("/audit", {"limit": min(limit - len(rows), 1000), "before": after, **filters})
        rows += page["items"]
        after = page["next"]
        if after is None:
            break
    session.show({"items": rows, "next": after}, lambda answer: journal(answer["items"], session.width))


@command(app, "export", "isthmus audit export > audit.jsonl", options=ONLINE)
def export(
    session: Session,
    action: Action = None,
    actor: Actor = None,
    subject: Subject = None,
    outcome: Outcome = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Print the audit log as JSON lines, oldest first.

    The whole log comes with its seals, so that isthmus audit verify --file can check it anywhere; with filters only
    the rows that match are printed.
    """
    filters = {
        "action": action, "actor": actor, "subject": subject, "outcome": outcome, "since": since, "until": until
    }  # fmt: skip
    given = {name: value for name, value in filters.items() if value is not None}
    records = audit_records.selected(session.api, given) if given else audit_records.whole(session.api)
    for record in records:
        print(json.dumps(record, separators=(",", ":")))


@command(app, "verify", "isthmus audit verify --witness", options=ONLINE)
def verify(
    session: Session,
    file: Annotated[Path | None, typer.Option(metavar="PATH", help="Verify this export, without a server.")] = None,
    witness: Annotated[bool, typer.Option("--witness", help="Also ask the remotes what they hold of it.")] = False,
) -> None:
    """Check every row, link and seal of the audit log.

    All is computed here and not on the server. The first bad row is named, and the exit code is 1.
    """
    if file is not None and witness:
        raise Failure("a file has no witnesses", "ask them with isthmus audit verify --witness, without --file")
    found, keys = _verified(session, file)
    asked = session.api.post("/audit/witnesses/ask") if witness else []
    is_ok = found.fault is None and not any(each["contradicting"] for each in asked)
    fields = asdict(found) | {"head": found.head.hex()}
    session.show({"ok": is_ok, **fields, "keys": keys, "witnesses": asked}, lambda _: _verdict(found, keys, asked))
    if not is_ok:
        raise typer.Exit(1)


def _verified(session: Session, file: Path | None) -> tuple[Found, list[str]]:
    if file is None:
        return audit_records.verified(audit_records.whole(session.api))
    try:
        with file.open(encoding="utf-8") as lines:
            return audit_records.verified(audit_records.read(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read: {error}", "name a file that isthmus audit export has written") from None


def _verdict(found: Found, keys: list[str], asked: list[dict[str, Any]]) -> str:
    lines = [f"{found.rows} rows and {found.seals} seals checked; row {found.number} is {found.head.hex()}"]
    lines += [f"{found.unlinked} rows are not linked yet"] if found.unlinked else []
    lines += [f"sealed by {', '.join(map(printable, keys))}"] if keys else []
    if found.fault is None:
        lines.append("every row says what it said when it was written")
    else:
        lines.append(f"row {found.fault.row} is bad: {found.fault.wrong}: {found.fault.detail}")
    for each in asked:
        lines.append(f"{printable(each['domain'])}: {_witnessed(each)}")
        lines += [
            f"  holds row {head['number']} of {head['at']} as {head['hash']}, which this log does not have"
            for head in islice(each["contradicting"], 5)
        ]
    return "\n".join(lines)


def _witnessed(asked: dict[str, Any]) -> str:
    if asked["problem"]:
        return f"could not be asked: {printable(asked['problem'])}"
    return f"holds {asked['heads']} heads of this log, {len(asked['contradicting'])} of which it does not contain"


def journal(entries: list[dict[str, Any]], width: int | None) -> str:
    if not entries:
        return "there are no such entries in the audit log"
    titles = [Column("TIME"), Column("ACTOR"), Column("ACTION"), Column("SUBJECT", may_shrink=True), Column("OUTCOME")]
    rows = [(_second(each["at"]), each["actor"], each["action"], each["subject"], each["outcome"]) for each in entries]
    return table(titles, rows, width)


def _second(value: Any) -> str:
    moment = parse_time(value)
    return "" if moment is None else f"{moment:%m-%d %H:%M:%S}"
