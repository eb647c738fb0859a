"""One turn of the backend's own certificates: what must become so is worked out here, and the files are made to follow.

It blocks, on files and on making keys, so the service runs it in a thread.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.names import InstanceId, instance_uri
from isthmus.domain.federation.rollover import Schedule, Standing, following
from isthmus.protocol.bundle import seal
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application import own_trust as rules
from isthmus.server.application.own_trust import Names, OwnState
from isthmus.server.certificate_ports import Material
from isthmus.server.certificate_records import PAIRS, OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose
from isthmus.server.ports import Ids
from isthmus.x509.authority import Authority, Certified, Issued, Wanted, make_authority
from isthmus.x509.leaf import read_leaf


@dataclass(frozen=True, slots=True)
class Wish:
    """What a turn shall bring about beside what time asks for."""

    renew: frozenset[Purpose] = frozenset()
    revoke: int | None = None
    reason: str = ""
    authority: Authority | None = None
    key_file: str | None = None
    is_imported: bool = False
    rolls_authority: bool = False
    rolls_key: bool = False


@dataclass(slots=True)
class Draft:
    """A turn as it was worked out: the state after it, and what the audit log will say."""

    now: datetime
    names: Names
    before: OwnState
    after: OwnState
    issued: dict[Purpose, Issued] = field(default_factory=dict)
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def changes_bundle(self) -> bool:
        return self.after.bundle != self.before.bundle


class Turns:
    def __init__(self, material: Material, ids: Ids, schedule: Schedule) -> None:
        self._material = material
        self._ids = ids
        self._schedule = schedule

    def drafted(self, before: OwnState, names: Names, wish: Wish, now: datetime) -> Draft:
        """The state after this turn. Blocks: makes keys, and keeps them in files that nothing points to yet."""
        draft = Draft(now, names, before, before)
        self._add_bundle(draft)
        self._add_authority(draft, wish)
        self._add_key(draft, wish)
        draft.after = rules.aged(draft.after, draft.now, self._schedule)
        if wish.revoke is not None:
            draft.after = rules.revoked_leaf(draft.after, wish.revoke, wish.reason, draft.now)
            draft.events.append(("certificate.revoke", f"{wish.revoke:x}", {"reason": wish.reason}))
        for purpose in PAIRS:
            self._add_leaf(draft, wish, purpose)
        self._publish(draft)
        return draft

    def begun(self, wish: Wish, now: datetime) -> OwnAuthority:
        """The CA to begin with, kept in the files before there is anything else."""
        if wish.authority is None:
            raise LookupError("there is no CA to begin with")
        self._material.prepare()
        self._material.keep_authority(wish.authority, wish.key_file)
        return _authority_row(wish.authority, Standing.CURRENT, now, is_imported=True)

    def _add_bundle(self, draft: Draft) -> None:
        if draft.before.bundle is None:
            draft.after = replace(draft.after, bundle=OwnBundle(self._ids.new(), self._ids.new()))

    def _add_authority(self, draft: Draft, wish: Wish) -> None:
        """The first CA, or the one that comes next."""
        is_first = not draft.after.authorities
        authority, is_imported = wish.authority, wish.is_imported
        if authority is None and is_first:
            # The files outlived the database.
            authority = self._material.found_authority()
        if authority is None:
            if not (is_first or wish.rolls_authority or rules.wants_authority(draft.after, draft.now, self._schedule)):
                return
            authority = make_authority(draft.names.domain, draft.now)
        if following(draft.after.authorities) is not None:
            raise TransitionNotAllowed("the CA", "another one comes next already")
        if any(each.fingerprint == authority.fingerprint for each in draft.after.authorities):
            raise TransitionNotAllowed("the CA", "it is known already")
        self._material.keep_authority(authority, wish.key_file)
        standing = Standing.CURRENT if is_first else Standing.NEXT
        row = _authority_row(authority, standing, draft.now, is_imported=is_imported)
        draft.after = replace(draft.after, authorities=(*draft.after.authorities, row))
        facts = {"standing": standing.value, "imported": is_imported}
        draft.events.append(("certificate.authority", row.fingerprint.hex(), facts))

    def _add_key(self, draft: Draft, wish: Wish) -> None:
        """The first message key, or the one that comes next."""
        is_first = not draft.after.keys
        if not (is_first or wish.rolls_key or rules.wants_key(draft.after, draft.now, self._schedule)):
            return
        if following(draft.after.keys) is not None:
            raise TransitionNotAllowed("the message key", "another one comes next already")
        key = (self._material.found_message_key() if is_first else None) or MessageKey.generate()
        self._material.keep_message_key(key)
        standing = Standing.CURRENT if is_first else Standing.NEXT
        row = OwnKey(standing, draft.now, draft.now, key.id, key.public)
        draft.after = replace(draft.after, keys=(*draft.after.keys, row))
        draft.events.append(("certificate.message_key", key.id, {"standing": standing.value}))

    def _add_leaf(self, draft: Draft, wish: Wish, purpose: Purpose) -> None:
        pair = self._material.pair(purpose)
        if purpose not in wish.renew and not rules.needs_leaf(draft.after, purpose, pair, draft.names, draft.now):
            return
        issuing = draft.after.issuing().fingerprint
        uri = instance_uri(draft.names.domain, InstanceId(draft.after.instance(purpose)))
        wanted = Wanted(uri, draft.names.infra_domains, serves=purpose is Purpose.INGRESS)
        issued = self._material.authority(issuing).issue(wanted, draft.now, self._schedule.leaf_life)
        row = issued_row(issued, issuing, purpose, wanted, draft.now)
        draft.issued[purpose] = issued
        draft.after = replace(draft.after, leaves=(*draft.after.leaves, row))
        facts = {"purpose": purpose.value, "until": row.ends_at.isoformat()}
        draft.events.append(("certificate.issue", f"{row.serial:x}", facts))

    def _publish(self, draft: Draft) -> None:
        """A new bundle, where it would say something else than the last one."""
        last = draft.after.bundle
        bundle = rules.contents(draft.after, draft.names, draft.now)
        if last is None or last.digest == bundle.digest:
            return
        bundle = replace(bundle, sequence=rules.next_sequence(last.sequence, draft.now))
        signer = self._material.message_key(rules.signer_of(draft.after).id)
        signed = seal(bundle, signer)
        draft.after = replace(
            draft.after, bundle=replace(last, sequence=bundle.sequence, digest=bundle.digest, signed=signed)
        )
        draft.events.append(("certificate.bundle", str(bundle.sequence), {"digest": bundle.digest.hex()}))

    def follow(self, draft: Draft) -> None:
        """Make the files agree with what was committed. Blocks."""
        after = draft.after
        self._material.use_authority(after.issuing().fingerprint)
        self._material.use_message_key(after.signing().id)
        for purpose, issued in draft.issued.items():
            self._material.install(purpose, issued)
        authorities = {each.fingerprint for each in after.authorities}
        keys = {each.id for each in after.keys}
        self._material.forget(
            [each.fingerprint for each in draft.before.authorities if each.fingerprint not in authorities],
            [each.id for each in draft.before.keys if each.id not in keys],
        )


def _authority_row(authority: Authority, standing: Standing, now: datetime, *, is_imported: bool) -> OwnAuthority:
    ends = authority.certificate.not_valid_after_utc
    return OwnAuthority(standing, now, now, authority.fingerprint, authority.certificates, ends, is_imported)


def issued_row(issued: Certified, authority: bytes, purpose: Purpose, wanted: Wanted, now: datetime) -> OwnLeaf:
    leaf = read_leaf(issued.der)
    return OwnLeaf(
        serial=leaf.serial,
        fingerprint=leaf.fingerprint,
        authority=authority,
        purpose=purpose,
        uri=wanted.uri,
        infra_domains=wanted.infra_domains,
        issued_at=now,
        ends_at=leaf.not_after,
    )
