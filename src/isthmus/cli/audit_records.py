"""The audit log as lines of records: read from a server page by page or from an export, and verified on the way."""

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from isthmus.cli.errors import Failure
from isthmus.domain.audit import Found, Seal, Verifier
from isthmus.protocol.audit_row import Said, content

if TYPE_CHECKING:
    from isthmus.cli.client import Client

Record = dict[str, Any]
"""One line of an export: `{"chain": …}` first, then rows, each followed by `{"seal": …}` where it was sealed."""


def selected(api: "Client", filters: Mapping[str, str | None]) -> Iterator[Record]:
    """The rows that match, oldest first."""
    yield from api.stream("/audit", {**filters, "after": 0})


def whole(api: "Client") -> Iterator[Record]:
    """The log as it is at this moment. What is linked or sealed meanwhile counts as not linked yet."""
    chain = api.get("/audit/chain")
    yield {"chain": chain}
    seals = api.stream("/audit/seals", {"after": 0})
    seal = next(seals, None)
    for row in api.stream("/audit", {"after": 0}):
        # A row that was written after the beginning ends this; one beyond all numbers does not belong there.
        if row["number"] > chain["last"] and row["number"] <= api.get("/audit/chain")["last"]:
            break
        yield row if row["number"] <= chain["linked"] else row | {"hash": None}
        while seal is not None and seal["number"] <= row["number"]:
            yield {"seal": seal}
            seal = next(seals, None)
    while seal is not None and seal["number"] <= chain["sealed"]:
        yield {"seal": seal}
        seal = next(seals, None)


def read(lines: Iterable[str]) -> Iterator[Record]:
    """The records of an export. Raises `Failure`."""
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise Failure(f"line {number} is no JSON object", "name a file that isthmus audit export has written")
        yield record


@dataclass(slots=True)
class Keys:
    """The keys by which seals were made, as the seals name them."""

    domain: str = ""
    public: dict[str, bytes] = field(default_factory=dict)

    def made(self, seal: Seal) -> bool:
        # Ed25519 takes a while to import; other commands do without.
        from isthmus.protocol.audit import is_sealed

        return is_sealed(seal, self.domain, self.public)


def verified(records: Iterable[Record]) -> tuple[Found, list[str]]:
    """What the log came to, and the ids of the keys that sealed it. Raises `Failure` where it cannot be read."""
    keys, last = Keys(), None
    verifier = Verifier(keys.made)
    try:
        for record in records:
            if "chain" in record:
                keys.domain, last = record["chain"]["domain"], record["chain"]["last"]
            elif "seal" in record:
                verifier.seal(_seal(record["seal"], keys))
            else:
                row = Said(**{name: record[name] for name in Said.__slots__ if name != "at"}, at=_moment(record["at"]))
                stored = record["hash"]
                verifier.row(record["number"], content(row), None if stored is None else bytes.fromhex(stored))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "verify a whole export, without filters, of this version of isthmus"
        raise Failure(f"a line is no record of an audit log: {error}", hint) from None
    if last is None:
        raise Failure("this is no whole export: its first line says nothing of the chain", "export without filters")
    return verifier.end(last), sorted(keys.public)


def _seal(record: Record, keys: Keys) -> Seal:
    with suppress(ValueError):
        keys.public.setdefault(record["key_id"], b64decode(record["public_key"], validate=True))
    return Seal(
        number=record["number"],
        hash=bytes.fromhex(record["hash"]),
        at=_moment(record["at"]),
        key_id=record["key_id"],
        previous=record["previous"],
        previous_hash=bytes.fromhex(record["previous_hash"]),
        signature=b64decode(record["signature"], validate=True),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment
