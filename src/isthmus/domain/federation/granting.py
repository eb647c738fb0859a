"""How a grant is made and changed: what operators write becomes a grant, or a refusal with a pointer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.federation.axes import (
    parse_axis,
    parse_entries,
    parse_instance,
    parse_network_id,
    parse_source,
)
from isthmus.domain.federation.grant import Axis, AxisMode, Disclose, Grant, Scope
from isthmus.domain.federation.names import BackendDomain, qualified

DEFAULT_LIFE = timedelta(days=30)
SHORTEST_LIFE = timedelta(seconds=60)
LONGEST_LIFE = timedelta(days=3660)
LONGEST_NOTE = 255
RESOURCE_ID = re.compile(r"[!-~]{1,255}")
AXES: Mapping[str, Any] = {"instances": parse_instance, "networks": parse_network_id, "sources": parse_source}


@dataclass(frozen=True, slots=True)
class Draft:
    """A grant as it is asked for. An axis that is None or empty restricts nothing."""

    subject: str
    kind: str
    resource_id: str | None
    scopes: Sequence[str]
    instances: Sequence[Any] | None = None
    networks: Sequence[Any] | None = None
    sources: Sequence[Any] | None = None
    expires_at: datetime | None = None
    disclose: Disclose = Disclose.GRANTEE
    note: str = ""


def granted(draft: Draft, grant_id: UUID, grantor: str, generation: int, now: datetime) -> Grant:
    """The grant that `draft` asks for, to the remote of its subject. Raises `InvalidValue`."""
    _, remote = qualified(draft.subject, "/subject")
    return Grant(
        id=grant_id,
        remote=remote,
        remote_generation=generation,
        subject=draft.subject,
        grantor=grantor,
        kind=draft.kind,
        resource_id=draft.resource_id,
        scopes=parse_scopes(draft.scopes),
        issued_at=now,
        expires_at=parse_expiry(draft.expires_at, now),
        instances=parse_axis(draft.instances, "/instances", parse_instance),
        networks=parse_axis(draft.networks, "/networks", parse_network_id),
        sources=parse_axis(draft.sources, "/sources", parse_source),
        disclose=draft.disclose,
        note=parse_note(draft.note),
    )


def remote_of(subject: str) -> BackendDomain:
    return qualified(subject, "/subject")[1]


def changed(before: Grant, changes: Mapping[str, Any], now: datetime) -> Grant:
    """`before` with these fields as `changes` has them: for an axis a list, which stays one without entries, or None,
    which opens it. Raises `InvalidValue`, and `TransitionNotAllowed` for a grant that has ended."""
    if before.revoked_at is not None:
        raise TransitionNotAllowed(f"grant {before.id}", "is revoked", "make a new one: isthmus grant create")
    parsed: dict[str, Any] = {}
    for name, value in changes.items():
        if name in AXES:
            parsed[name] = reset(value, f"/{name}", AXES[name])
        elif name == "scopes":
            parsed[name] = parse_scopes(value)
        elif name == "expires_at":
            parsed[name] = parse_expiry(value, now)
        elif name == "note":
            parsed[name] = parse_note(value)
        else:
            parsed[name] = value
    after = replace(before, **parsed)
    return after if after == before else replace(after, version=before.version + 1)


def reset(value: Sequence[Any] | None, field: str, parse_entry: Any) -> Axis[Any]:
    return Axis() if value is None else Axis(AxisMode.LIST, parse_entries(value, field, parse_entry))


def revoked(before: Grant, by: str, reason: str, now: datetime) -> Grant:
    """Raises `TransitionNotAllowed` where it is revoked already."""
    if before.revoked_at is not None:
        raise TransitionNotAllowed(f"grant {before.id}", "is revoked already")
    ended = {"revoked_at": now, "revoked_by": by, "revoked_reason": reason, "version": before.version + 1}
    return replace(before, **ended)  # type: ignore[arg-type]


def parse_scopes(names: Sequence[str]) -> frozenset[Scope]:
    known = ", ".join(each.value for each in Scope)
    if not names:
        raise InvalidValue("/scopes", "has no scope", f"they are: {known}")
    for number, name in enumerate(names):
        if name not in set(Scope):
            raise InvalidValue(f"/scopes/{number}", f"there is no scope {str(name)[:32]!r}", f"they are: {known}")
    return frozenset(map(Scope, names))


def parse_expiry(expires_at: datetime | None, now: datetime) -> datetime:
    if expires_at is None:
        return now + DEFAULT_LIFE
    if not now + SHORTEST_LIFE <= expires_at <= now + LONGEST_LIFE:
        hint = f"a grant lasts from {int(SHORTEST_LIFE.total_seconds())} seconds to ten years"
        raise InvalidValue("/expires_at", "is too soon or too late", hint)
    return expires_at


def parse_note(text: str) -> str:
    if len(text) > LONGEST_NOTE or not (text.isprintable() or not text):
        raise InvalidValue("/note", f"is not one line of at most {LONGEST_NOTE} printable characters")
    return text


def parse_resource_id(text: str | None) -> str | None:
    if text is not None and not RESOURCE_ID.fullmatch(text):
        raise InvalidValue("/resource_id", "is no id of a resource", "leave it out for the whole kind")
    return text
