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
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
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
from isthmus.domain.federation.rollover import Schedule
from isthmus.protocol.federator import Credential
from isthmus.server.application import own_trust as rules
from isthmus.server.application.caller import Caller
from isthmus.server.application.certificate_list import Entry, entries
from isthmus.server.application.certificate_turns import Draft, Turns, Wish, issued_row
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.own_trust import Names, OwnState
from isthmus.server.certificate_ports import Material, MaterialUnusable
from isthmus.server.certificate_records import PAIRS, OwnAuthority, OwnKey, OwnLeaf, Purpose
from isthmus.server.federation_ports import OwnTrust
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.x509.authority import LeafKey, Wanted
from isthmus.x509.authority_files import check_authority, load_authority
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


class _Moved(Exception):
    """Another server on the same database was faster."""


class CertificateService:
    def __init__(self, ground: Ground, schedule: Schedule | None = None) -> None:
        self._store, self._clock = ground.store, ground.clock
        self._changes, self._material = ground.changes, ground.material
        self._schedule = schedule or Schedule()
        self._turns = Turns(self._material, ground.ids, self._schedule)
        self._turn = asyncio.Lock()
        self.on_bundle: list[Callable[[Transaction, str], Awaitable[None]]] = []
        self.problem: str | None = None
        self.has_lapsed = False

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
        state = await self.state()
        if state.bundle is None and state.authorities:
            await asyncio.to_thread(self._check_first, state.issuing(), names)
        wish = Wish() if existing is None else await asyncio.to_thread(self._read, existing, names)
        await self._settle(names, wish, by)

    async def work(self) -> None:
        """One turn of the chore: what time asks for. `problem` says what stood in the way, `has_lapsed` that nobody
        takes our leaves any more."""
        try:
            if (names := await self._names()) is not None:
                state = await self._settle(names, Wish(), BY_ITSELF)
                # A CA whose key cannot be read is told now, not when the next leaf is due.
                await asyncio.to_thread(self._material.authority, state.issuing().fingerprint)
        except MaterialUnusable as problem:
            if str(problem) != self.problem:
                log.error("certificates cannot be kept up", problem=str(problem))
            self.problem = str(problem)
            pairs = [await asyncio.to_thread(self._material.pair, purpose) for purpose in PAIRS]
            now = self._clock.now()
            self.has_lapsed = any(pair is None or now > pair.leaf.not_after for pair in pairs)
            return
        if self.problem is not None:
            log.info("certificates are kept up again")
        self.problem, self.has_lapsed = None, False

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
            await tx.own_trust.put_leaves([issued_row(issued, issuing, Purpose.INVITATION, wanted, now)])
        return Credential(issued.chain.decode(), issued.key.decode())

    async def certify(self, key: LeafKey, instance: InstanceId, life: timedelta) -> tuple[OwnLeaf, str]:
        """A leaf for an instance of ours and its chain in PEM. Whoever asks for it stores it. Raises `NotFound` before
        `prepare`, `MaterialUnusable`."""
        names = await self._needed_names()
        now, state = self._clock.now(), await self.state()
        wanted, issuing = Wanted(instance_uri(names.domain, instance), names.infra_domains), state.issuing().fingerprint
        authority = await asyncio.to_thread(self._material.authority, issuing)
        made = await asyncio.to_thread(authority.certify, key, wanted, now, life)
        return issued_row(made, issuing, Purpose.INSTANCE, wanted, now), made.chain.decode()

    async def publish(self, by: Caller) -> None:
        """A new bundle at once, where somebody has stored what it must say."""
        await self._settle(await self._needed_names(), Wish(), by)

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
        """A CA that was made elsewhere comes next; before federation is set up it is the one to begin with. Raises
        `InvalidValue`, `TransitionNotAllowed`."""
        names = await self._names()
        wish = await asyncio.to_thread(self._read, existing, names)
        if names is None:
            return await self._begin_with(wish, by)
        return (await self._settle(names, wish, by)).authorities[-1]

    async def roll_authority(self, by: Caller) -> OwnAuthority:
        """Make a new CA that comes next. Raises `TransitionNotAllowed`."""
        names = await self._needed_names()
        return (await self._settle(names, Wish(rolls_authority=True), by)).authorities[-1]

    async def roll_key(self, by: Caller) -> OwnKey:
        """Make a new message key that comes next. Raises `TransitionNotAllowed`."""
        names = await self._needed_names()
        return (await self._settle(names, Wish(rolls_key=True), by)).keys[-1]

    async def _begin_with(self, wish: Wish, by: Caller) -> OwnAuthority:
        async with self._turn:
            row = await asyncio.to_thread(self._turns.begun, wish, self._clock.now())
            async with self._store.transaction() as tx:
                if await tx.own_trust.bundle() is not None:
                    raise TransitionNotAllowed("the CA", "there is one already", "finish isthmus federation init first")
                # One that was imported before, and found unfit perhaps, gives way.
                former = await tx.own_trust.authorities()
                await tx.own_trust.drop_authorities([each.fingerprint for each in former])
                await tx.own_trust.put_authorities([row])
                facts = {"standing": row.standing.value, "imported": True}
                told = by.did("certificate.authority", row.fingerprint.hex(), row.published_at, **facts)
                await tx.journal.audit([told])
        return row

    def _check_first(self, row: OwnAuthority, names: Names) -> None:
        """That the CA to begin with may issue leaves for these names. Blocks. Raises `InvalidValue`."""
        authority = self._material.authority(row.fingerprint)
        try:
            check_authority(authority, Path("the imported CA"), _trial(names), self._clock.now())
        except PairUnusable as unusable:
            raise InvalidValue("/infra_domains", str(unusable)) from None

    def _read(self, existing: Existing, names: Names | None) -> Wish:
        """The CA of these files, checked. Blocks. Raises `InvalidValue`."""
        wanted = None if names is None else _trial(names)
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
                draft = await asyncio.to_thread(self._turns.drafted, before, names, wish, self._clock.now())
                try:
                    await self._commit(draft, by)
                except _Moved:
                    continue
                await asyncio.to_thread(self._turns.follow, draft)
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


def _trial(names: Names) -> Wanted:
    """What a leaf of ours says that serves as well; of no instance."""
    return Wanted(instance_uri(names.domain, InstanceId(UUID(int=0))), names.infra_domains, serves=True)


def _not_set_up() -> NotFound:
    return NotFound("federation", "of this backend: set it up with isthmus federation init")
