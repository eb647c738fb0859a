"""What a row of the audit log says, in the one way in which it is hashed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from isthmus.domain.audit import framed, micros


class Entry(Protocol):
    """What one row says; its number is no part of that."""

    @property
    def at(self) -> datetime: ...
    @property
    def actor(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def request_id(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Said:
    """An `Entry` that was read, from an export or a backup."""

    at: datetime
    actor: str
    action: str
    subject: str
    outcome: str
    request_id: str
    reason: str | None
    facts: dict[str, Any]


def content(entry: Entry) -> bytes:
    """All that a row says: times in microseconds since 1970; facts as JSON with sorted names, without spaces, in
    ASCII; a reason that is there behind `=`."""
    facts = json.dumps(entry.facts, sort_keys=True, separators=(",", ":"))
    reason = "" if entry.reason is None else f"={entry.reason}"
    texts = (entry.actor, entry.action, entry.subject, entry.outcome, entry.request_id, reason, facts)
    return framed(micros(entry.at), *(text.encode(errors="surrogatepass") for text in texts))
