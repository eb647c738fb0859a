"""Ways between peers as text for people. Pure."""

from datetime import datetime
from typing import Any

from isthmus.cli.text import NOTHING, Column, age, size, table

Path = dict[str, Any]

COLUMNS = (
    Column("PEER"),
    Column("WAY"),
    Column("SINCE"),
    Column("ROUND TRIP"),
    Column("RECEIVED"),
    Column("SENT"),
    Column("HANDSHAKE"),
)


def overview(paths: list[Path], now: datetime, width: int | None) -> str:
    """One line for each peer that can be reached."""
    if not paths:
        return "it reaches no other peer: it is alone in its network, not enrolled yet, blocked, or isolated"
    return table(COLUMNS, [_row(path, now) for path in paths], width)


def _row(path: Path, now: datetime) -> tuple[object, ...]:
    return (
        path["other"]["name"],
        way_of(path),
        age(path["since"], now) if path.get("since") else None,
        round_trip_of(path),
        *(None if path.get(name) is None else size(path[name]) for name in ("rx", "tx")),
        age(path["latest_handshake"], now) if path.get("latest_handshake") else None,
    )


def way_of(path: Path) -> str:
    if path.get("direct"):
        return "direct"
    return f"via {path['via']}" if path.get("via") else "unknown"


def round_trip_of(path: Path) -> str:
    """Milliseconds, with a digit more where they are few."""
    microseconds = path.get("round_trip_us")
    if microseconds is None:
        return NOTHING
    return f"{microseconds / 1000:.1f} ms" if microseconds < 100_000 else f"{microseconds / 1000:.0f} ms"
