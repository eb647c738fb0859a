"""Inviting another backend, and accepting its invitation: how two that know nothing of each other begin."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import structlog

from isthmus.domain.errors import InvalidValue, NotFound, Refusal, TransitionNotAllowed
from isthmus.domain.federation.bundle import Bundle, short_code
from isthmus.domain.federation.invitation import LEAF_OUTLIVES, LIFETIME, Invitation, check_lifetime
from isthmus.domain.federation.names import BackendDomain, backend_domain
from isthmus.domain.federation.remote import Action, Remote, State, Strategy
from isthmus.domain.ids import NetworkId
from isthmus.protocol import handshake as wire
from isthmus.protocol import invitation as text_of
from isthmus.protocol.bundle import open_first
from isthmus.protocol.federation import API_VERSIONS
from isthmus.protocol.problem import Problem
from isthmus.server.application import secrets
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.federation_facts import check_is_ours, no_federation
from isthmus.server.application.outbox import said_by
from isthmus.server.application.pulse import PulseService
from isthmus.server.application.remotes import is_listed, next_generation, told_of
from isthmus.server.federation_ports import OwnCertificates
from isthmus.server.federation_records import Acceptance, Federation
from isthmus.server.outward_ports import Errand, Outward, RemoteRefused
from isthmus.server.ports import Clock, Ids, RemoteExists, Store, Transaction, Vault
from isthmus.server.trust_records import Wish

log = structlog.get_logger()

KEPT = timedelta(days=30)
"""How long an invitation that has ended is still listed."""
APPLY_SECONDS = 3.0
KNOWN_AFTER = (0.0, 1.0, 2.0)
"""Pauses before the looks whether the other side knows us already: its ingress takes a moment to trust our CA."""
SERVER = Caller("server", "")


@dataclass(frozen=True, slots=True)
class Invited:
    """`text` is shown once."""

    invitation: Invitation
    text: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """`problem` is why the other side could not be told yet; it is tried again until the invitation expires."""

    remote: Remote
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """How this backend proves itself and reaches others. `applied` waits until the own Federator goes by a generation,
    for so many seconds at most."""

    certificates: OwnCertificates
    outward: Outward
    vault: Vault
    pulse: PulseService
    applied: Callable[[int, float], Awaitable[bool]]


class InvitationService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, changes: FederationChanges, voice: Voice) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._changes = changes
        self._voice = voice
        self._under_way: set[UUID] = set()

    async def invite(
        self, caller: Caller, domain: str, lifetime: timedelta = LIFETIME, network_id: NetworkId | None = None
    ) -> Invited:
        """A new invitation for one domain; its text is told once. A bridge of the network is proposed when the remote
        is active."""
        named, now = backend_domain(domain), self._clock.now()
        token = secrets.new_token(secrets.INVITATION)
        ends = now + check_lifetime(lifetime)
        invitation = Invitation(self._ids.new(), named, token.digest, now, caller.actor, ends)
        facts = await self._ready(named)
        sealed = await self._voice.certificates.bundle()
        leaf = await self._voice.certificates.invitation_leaf(invitation.id, ends + LEAF_OUTLIVES)
        bundle = open_first(sealed)
        async with self._store.transaction() as tx:
            await next_generation(tx, named)
            await tx.invitations.prune(now - KEPT)
            await tx.invitations.add(invitation)
            if network_id is not None:
                network = await tx.networks.get(network_id)
                await tx.bridges.put_wish(Wish(invitation.id, network.id, proposes=True, at=now))
            told = {"domain": named, "expires_at": ends.isoformat()}
            await tx.journal.audit([caller.did("invitation.create", invitation.id, now, **told)])
        text = text_of.Invitation(
            version=1,
            id=str(invitation.id),
            domain=facts.domain,
            invited=named,
            infra_domains=list(bundle.infra_domains),
            versions=list(API_VERSIONS),
            bundle=sealed,
            digest=bundle.digest.hex(),
            secret=token.text,
            expires_at=ends.timestamp(),
            chain=leaf.chain,
            key=leaf.key,
        )
        return Invited(invitation, text_of.write(text))

    async def all(self) -> list[Invitation]:
        async with self._store.reading() as tx:
            return await tx.invitations.all()

    async def withdraw(self, caller: Caller, invitation_id: UUID) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            before = await tx.invitations.lock(invitation_id)
            if before is None:
                raise NotFound("invitation", str(invitation_id))
            await tx.invitations.save(before.withdrawn(now))
            await tx.bridges.drop_wish(invitation_id)
            await tx.journal.audit([caller.did("invitation.withdraw", invitation_id, now, domain=before.domain)])

    async def accept(self, caller: Caller, text: str, network_id: NetworkId | None = None) -> Accepted:
        """Make the remote that invites us, pending, and tell it so at once. Raises what the other side refuses with.
        The network is the one for the bridge that it will propose."""
        invitation, bundle = text_of.read(text)
        facts = await self._ready(bundle.domain)
        if invitation.invited != facts.domain:
            problem = f"is for {invitation.invited}, and this backend is {facts.domain}"
            raise InvalidValue(text_of.FIELD, problem, "ask for one for this domain")
        if self._clock.now().timestamp() >= invitation.expires_at:
            raise InvalidValue(text_of.FIELD, "has expired", "ask for another one")
        ours = open_first(await self._voice.certificates.bundle())
        code = await asyncio.to_thread(short_code, ours, bundle)
        remote_id = self._ids.new()
        with self._telling(remote_id):
            if network_id is not None:
                await self._wish(remote_id, network_id)
            remote, acceptance, generation = await self._add(caller, remote_id, invitation, bundle, code)
            await self._voice.applied(generation, APPLY_SECONDS)
            return await self._tell(caller, remote, acceptance)

    async def _wish(self, remote_id: UUID, network_id: NetworkId) -> None:
        # Ahead of the entry, so that it is there with it; one whose entry never comes is forgotten.
        async with self._store.transaction() as tx:
            network = await tx.networks.get(network_id)
            await tx.bridges.put_wish(Wish(remote_id, network.id, proposes=False, at=self._clock.now()))

    @contextlib.contextmanager
    def _telling(self, remote_id: UUID) -> Iterator[None]:
        """While the block runs `work` leaves this one alone: an invitation that is used twice is refused."""
        self._under_way.add(remote_id)
        try:
            yield
        finally:
            self._under_way.discard(remote_id)

    async def _add(
        self, caller: Caller, remote_id: UUID, invitation: text_of.Invitation, bundle: Bundle, code: str
    ) -> tuple[Remote, Acceptance, int]:
        now, vault = self._clock.now(), self._voice.vault
        try:
            async with self._changes.transaction() as tx:
                generation = await next_generation(tx, bundle.domain)
                remote = remote_of(remote_id, bundle, generation, code, now)
                acceptance = Acceptance(
                    remote_id=remote.id,
                    invitation=invitation.id,
                    sealed_secret=vault.seal(invitation.secret.encode(), remote.id),
                    chain=invitation.chain,
                    sealed_key=vault.seal(invitation.key.encode(), remote.id),
                    expires_at=datetime_of(invitation.expires_at),
                )
                await tx.remotes.add(remote)
                await tx.remotes.put_acceptance(acceptance)
                told = {"invitation": invitation.id, "bundle": bundle.digest.hex(), **told_of(remote)}
                await tx.journal.audit([caller.did("remote.accept", remote.domain, now, **told)])
        except RemoteExists:
            raise is_listed(bundle.domain) from None
        async with self._store.reading() as tx:
            return remote, acceptance, await tx.federation.generation()

    async def work(self) -> None:
        """Tell those whose invitations we accepted and who could not be told yet."""
        async with self._store.reading() as tx:
            waiting = [each.remote_id for each in await tx.remotes.acceptances()]
        for remote_id in waiting:
            if remote_id not in self._under_way:
                with self._telling(remote_id):
                    await self._tell_again(remote_id)

    async def _tell_again(self, remote_id: UUID) -> None:
        async with self._store.reading() as tx:
            remote = await tx.remotes.by_id(remote_id)
            # Whoever accepted may have told it since.
            found = [each for each in await tx.remotes.acceptances() if each.remote_id == remote_id]
        try:
            for acceptance in found:
                await self._tell(SERVER, remote, acceptance)
        except Refusal as refusal:
            log.error("an acceptance was refused", remote=remote.domain, error=str(refusal))

    async def _tell(self, caller: Caller, remote: Remote, acceptance: Acceptance) -> Accepted:
        secret = self._voice.vault.open(acceptance.sealed_secret, remote.id).decode()
        body = wire.Accept(acceptance.invitation, secret, await self._voice.certificates.bundle())
        errand = Errand(remote.domain, "handshake", "accept", caller.request_id or str(uuid4()))
        try:
            answer = await self._voice.outward.call(errand, body, wire.Accepted)
        except RemoteRefused as refusal:
            return await self._not_told(caller, remote, acceptance, refusal)
        if answer.short_code != remote.short_code:
            await self._drop(caller, remote, "the other side shows another short code")
            hint = "somebody may stand in between: ask the other operator, and begin anew with a new invitation"
            raise TransitionNotAllowed(f"remote {remote.domain}", "shows another short code than we do", hint)
        return await self._told(caller, remote)

    async def _told(self, caller: Caller, remote: Remote) -> Accepted:
        """From now on our own leaf speaks for us."""
        now = self._clock.now()
        async with self._changes.transaction() as tx:
            present = await tx.remotes.lock(remote.domain)
            await tx.remotes.drop_acceptance(remote.id)
            await tx.journal.audit([caller.did("remote.accepted", remote.domain, now, **told_of(remote))])
        return Accepted(present)

    async def _not_told(
        self, caller: Caller, remote: Remote, acceptance: Acceptance, refusal: RemoteRefused
    ) -> Accepted:
        problem = refusal.problem
        is_over = self._clock.now() >= acceptance.expires_at
        if said_by(problem) != "invitation_invalid" and not is_over:
            return Accepted(remote, problem)
        # Used, it says: perhaps by us, and the answer was lost. Then we are known there, and our own leaf is answered.
        told = await self._told(caller, remote)
        async with self._store.reading() as tx:
            generation = await tx.federation.generation()
        await self._voice.applied(generation, APPLY_SECONDS)
        for pause in KNOWN_AFTER:
            await asyncio.sleep(pause)
            if await self._voice.pulse.beat(told.remote):
                return told
        await self._drop(caller, remote, "the invitation is not valid")
        raise refusal

    async def _drop(self, caller: Caller, remote: Remote, why: str) -> None:
        """The entry of an acceptance that came to nothing."""
        now = self._clock.now()
        async with self._changes.transaction() as tx:
            before = await tx.remotes.lock(remote.domain)
            await tx.remotes.drop_acceptance(remote.id)
            if before.id == remote.id and before.state is State.PENDING:
                after = before.after(Action.REVOKE, now)
                await tx.remotes.save(after)
                await tx.journal.audit([caller.did("remote.revoke", remote.domain, now, why=why, **told_of(after))])

    async def _ready(self, domain: BackendDomain) -> Federation:
        """The facts, where this backend may begin something with `domain`."""
        async with self._store.reading() as tx:
            facts = await tx.federation.get()
            if facts is None:
                raise no_federation()
            check_is_ours(facts, domain, "/domain")
            if facts.strategy is Strategy.NONE:
                hint = "isthmus federation set --strategy list"
                raise TransitionNotAllowed("federation", "is with nobody: its strategy is none", hint)
            await check_is_free(tx, domain)
            return facts


async def check_is_free(tx: Transaction, domain: BackendDomain) -> None:
    try:
        remote = await tx.remotes.get(domain)
    except NotFound:
        return
    if remote.state is not State.REVOKED:
        raise is_listed(domain)


def remote_of(remote_id: UUID, bundle: Bundle, generation: int, code: str, now: datetime) -> Remote:
    """A new entry that knows what the bundle says, and waits for both operators."""
    return Remote(
        id=remote_id,
        domain=bundle.domain,
        generation=generation,
        state=State.PENDING,
        changed_at=now,
        infra_domains=bundle.infra_domains,
        authorities=bundle.authorities,
        message_keys=bundle.message_keys,
        bundle_sequence=bundle.sequence,
        short_code=code,
        bundle_digest=bundle.digest,
    )


def datetime_of(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidValue(text_of.FIELD, "ends at no time", "ask for another one") from None
