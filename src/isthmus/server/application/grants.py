"""Grants to remotes: made, changed, revoked; their tokens; and what remotes have granted to ours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation import granting
from isthmus.domain.federation.grant import AxisMode, Grant, GrantToken, HeldGrant
from isthmus.domain.federation.granting import Draft
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote, State
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.grant_letters import tell
from isthmus.server.application.grant_rows import facts_of
from isthmus.server.application.grant_tokens import GrantTokens
from isthmus.server.application.kinds import Kinds
from isthmus.server.application.networks import check_version
from isthmus.server.application.remotes import parse_reason
from isthmus.server.ports import Clock, Ids, Store, Transaction
from isthmus.server.records import Page

MOST_TOKENS = 8
LONGEST_OVERLAP = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Issued:
    """A grant with a token of it, whose text is known at this moment alone. `warnings` tell what is wide open."""

    grant: Grant
    token: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ground:
    store: Store
    clock: Clock
    ids: Ids


class GrantService:
    def __init__(self, ground: Ground, changes: FederationChanges, tokens: GrantTokens, kinds: Kinds) -> None:
        self._store, self._clock, self._ids = ground.store, ground.clock, ground.ids
        self._changes = changes
        self._tokens = tokens
        self._kinds = kinds

    async def create(self, caller: Caller, draft: Draft) -> Issued:
        now = self._clock.now()
        domain = granting.remote_of(draft.subject)
        async with self._changes.transaction(domain) as tx:
            remote = await grantable(tx, domain)
            grant = granting.granted(draft, self._ids.new(), caller.actor, remote.generation, now)
            await self._check_resource(tx, grant)
            made = self._tokens.new(grant.id, now)
            await tx.grants.add(grant)
            await tx.grants.add_token(made.token)
            await tell(tx, remote, grant, now)
            await tx.journal.audit([caller.did("grant.create", grant.id, now, **facts_of(grant))])
        return Issued(grant, made.text, warnings_of(grant))

    async def get(self, grant_id: UUID) -> tuple[Grant, list[GrantToken]]:
        async with self._store.reading() as tx:
            return await tx.grants.get(grant_id), await tx.grants.tokens_of(grant_id)

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Grant]:
        async with self._store.reading() as tx:
            return await tx.grants.page(page, domain)

    async def held(self, page: Page, domain: BackendDomain | None = None) -> list[HeldGrant]:
        async with self._store.reading() as tx:
            return await tx.held_grants.page(page, domain)

    async def update(self, caller: Caller, grant_id: UUID, changes: Mapping[str, Any], version: int | None) -> Grant:
        now = self._clock.now()
        async with self._changes.transaction(await self._remote_of(grant_id)) as tx:
            remote, before = await locked(tx, grant_id)
            check_version(before.version, version)
            after = granting.changed(before, changes, now)
            if after != before:
                await tx.grants.save(after)
                await tell(tx, remote, after, now)
            await tx.journal.audit(
                [caller.did("grant.update", grant_id, now, fields=sorted(changes), **facts_of(after))]
            )
        return after

    async def revoke(self, caller: Caller, grant_id: UUID, reason: str) -> Grant:
        """For good. Whoever needs it again is granted it anew."""
        now, why = self._clock.now(), parse_reason(reason)
        async with self._changes.transaction(await self._remote_of(grant_id)) as tx:
            remote, before = await locked(tx, grant_id)
            after = granting.revoked(before, caller.actor, why, now)
            await tx.grants.save(after)
            await tell(tx, remote, after, now)
            await tx.journal.audit([caller.did("grant.revoke", grant_id, now, reason=why, **facts_of(after))])
        return after

    async def rotate(self, caller: Caller, grant_id: UUID, overlap: timedelta) -> Issued:
        """A new token; the ones before end after `overlap`."""
        now = self._clock.now()
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            raise InvalidValue("/overlap", f"is not between 0 and {LONGEST_OVERLAP.days} days, in seconds")
        async with self._store.transaction() as tx:
            _, grant = await locked(tx, grant_id)
            if not grant.is_live(now):
                raise TransitionNotAllowed(f"grant {grant_id}", "has ended", "make a new one: isthmus grant create")
            usable = []
            for token in await tx.grants.tokens_of(grant_id):
                if token.expires_at is None or token.expires_at > now:
                    end = min(token.expires_at or now + overlap, now + overlap)
                    await tx.grants.save_token(replace(token, expires_at=end))
                    usable.append(token)
            if len(usable) >= MOST_TOKENS:
                hint = "end some: isthmus grant drop-token"
                raise TransitionNotAllowed(f"grant {grant_id}", f"has {len(usable)} tokens that still work", hint)
            made = self._tokens.new(grant_id, now)
            await tx.grants.add_token(made.token)
            facts = {"token": made.token.public_id, "overlap": overlap.total_seconds()}
            await tx.journal.audit([caller.did("grant.rotate", grant_id, now, **facts)])
        return Issued(grant, made.text)

    async def drop_token(self, caller: Caller, grant_id: UUID, public_id: str) -> None:
        """End one token of a grant at once; the others work on."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await locked(tx, grant_id)
            token = next((each for each in await tx.grants.tokens_of(grant_id) if each.public_id == public_id), None)
            if token is None or (token.expires_at is not None and token.expires_at <= now):
                raise NotFound("token", public_id[:64])
            await tx.grants.save_token(replace(token, expires_at=now))
            await tx.journal.audit([caller.did("grant.drop-token", grant_id, now, token=public_id)])

    async def _check_resource(self, tx: Transaction, grant: Grant) -> None:
        granting.parse_resource_id(grant.resource_id)
        provider = self._kinds.providers.get(grant.kind)
        if provider is None:
            known = ", ".join(sorted(self._kinds.providers))
            raise InvalidValue("/kind", f"there is no kind {grant.kind[:64]!r}", f"they are: {known}")
        if grant.resource_id is not None and not await provider.exists(tx, grant.resource_id):
            raise InvalidValue("/resource_id", f"there is no {grant.kind} {grant.resource_id}")

    async def _remote_of(self, grant_id: UUID) -> BackendDomain:
        async with self._store.reading() as tx:
            return (await tx.grants.get(grant_id)).remote


async def grantable(tx: Transaction, domain: BackendDomain) -> Remote:
    """The entry of `domain`, locked. Raises `InvalidValue` where there is none that anything can be granted to."""
    try:
        remote = await tx.remotes.lock(domain)
    except NotFound:
        remote = None
    if remote is None or remote.state is State.REVOKED:
        raise InvalidValue("/subject", f"{domain} is no remote of this backend", "isthmus remote list shows them")
    return remote


async def locked(tx: Transaction, grant_id: UUID) -> tuple[Remote, Grant]:
    """A grant and its remote's entry, which nobody else changes meanwhile. Raises `NotFound`."""
    grant = await tx.grants.get(grant_id)
    remote = await tx.remotes.lock(grant.remote)
    return remote, await tx.grants.lock(grant_id)


def warnings_of(grant: Grant) -> tuple[str, ...]:
    """What an operator should think about before handing out the token."""
    open_axes = [
        text
        for axis, text in (
            (grant.instances, "any instance of the remote may use it (restrict with --instance)"),
            (grant.networks, "it may be used over any network, the internet included (restrict with --network)"),
            (grant.sources, "it may be used from any address (restrict with --source)"),
        )
        if axis.mode is AxisMode.ANY
    ]
    whole = [] if grant.resource_id else [f"it covers every {grant.kind}, also those that come later"]
    return (*open_axes, *whole)
