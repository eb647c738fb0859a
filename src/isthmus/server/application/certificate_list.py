"""All certificates and keys of the backend in one list: what each is for, whether it is in use, what happens when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.rollover import Rolling, Schedule, Standing, current, following
from isthmus.server.application.own_trust import OwnState
from isthmus.server.certificate_records import OwnAuthority, OwnKey, OwnLeaf, Purpose
from isthmus.x509.authority import pem_of

Kind = Literal["authority", "message_key", "leaf"]
Change = Literal["renewed", "used", "dropped", ""]
Use = Literal["next", "current", "past", "issued", "replaced", "revoked", "expired"]


@dataclass(frozen=True, slots=True)
class Entry:
    """`id` is the fingerprint of an authority, the thumbprint of a message key, the serial of a leaf. `changes_at` is
    when it is renewed, comes into use or goes, as `change` says. `pem` holds an authority's certificates."""

    kind: Kind
    id: str
    use: Use
    begins_at: datetime
    ends_at: datetime | None = None
    change: Change = ""
    changes_at: datetime | None = None
    purpose: Purpose | None = None
    uri: str = ""
    infra_domains: tuple[str, ...] = ()
    is_imported: bool = False
    reason: str = ""
    pem: str = ""


def entries(state: OwnState, in_use: Mapping[Purpose, int], schedule: Schedule, now: datetime) -> list[Entry]:
    """Authorities, message keys, leaves: each kind in the order in which its members came."""
    authorities = [_authority(state, each, schedule) for each in state.authorities]
    keys = [_key(state, each, schedule) for each in state.keys]
    leaves = [_leaf(each, in_use, now) for each in state.leaves]
    return [*authorities, *keys, *leaves]


def entry(found: list[Entry], name: str) -> Entry:
    """The one entry whose id is `name` or begins with it. Raises `NotFound`."""
    exact = [each for each in found if each.id == name]
    likely = exact or [each for each in found if each.id.startswith(name)]
    if len(likely) != 1:
        raise NotFound("certificate", name if not likely else f"{name} alone: {len(likely)} begin with that")
    return likely[0]


def _authority(state: OwnState, authority: OwnAuthority, schedule: Schedule) -> Entry:
    change, at = _change(authority, schedule, schedule.authority_overlap)
    if authority.standing is Standing.CURRENT and not authority.is_imported and following(state.authorities) is None:
        change, at = "renewed", authority.ends_at - schedule.authority_lead
    return Entry(
        kind="authority",
        id=authority.fingerprint.hex(),
        use=authority.standing.value,
        begins_at=authority.published_at,
        ends_at=authority.ends_at,
        change=change,
        changes_at=at,
        is_imported=authority.is_imported,
        pem="".join(pem_of(authority.certificates)),
    )


def _key(state: OwnState, key: OwnKey, schedule: Schedule) -> Entry:
    change, at = _change(key, schedule, schedule.key_overlap)
    if key == current(state.keys) and following(state.keys) is None:
        change, at = "renewed", key.changed_at + schedule.key_life
    return Entry("message_key", key.id, key.standing.value, key.published_at, None, change, at)


def _change(thing: Rolling, schedule: Schedule, overlap: timedelta) -> tuple[Change, datetime | None]:
    if thing.standing is Standing.NEXT:
        return "used", thing.published_at + schedule.ahead
    if thing.standing is Standing.PAST:
        return "dropped", thing.changed_at + overlap
    return "", None


def _leaf(leaf: OwnLeaf, in_use: Mapping[Purpose, int], now: datetime) -> Entry:
    use: Use = "replaced"
    if leaf.revoked_at is not None:
        use = "revoked"
    elif now >= leaf.ends_at:
        use = "expired"
    elif leaf.purpose is Purpose.INVITATION:
        use = "issued"
    elif in_use.get(leaf.purpose) == leaf.serial:
        use = "current"
    is_current = use == "current"
    return Entry(
        kind="leaf",
        id=f"{leaf.serial:x}",
        use=use,
        begins_at=leaf.issued_at,
        ends_at=leaf.ends_at,
        change="renewed" if is_current else "",
        changes_at=leaf.issued_at + (leaf.ends_at - leaf.issued_at) / 2 if is_current else None,
        purpose=leaf.purpose,
        uri=leaf.uri,
        infra_domains=leaf.infra_domains,
        reason=leaf.reason,
    )
