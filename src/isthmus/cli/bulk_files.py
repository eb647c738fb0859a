"""Files of many peers: rows of a CSV or a JSON array, as operations of the API, and peers as such rows. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from isthmus.cli.errors import Failure, Misuse

MOST_ROWS = 1_000
NONE = "-"
BETWEEN = ";"
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
TEXTS = ("name", "new_name", "kind", "endpoint", "public_key", "address_v4", "address_v6", "owner")
FLAGS = ("isolated", "full_encapsulation", "keep_private_key", "force")
LISTS = ("additional_allowed_ips", "groups")
NUMBERS = ("token_lifetime", "version")
COLUMNS = ("action", *TEXTS, *FLAGS, *LISTS, "labels", *NUMBERS)
# What `-` empties; the other fields always have a value.
CLEARED: dict[str, Any] = {"endpoint": None, "owner": None, "additional_allowed_ips": [], "groups": [], "labels": {}}

Row = dict[str, Any]


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Operations:
    """What a file asks for, in the API's form, and where in the file each of them stands: `line 5` or `row 3`."""

    bodies: list[Row]
    places: list[str]


def read(text: str, kind: Format) -> Operations:
    """The operations of a file. A row without an action creates a peer. Raises `Misuse` for what cannot be read."""
    rows = list(_csv_rows(text) if kind is Format.CSV else _json_rows(text))
    if not rows:
        raise Misuse("the file has no rows")
    if len(rows) > MOST_ROWS:
        hint = "each of several smaller files is all or nothing by itself"
        raise Misuse(f"the file has {len(rows)} rows, and at most {MOST_ROWS} can be all or nothing", hint)
    return Operations([{"action": "create"} | body for _, body in rows], [place for place, _ in rows])


def _csv_rows(text: str) -> Iterator[tuple[str, Row]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\N{BYTE ORDER MARK}"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield f"line {reader.line_num}", _body(header, cells, reader.line_num)
    except csv.Error as error:
        raise Misuse(f"line {reader.line_num} is not CSV: {error}") from None


def _check_header(header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise Misuse(f"{name[:40]!r} is not a column", f"the first line names columns of: {', '.join(COLUMNS)}")
        if header.count(name) > 1:
            raise Misuse(f"the column {name} is there twice")
    if "name" not in header:
        raise Misuse("the first line names no column `name`", "for example: name,kind,groups")


def _body(header: list[str], cells: list[str], line: int) -> Row:
    if len(cells) > len(header):
        raise Misuse(f"line {line} has more cells than the first line", "put quotes around a cell with a comma")
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
    try:
        return {name: _value(name, cell) for name, cell in given.items() if cell}
    except ValueError as error:
        raise Misuse(f"line {line}: {error}") from None


def _value(name: str, cell: str) -> Any:
    """What a cell says; an empty one says nothing and does not come here."""
    if cell == NONE and name in CLEARED:
        return CLEARED[name]
    if name in FLAGS:
        if cell.lower() not in WORDS:
            raise ValueError(f"{name} is neither yes nor no")
        return WORDS[cell.lower()]
    if name in NUMBERS:
        if not (cell.isascii() and cell.isdigit() and len(cell) < 16):
            raise ValueError(f"{name} is not a whole number")
        return int(cell)
    parts = [part.strip() for part in cell.split(BETWEEN) if part.strip()]
    if name in LISTS:
        return parts
    return dict(map(_label, parts)) if name == "labels" else cell


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"labels is not a list of key=value with {BETWEEN} in between")
    return key.strip(), value.strip()


def _json_rows(text: str) -> Iterator[tuple[str, Row]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Misuse("the file is not JSON") from None
    if not isinstance(found, list):
        raise Misuse("the file is not a JSON array", 'for example: [{"name": "laptop-1"}]')
    for number, body in enumerate(found, 1):
        if not isinstance(body, dict):
            raise Misuse(f"row {number} is not a JSON object")
        yield f"row {number}", body


def row_of(peer: dict[str, Any], action: Action, *, addresses: bool) -> Row:
    """A peer of the API as the operation that makes one like it, or sets one to what it is. No secret is in it."""
    row: Row = {"action": str(action), "name": peer["name"]}
    if action is Action.CREATE:
        row["kind"] = peer["kind"]
        if peer["kind"] == "static":
            row["public_key"] = peer["public_key"]
        if addresses:
            row |= {f"address_v{6 if ':' in address else 4}": address for address in peer["addresses"]}
    names = ("endpoint", "isolated", "full_encapsulation", "additional_allowed_ips", "owner", "labels", "groups")
    return row | {name: peer[name] for name in names}


def written(rows: Iterable[Row], kind: Format) -> str:
    """The file of `rows`. Raises `Failure` for a value that has no place in a CSV."""
    listed = list(rows)
    if kind is Format.JSON:
        return json.dumps(listed, indent=2) + "\n"
    text = io.StringIO(newline="")
    header = [name for name in COLUMNS if any(name in row for row in listed)]
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({name: _cell(row, name) for name in row})
    return text.getvalue()


def _cell(row: Row, name: str) -> str:
    value = row[name]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not value:
        return NONE if row["action"] == Action.UPDATE else ""
    parts = [f"{key}={each}" for key, each in value.items()] if isinstance(value, dict) else value
    cell = BETWEEN.join(parts) if isinstance(parts, list) else str(parts)
    try:
        is_kept = _value(name, cell.strip()) == value
    except ValueError:
        is_kept = False
    if not is_kept:
        raise Failure(f"{name} of {row['name']} has no place in a CSV", "export with --format json")
    return cell
