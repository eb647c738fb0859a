"""Remotes: what they may do, and how their standing changes. Every change is told to the Federator and the ingress."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.bundle import same_code
from isthmus.domain.federation.names import BackendDomain, InstanceId, backend_domain, is_domain
from isthmus.domain.federation.remote import Action, Direction, Limits, Remote, Revocation, State, Trust
from isthmus.domain.mesh.peer import parse_text
from isthmus.protocol.federation import COMPONENTS
from isthmus.protocol.handshake import Confirm
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.federation_facts import check_is_ours, parse_infra_domains
from isthmus.server.application.networks import check_version, named_fields
from isthmus.server.application.outbox import Letter, enqueue, notice
from isthmus.server.application.patch import UNSET, Maybe, Unset, chosen
from isthmus.server.federation_records import Acceptance, Lane, LaneState, Message, RemoteInstance
from isthmus.server.ports import Clock, Ids, RemoteExists, Store, Transaction

MOST_MESSAGES = 100
MOST_REASON = 500
FASTEST, MOST_PARALLEL = 100_000, 10_000
LONGEST_SERIAL = 2**160


@dataclass(frozen=True, slots=True)
class Update:
    """What shall be other. `components` None means all, `limits` are those of the names that it has."""

    direction: Maybe[Direction] = UNSET
    components: Maybe[Sequence[str] | None] = UNSET
    infra_domains: Maybe[Sequence[str]] = UNSET
    limits: Maybe[Mapping[str, float]] = UNSET
    expires_at: Maybe[datetime | None] = UNSET
    contact: Maybe[str] = UNSET
    notes: Maybe[str] = UNSET
    needs_dnssec: Maybe[bool] = UNSET
    needs_tlsa: Maybe[bool] = UNSET
    known_instances_only: Maybe[bool] = UNSET


@dataclass(frozen=True, slots=True)
class Named:
    """A leaf, by its fingerprint (SHA-256 of its DER), serial or key (SHA-256 of its SPKI), or an instance."""

    reason: str
    fingerprint: bytes | None = None
    serial: int | None = None
    key: bytes | None = None
    instance: InstanceId | None = None


@dataclass(frozen=True, slots=True)
class Details:
    """A remote with all that is kept beside it. `acceptance` is there until the other side has answered it."""

    remote: Remote
    instances: Sequence[RemoteInstance] = ()
    revocations: Sequence[Revocation] = ()
    lanes: Sequence[LaneState] = ()
    waiting: Sequence[Message] = ()
    acceptance: Acceptance | None = None
    earlier: Sequence[Remote] = ()


class RemoteService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, changes: FederationChanges) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._changes = changes

    async def page(self, limit: int, after: str | None = None) -> list[Remote]:
        async with self._store.reading() as tx:
            return await tx.remotes.page(limit, after)

    async def details(self, domain: BackendDomain) -> Details:
        async with self._store.reading() as tx:
            remote = listed(await tx.remotes.get(domain))
            acceptances = {each.remote_id: each for each in await tx.remotes.acceptances()}
            return Details(
                remote=remote,
                instances=await tx.remote_instances.of(domain),
                revocations=await tx.revocations.of(domain),
                lanes=await tx.outbox.lanes(remote.id),
                waiting=await tx.outbox.of(remote.id, MOST_MESSAGES),
                acceptance=acceptances.get(remote.id),
                earlier=(await tx.remotes.generations(domain))[1:],
            )

    async def add_shared(self, caller: Caller, domain: str, infra_domains: Sequence[str]) -> Remote:
        """List a remote that the shared roots of this backend vouch for: no handshake, active at once."""
        named, infra, now = backend_domain(domain), parse_infra_domains(infra_domains), self._clock.now()
        try:
            async with self._changes.transaction() as tx:
                generation = await next_generation(tx, named)
                facts = await tx.federation.lock()
                check_is_ours(facts, named, "/domain")
                if not facts.shared_roots:
                    hint = "isthmus federation set --shared-roots FILE, or invite it with isthmus remote invite"
                    raise TransitionNotAllowed("federation", "has no shared roots that could vouch for a remote", hint)
                remote = Remote(self._ids.new(), named, generation, State.ACTIVE, now, infra, Trust.SHARED)
                await tx.remotes.add(remote)
                await tx.journal.audit([caller.did("remote.add", named, now, **told_of(remote))])
        except RemoteExists:
            raise is_listed(named) from None
        return remote

    async def update(self, caller: Caller, domain: BackendDomain, update: Update, version: int | None) -> Remote:
        now = self._clock.now()
        async with self._changes.transaction(concerns=domain) as tx:
            before = await locked(tx, domain)
            check_version(before.version, version)
            if before.state is State.REVOKED:
                raise TransitionNotAllowed(f"remote {domain}", "is revoked", "invite it again: isthmus remote invite")
            after = changed(before, update)
            if after != before:
                after = replace(after, version=before.version + 1)
                await tx.remotes.save(after)
            await tx.journal.audit([caller.did("remote.update", domain, now, fields=named_fields(update))])
        return after

    async def confirm(self, caller: Caller, domain: BackendDomain, code: str) -> Remote:
        """The operator here has compared the short code. Once both have, the remote is active."""
        now = self._clock.now()
        async with self._changes.transaction(concerns=domain) as tx:
            before = await locked(tx, domain)
            check_confirmable(before, code)
            if any(each.remote_id == before.id for each in await tx.remotes.acceptances()):
                hint = "isthmus remote show tells what stands in the way"
                raise TransitionNotAllowed(f"remote {domain}", "has not answered our acceptance yet", hint)
            after = replace(before, confirmed_here=True, version=before.version + 1)
            after = opened(after, now)
            await tx.remotes.save(after)
            if not before.confirmed_here:
                letter = Letter(Lane.HANDSHAKE, "handshake", "confirm", Confirm(before.short_code))
                await enqueue(tx, after, letter, now)
            await tx.journal.audit([caller.did("remote.confirm", domain, now, **told_of(after))])
        return after

    async def suspend(self, caller: Caller, domain: BackendDomain) -> Remote:
        return await self._move(caller, domain, Action.SUSPEND)

    async def resume(self, caller: Caller, domain: BackendDomain) -> Remote:
        return await self._move(caller, domain, Action.RESUME)

    async def revoke(self, caller: Caller, domain: BackendDomain) -> Remote:
        """Cut for good. Adding the domain again makes another entry, to which nothing of this one belongs."""
        return await self._move(caller, domain, Action.REVOKE)

    async def remove(self, caller: Caller, domain: BackendDomain) -> None:
        """Take it off the allow list: cut for good and told so, and from now on a stranger."""
        now = self._clock.now()
        async with self._changes.transaction(concerns=domain) as tx:
            before = await locked(tx, domain)
            after = before.removed(now)
            await tx.remotes.save(after)
            if before.state is not State.REVOKED:
                await end(tx, after, now)
            await tx.journal.audit([caller.did("remote.remove", domain, now, before=before.state, **told_of(after))])

    async def _move(self, caller: Caller, domain: BackendDomain, action: Action) -> Remote:
        now = self._clock.now()
        async with self._changes.transaction(concerns=domain) as tx:
            before = await locked(tx, domain)
            after = before.after(action, now)
            await tx.remotes.save(after)
            if action is Action.REVOKE:
                await end(tx, after, now)
            else:
                await enqueue(tx, after, notice("suspended" if action is Action.SUSPEND else "resumed"), now)
            await tx.journal.audit([caller.did(f"remote.{action}", domain, now, **told_of(after))])
        return after

    async def revoke_leaf(self, caller: Caller, domain: BackendDomain, named: Named) -> Revocation:
        """A leaf or an instance of a remote counts no more, on connections that are open too."""
        now = self._clock.now()
        revocation = Revocation(
            domain, now, parse_reason(named.reason), named.fingerprint, named.serial, named.key, named.instance
        )
        if sum(each is not None for each in (named.fingerprint, named.serial, named.key, named.instance)) != 1:
            raise InvalidValue("/fingerprint", "name one of fingerprint, serial, key and instance")
        if named.serial is not None and not 0 < named.serial < LONGEST_SERIAL:
            raise InvalidValue("/serial", "is no serial of a certificate")
        async with self._changes.transaction(concerns=domain) as tx:
            await locked(tx, domain)
            await tx.revocations.add(revocation, self._ids.new())
            facts: dict[str, Any] = {"reason": revocation.reason, **shown(revocation)}
            await tx.journal.audit([caller.did("remote.revoke-leaf", domain, now, **facts)])
        return revocation

    async def block(
        self, caller: Caller, domain: BackendDomain, instance: InstanceId, reason: str | None
    ) -> RemoteInstance:
        """Refuse an instance until it is unblocked; `reason` None unblocks it, which makes it a known one."""
        now = self._clock.now()
        async with self._changes.transaction(concerns=domain) as tx:
            await locked(tx, domain)
            known = await tx.remote_instances.get(domain, instance) or RemoteInstance(domain, instance)
            if reason is None:
                after = replace(known, blocked_at=None, reason="")
            else:
                after = replace(known, blocked_at=known.blocked_at or now, reason=parse_reason(reason))
            await tx.remote_instances.save(after)
            action = "remote.unblock" if reason is None else "remote.block"
            facts = {"instance": str(instance), "reason": after.reason}
            await tx.journal.audit([caller.did(action, domain, now, **facts)])
        return after


def listed(remote: Remote) -> Remote:
    """Raises `NotFound` for one that was removed."""
    if remote.removed_at is not None:
        raise NotFound("remote", remote.domain)
    return remote


async def locked(tx: Transaction, domain: BackendDomain) -> Remote:
    """The listed entry of `domain`, which nobody else changes meanwhile. Raises `NotFound`."""
    return listed(await tx.remotes.lock(domain))


def opened(remote: Remote, now: datetime) -> Remote:
    """`remote`, active once both operators have confirmed it."""
    if remote.state is not State.PENDING or not (remote.confirmed_here and remote.confirmed_there):
        return remote
    return replace(remote.after(Action.CONFIRM, now), version=remote.version)


async def end(tx: Transaction, remote: Remote, now: datetime, *, tell: bool = True) -> None:
    """What goes with a remote that is revoked in this transaction; `tell` it so, unless the news came from there."""
    acceptances = {each.remote_id for each in await tx.remotes.acceptances()}
    await tx.remotes.drop_acceptance(remote.id)
    await tx.outbox.clear(remote.id, (Lane.HANDSHAKE, Lane.STATE))
    # Who has never heard of us has nothing to be told, and who is known by shared roots alone knows no news of ours.
    if tell and remote.id not in acceptances and remote.trust is Trust.PINNED:
        await enqueue(tx, remote, notice("revoked"), now)


async def next_generation(tx: Transaction, domain: BackendDomain) -> int:
    """The generation of a new entry of `domain`. Raises `TransitionNotAllowed` while there is a live one."""
    try:
        last = await tx.remotes.lock(domain)
    except NotFound:
        return 1
    if last.state is not State.REVOKED:
        raise is_listed(domain)
    return last.generation + 1


def is_listed(domain: BackendDomain) -> TransitionNotAllowed:
    hint = f"isthmus remote show {domain}; to begin anew, first isthmus remote revoke {domain}"
    return TransitionNotAllowed(f"remote {domain}", "is there already", hint)


def check_confirmable(remote: Remote, code: str) -> None:
    if remote.state is State.REVOKED or not remote.short_code:
        raise TransitionNotAllowed(f"remote {remote.domain}", f"has nothing to confirm: it is {remote.state}")
    if not same_code(code, remote.short_code):
        hint = "compare it with the other operator over a channel that you trust; if they differ, revoke the remote"
        raise InvalidValue("/short_code", "is not the short code of this remote", hint)


def changed(before: Remote, update: Update) -> Remote:
    infra = chosen(update.infra_domains, before.infra_domains)
    return replace(
        before,
        direction=chosen(update.direction, before.direction),
        components=before.components if isinstance(update.components, Unset) else parse_components(update.components),
        infra_domains=parse_infra_domains(infra),
        limits=before.limits if isinstance(update.limits, Unset) else parse_limits(before.limits, update.limits),
        expires_at=chosen(update.expires_at, before.expires_at),
        contact=parse_line(chosen(update.contact, before.contact), "/contact"),
        notes=parse_line(chosen(update.notes, before.notes), "/notes"),
        needs_dnssec=chosen(update.needs_dnssec, before.needs_dnssec),
        needs_tlsa=chosen(update.needs_tlsa, before.needs_tlsa),
        known_instances_only=chosen(update.known_instances_only, before.known_instances_only),
    )


def parse_components(names: Sequence[str] | None) -> frozenset[str] | None:
    for name in names or ():
        if name not in COMPONENTS:
            hint = f"they are: {', '.join(sorted(COMPONENTS))}"
            raise InvalidValue("/components", f"there is no component {name[:64]!r}", hint)
    return None if names is None else frozenset(names)


def parse_limits(before: Limits, given: Mapping[str, float]) -> Limits:
    for name, value in given.items():
        lowest, most = (1, MOST_PARALLEL) if name == "parallel" else (1 if name.endswith("_burst") else 0, FASTEST)
        if not lowest <= value <= most:
            raise InvalidValue(f"/limits/{name}", f"is not between {lowest} and {most}")
    return Limits(**(asdict(before) | dict(given)))


def parse_line(text: str, field: str) -> str:
    return parse_text(text, field) if text else text


def parse_reason(text: str) -> str:
    if not text.strip() or len(text) > MOST_REASON:
        raise InvalidValue("/reason", f"is not a text of 1 to {MOST_REASON} characters", "say why, for the record")
    return parse_text(text, "/reason")


def remote_domain(text: str) -> BackendDomain:
    """The domain in a path. Raises `NotFound` for what no remote can be called."""
    if not is_domain(text):
        raise NotFound("remote", text[:64])
    return BackendDomain(text)


def told_of(remote: Remote) -> dict[str, Any]:
    """What the audit row of a change tells of the remote."""
    return {"generation": remote.generation, "state": remote.state.value}


def shown(revocation: Revocation) -> dict[str, str]:
    """What a revocation names, as text."""
    found = {
        "fingerprint": revocation.fingerprint and revocation.fingerprint.hex(),
        "serial": None if revocation.serial is None else f"{revocation.serial:x}",
        "key": revocation.key and revocation.key.hex(),
        "instance": revocation.instance and str(revocation.instance),
    }
    return {name: text for name, text in found.items() if text}
