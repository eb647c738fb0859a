"""`isthmus findings`: what an operator should look at."""

from typing import Annotated, Any

import typer

from isthmus.cli.command import LIST, command, lone
from isthmus.cli.session import Session
from isthmus.cli.text import Column, age, cell, printable, table

app = lone()


@command(app, "findings", "isthmus findings", options=LIST)
def findings(
    session: Session, everything: Annotated[bool, typer.Option("--all", help="Also those that were cleared.")] = False
) -> None:
    """List what an operator should look at, and what to do about it."""
    rows = session.api.items("/findings", {"cleared": "true"} if everything else None)
    session.show({"items": rows, "next": None}, lambda page: findings_text(page["items"], session))


def findings_text(rows: list[dict[str, Any]], session: Session) -> str:
    """A table, and below it what mends each kind."""
    if not rows:
        return "nothing looks wrong"
    columns = [Column("SEVERITY"), Column("KIND"), Column("SUBJECT"), Column("SINCE"), Column("LAST SEEN")]
    shown = [
        (
            each["severity"],
            each["kind"],
            f"{each['domain']} {each['subject']}".rstrip(),
            age(each["first_at"], session.now),
            age(each["last_at"], session.now),
            each["count"],
            "cleared" if each["cleared_at"] else "",
            " ".join(f"{name}={cell(value)}" for name, value in each["evidence"].items()),
        )
        for each in rows
    ]
    columns += [Column("TIMES"), Column(""), Column("EVIDENCE", may_shrink=True)]
    mends = {each["kind"]: each["mend"] for each in rows if not each["cleared_at"]}
    lines = [f"{printable(kind)}: {printable(mend)}" for kind, mend in mends.items()]
    return "\n".join([table(columns, shown, session.width), *([""] if lines else []), *lines])
