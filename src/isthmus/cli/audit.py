"""`isthmus audit`: what was changed, when and by whom."""

from typing import Annotated, Any

import typer

from isthmus.cli.command import LIST, command, noun
from isthmus.cli.session import Session
from isthmus.cli.text import Column, parse_time, table

app = noun("What was changed, when and by whom.")


@command(app, "list", "isthmus audit list --limit 20", options=LIST)
def list_latest(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, help="How many entries.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only entries older than this number.")] = None,
) -> None:
    """List the latest entries of the audit log."""
    page = session.api.get("/audit", {"limit": limit, "before": before})
    session.show(page, lambda answer: journal(answer["items"], session.width))


def journal(entries: list[dict[str, Any]], width: int | None) -> str:
    if not entries:
        return "the audit log is empty"
    titles = [Column("TIME"), Column("ACTOR"), Column("ACTION"), Column("SUBJECT", may_shrink=True), Column("OUTCOME")]
    rows = [(_second(each["at"]), each["actor"], each["action"], each["subject"], each["outcome"]) for each in entries]
    return table(titles, rows, width)


def _second(value: Any) -> str:
    moment = parse_time(value)
    return "" if moment is None else f"{moment:%m-%d %H:%M:%S}"
