"""The backend's own certificates: CA, leaves, message keys and bundle, made, renewed, rolled over and revoked.

Wiring: `CertificateService(Ground of store, clock, ids, changes, material)`, with `FileMaterial(Places(data_dir))` as
material; `Chore("…", CHORE_SECONDS, service.work)`; whoever must hear of a new bundle in the same transaction appends
to `on_bundle`. `prepare` is called outside of any transaction, before or after the facts of the federation are stored.
Rows decide, files follow: after each commit the files are made to agree with it, and again at the next turn if that
failed. Private keys are in files alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.certificate import LONGEST_OWN_LIFE
from isthmus.domain.federation.names import (
    BackendDomain,
    InfraDomain,
    InstanceId,
    instance_uri,
    invitation_uri,
)
from isthmus.domain.federation.rollover import Schedule, Standing, following
from isthmus.protocol.bundle import seal
from isthmus.protocol.federator import Credential
from isthmus.protocol.message_key import MessageKey
from isthmus.server.application import own_trust as rules
from isthmus.server.application.caller import Caller
from isthmus.server.application.certificate_list import Entry, entries
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.own_trust import Names, OwnState
from isthmus.server.certificate_ports import Material, MaterialUnusable
from isthmus.server.certificate_records import PAIRS, OwnAuthority, OwnBundle, OwnKey, OwnLeaf, Purpose
from isthmus.server.federation_ports import OwnTrust
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.x509.authority import Authority, Issued, Wanted, make_authority
from isthmus.x509.authority_files import check_authority, load_authority
from isthmus.x509.leaf import read_leaf
from isthmus.x509.pair import PairUnusable

log = structlog.get_logger()

CHORE_SECONDS = 10.0
ATTEMPTS = 3
BY_ITSELF = Caller("local", "certificates")


@dataclass(frozen=True, slots=True)
class Ground:
    """What the service stands on."""

    store: Store
    clock: Clock
    ids: Ids
    changes: FederationChanges
    material: Material


@dataclass(frozen=True, slots=True)
class Existing:
    """A CA that was made elsewhere. With `key_stays` its key file is used where it is, else it is copied."""

    certificate: Path
    key: Path
    key_stays: bool = False


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


class _Moved(Exception):
    """Another server on the same database was faster."""


class CertificateService:
    def __init__(self, ground: Ground, schedule: Schedule | None = None) -> None:
        self._store, self._clock, self._ids = ground.store, ground.clock, ground.ids
        self._changes, self._material = ground.changes, ground.material
        self._schedule = schedule or Schedule()
        self._turn = asyncio.Lock()
        self.on_bundle: list[Callable[[Transaction, str], Awaitable[None]]] = []
        self.problem: str | None = None

    async def prepare(
        self,
        domain: BackendDomain,
        infra_domains: Sequence[InfraDomain],
        existing: Existing | None = None,
        by: Caller = BY_ITSELF,
    ) -> None:
        """Make what is not there yet, and leaves for these names. `existing` is the CA to begin with; where there is
        one already it comes next. Raises `MaterialUnusable`, `InvalidValue`."""
        names = Names(domain, tuple(infra_domains))
        await asyncio.to_thread(self._material.prepare)
        wish = Wish() if existing is None else await asyncio.to_thread(self._read, existing, names)
        await self._settle(names, wish, by)

    async def work(self) -> None:
        """One turn of the chore: what time asks for. `problem` says what stood in the way."""
        try:
            if (names := await self._names()) is not None:
                await self._settle(names, Wish(), BY_ITSELF)
        except MaterialUnusable as problem:
            if str(problem) != self.problem:
                log.error("certificates cannot be kept up", problem=str(problem))
            self.problem = str(problem)
            return
        if self.problem is not None:
            log.info("certificates are kept up again")
        self.problem = None

    async def trust(self) -> OwnTrust:
        """What proves us to others."""
        async with self._store.reading() as tx:
            state = await rules.load(tx.own_trust)
        certificates = [each for authority in state.authorities for each in authority.certificates]
        revoked = [each.fingerprint for each in rules.live_revoked(state.leaves, self._clock.now())]
        sequence = 0 if state.bundle is None else state.bundle.sequence
        return OwnTrust(tuple(dict.fromkeys(certificates)), sequence, tuple(revoked))

    async def bundle(self) -> str:
        """Our bundle as a compact JWS. Raises `NotFound` before `prepare`."""
        async with self._store.reading() as tx:
            bundle = await tx.own_trust.bundle()
        if bundle is None:
            raise _not_set_up()
        return bundle.signed

    async def state(self) -> OwnState:
        """Authorities, keys and leaves as they are stored."""
        async with self._store.reading() as tx:
            return await rules.load(tx.own_trust)

    async def entries(self) -> list[Entry]:
        """All of them, with what is in use and what happens when."""
        pairs = {purpose: await asyncio.to_thread(self._material.pair, purpose) for purpose in PAIRS}
        in_use = {purpose: pair.leaf.serial for purpose, pair in pairs.items() if pair is not None}
        return entries(await self.state(), in_use, self._schedule, self._clock.now())

    async def invitation_leaf(self, invitation: UUID, until: datetime) -> Credential:
        """A leaf and its key that speak for the holder of an invitation until then, at most for 7 days."""
        names = await self._needed_names()
        now, state = self._clock.now(), await self.state()
        wanted = Wanted(invitation_uri(names.domain, invitation), names.infra_domains)
        life = min(until - now, LONGEST_OWN_LIFE)
        issuing = state.issuing().fingerprint
        authority = await asyncio.to_thread(self._material.authority, issuing)
        issued = authority.issue(wanted, now, life)
        async with self._store.transaction() as tx:
            await tx.own_trust.put_leaves([_row(issued, issuing, Purpose.INVITATION, wanted, now)])
        return Credential(issued.chain.decode(), issued.key.decode())

    async def renew(self, by: Caller) -> None:
        """New leaves for both pairs, at once."""
        await self._settle(await self._needed_names(), Wish(renew=frozenset(PAIRS)), by)

    async def revoke(self, by: Caller, serial: int, reason: str) -> OwnLeaf:
        """End a leaf of ours before its time: it is not presented any more, remotes hear of it by the bundle, and a new
        one takes its place at once. Raises `NotFound`, `TransitionNotAllowed`."""
        names = await self._needed_names()
        leaf = (await self.state()).leaf(serial)
        if leaf is None:
            raise NotFound("certificate", f"{serial:x}")
        if leaf.revoked_at is not None or leaf.ends_at <= self._clock.now():
            what = "was revoked before" if leaf.revoked_at is not None else "has expired"
            raise TransitionNotAllowed(f"certificate {serial:x}", f"it {what}")
        after = await self._settle(names, Wish(revoke=serial, reason=reason), by)
        return after.leaf(serial) or leaf

    async def import_authority(self, by: Caller, existing: Existing) -> OwnAuthority:
        """A CA that was made elsewhere comes next. Raises `InvalidValue`, `TransitionNotAllowed`."""
        names = await self._needed_names()
        wish = await asyncio.to_thread(self._read, existing, names)
        return (await self._settle(names, wish, by)).authorities[-1]

    async def roll_authority(self, by: Caller) -> OwnAuthority:
        """Make a new CA that comes next. Raises `TransitionNotAllowed`."""
        names = await self._needed_names()
        return (await self._settle(names, Wish(rolls_authority=True), by)).authorities[-1]

    async def roll_key(self, by: Caller) -> OwnKey:
        """Make a new message key that comes next. Raises `TransitionNotAllowed`."""
        names = await self._needed_names()
        return (await self._settle(names, Wish(rolls_key=True), by)).keys[-1]

    def _read(self, existing: Existing, names: Names) -> Wish:
        """The CA of these files, checked. Blocks. Raises `InvalidValue`."""
        wanted = Wanted(instance_uri(names.domain, InstanceId(UUID(int=0))), names.infra_domains, serves=True)
        try:
            authority = load_authority(existing.certificate, existing.key)
            check_authority(authority, existing.certificate, wanted, self._clock.now())
        except PairUnusable as unusable:
            name = "/key_file" if unusable.path == existing.key else "/certificate_file"
            hint = "the server itself reads these files, as the user that it runs as"
            raise InvalidValue(name, str(unusable), hint) from None
        return Wish(authority=authority, key_file=str(existing.key) if existing.key_stays else None, is_imported=True)

    async def _names(self) -> Names | None:
        async with self._store.reading() as tx:
            facts = await tx.federation.get()
        return None if facts is None else Names(facts.domain, facts.infra_domains)

    async def _needed_names(self) -> Names:
        if (names := await self._names()) is None:
            raise _not_set_up()
        return names

    async def _settle(self, names: Names, wish: Wish, by: Caller) -> OwnState:
        """Work out what must become so, write it, then let the files follow."""
        async with self._turn:
            for _ in range(ATTEMPTS):
                async with self._store.reading() as tx:
                    before = await rules.load(tx.own_trust)
                draft = await asyncio.to_thread(self._draft, before, names, wish)
                try:
                    await self._commit(draft, by)
                except _Moved:
                    continue
                await asyncio.to_thread(self._follow, draft)
                return draft.after
            raise TransitionNotAllowed("the certificates", "another server changes them at the same time")

    async def _commit(self, draft: Draft, by: Caller) -> None:
        if draft.after == draft.before:
            return
        opened: AbstractAsyncContextManager[Transaction]
        # A new leaf is none of the Federator's decisions: it reads the file.
        opened = self._changes.transaction() if draft.changes_bundle else self._store.transaction()
        async with opened as tx:
            if await rules.load(tx.own_trust, lock=True) != draft.before:
                raise _Moved
            await rules.save(tx.own_trust, draft.before, draft.after)
            rows = [by.did(action, subject, draft.now, **facts) for action, subject, facts in draft.events]
            await tx.journal.audit(rows)
            if draft.changes_bundle and draft.after.bundle is not None:
                for told in self.on_bundle:
                    await told(tx, draft.after.bundle.signed)

    def _draft(self, before: OwnState, names: Names, wish: Wish) -> Draft:
        """The state after this turn. Blocks: makes keys, and keeps them in files that nothing points to yet."""
        draft = Draft(self._clock.now(), names, before, before)
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
        ends = authority.certificate.not_valid_after_utc
        row = OwnAuthority(
            standing, draft.now, draft.now, authority.fingerprint, authority.certificates, ends, is_imported
        )
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
        row = _row(issued, issuing, purpose, wanted, draft.now)
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

    def _follow(self, draft: Draft) -> None:
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


def _row(issued: Issued, authority: bytes, purpose: Purpose, wanted: Wanted, now: datetime) -> OwnLeaf:
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


def _not_set_up() -> NotFound:
    return NotFound("federation", "of this backend: set it up with isthmus federation init")
