"""Values as text for people: safe characters, tables, fields, durations and times. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

GAP = "  "
SHORTEST = 12
NOTHING = "-"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DURATION = re.compile(r"([0-9]{1,9})([smhdw]?)")


def printable(value: object) -> str:
    """One line without control characters: text that came from elsewhere must not steer the terminal."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value))


def cell(value: object) -> str:
    """A value as one cell of a table: what is absent is a dash, lists are joined, flags are words."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(printable, value)) or NOTHING
        case dict():
            return ", ".join(f"{printable(key)}={printable(each)}" for key, each in value.items()) or NOTHING
    return printable(value)


@dataclass(frozen=True, slots=True)
class Column:
    """`may_shrink`: on a narrow terminal its cells may lose their ends. Never set for what people copy."""

    title: str
    may_shrink: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int | None = None) -> str:
    """Aligned columns under a line of titles; `width` is the terminal's, None when nobody watches."""
    lines = [[column.title for column in columns], *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    if width is not None:
        widths = _shrunk(columns, widths, width)
    return "\n".join(_line(cells, widths) for cells in lines)


def _shrunk(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    shrunk = []
    for column, wanted in zip(columns, widths, strict=True):
        loss = max(0, min(excess, wanted - SHORTEST)) if column.may_shrink else 0
        excess -= loss
        shrunk.append(wanted - loss)
    return shrunk


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    fitted = (
        text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
        for text, width in zip(cells, widths, strict=True)
    )
    return GAP.join(fitted).rstrip()


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, one pair to a line, values aligned."""
    shown = [(name, cell(value)) for name, value in pairs]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"  {name.ljust(width)}{GAP}{value}" for name, value in shown)


def parse_duration(text: str) -> int:
    """Seconds of `90`, `45s`, `30m`, `12h`, `7d` or `2w`; ValueError for anything else."""
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a duration: a number and s, m, h, d or w, for example 12h")
    return int(found[1]) * UNITS[found[2] or "s"]


def parse_time(value: Any) -> datetime | None:
    """A time as the API writes it (ISO 8601 with offset), or None for what is absent."""
    return None if value is None else datetime.fromisoformat(str(value))


def age(value: Any, now: datetime) -> str:
    """How long ago an API time was, in its largest unit: `12s ago`."""
    moment = parse_time(value)
    if moment is None:
        return "never"
    return f"{span(now - moment)} ago"


def span(duration: timedelta) -> str:
    """A duration in its largest whole unit. Clocks differ a little, so what is below zero counts as zero."""
    seconds = max(0, int(duration.total_seconds()))
    for unit in ("d", "h", "m"):
        if seconds >= UNITS[unit]:
            return f"{seconds // UNITS[unit]}{unit}"
    return f"{seconds}s"


def duration(seconds: int) -> str:
    """A duration as it is given on a command line: 36h, not 1d, for `parse_duration` reads it again."""
    unit = next((each for each in ("d", "h", "m") if seconds and seconds % UNITS[each] == 0), "s")
    return f"{seconds // UNITS[unit]}{unit}"


def minute(value: Any) -> str:
    """An API time to the minute, in UTC."""
    moment = parse_time(value)
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def second(value: Any) -> str:
    """An API time to the second, in UTC, for columns that say so."""
    moment = parse_time(value)
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def size(count: int) -> str:
    """Bytes in the largest binary unit that leaves a number above one."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
