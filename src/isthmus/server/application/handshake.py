"""The component `handshake`: what other backends tell of their standing with us."""

import asyncio
import hmac
from dataclasses import replace
from uuid import UUID

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bundle import BundleRefused, Known, same_code, short_code
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.finding import INFRA_DOMAIN_CHANGED
from isthmus.domain.federation.invitation import Invitation
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Action, Remote, Revocation, State
from isthmus.protocol import handshake as wire
from isthmus.protocol.bundle import open_first, open_next
from isthmus.server.application import secrets
from isthmus.server.application.calls import Call, Component, Writing
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.invitations import remote_of
from isthmus.server.application.outbox import take
from isthmus.server.application.remotes import end, next_generation, opened, told_of
from isthmus.server.federation_records import Lane, RemoteFinding
from isthmus.server.ports import Ids, Transaction

INVALID = "the invitation is not valid: it is unknown, used, withdrawn or expired, or it is for somebody else"
SAID = {"suspended": State.SUSPENDED, "resumed": State.ACTIVE, "revoked": State.REVOKED}


class HandshakeComponent:
    """Every call runs in the transaction that the plane opens for it."""

    def __init__(self, ids: Ids, changes: FederationChanges) -> None:
        self._ids = ids
        self._changes = changes

    def endpoints(self) -> Component:
        return {
            "accept": Writing(self._accept),
            "confirm": Writing(self._confirm),
            "notice": Writing(self._notice),
        }

    async def _accept(self, call: Call, tx: Transaction) -> wire.Accepted:
        """Make a pending remote of whoever holds an open invitation. All bad ones get the same answer."""
        try:
            return await self._accepted(call, tx)
        except Denied as denial:
            raise Denied(denial.code, denial.reason, INVALID, facts=denial.facts) from None

    async def _accepted(self, call: Call, tx: Transaction) -> wire.Accepted:
        invitation = (await _presented(call, tx)).used(call.context.origin, call.at)
        try:
            bundle = open_first(call.body.bundle)
        except BundleRefused as refusal:
            raise Denied("invitation_invalid", f"invitation.bundle_{refusal.rule}") from None
        if bundle.domain != invitation.domain or bundle.revokes_everything:
            raise Denied("invitation_invalid", "invitation.bundle_domain")
        try:
            generation = await next_generation(tx, invitation.domain)
        except TransitionNotAllowed:
            raise Denied("invitation_invalid", "invitation.remote_exists") from None
        sealed = await _own_bundle(tx)
        code = await asyncio.to_thread(short_code, open_first(sealed), bundle)
        remote = remote_of(self._ids.new(), bundle, generation, code, call.at)
        await tx.invitations.save(invitation)
        await tx.remotes.add(remote)
        wish = await tx.bridges.wish(invitation.id)
        if wish is not None:
            await tx.bridges.drop_wish(wish.id)
            await tx.bridges.put_wish(replace(wish, id=remote.id))
        await self._changes.within(tx, call.afterwards)
        call.did("invitation.accept", remote.domain, bundle=bundle.digest.hex(), **told_of(remote))
        return wire.Accepted(sealed, code)

    async def _confirm(self, call: Call, tx: Transaction) -> wire.Standing:
        """The operator there has compared the short code."""
        before = await _locked(call, tx)
        if not same_code(call.body.short_code, before.short_code):
            raise Denied("validation_failed", "short_code", "the short codes of the two sides differ")
        after = opened(replace(before, confirmed_there=True, version=before.version + 1), call.at)
        await tx.remotes.save(after)
        await self._changes.within(tx, call.afterwards, after.domain)
        call.did("remote.confirm", after.domain, **told_of(after))
        return wire.Standing(after.state.value)

    async def _notice(self, call: Call, tx: Transaction) -> wire.Standing:
        """They suspended, resumed or revoked us, or have a new bundle. One that came before is acknowledged again."""
        before, lane = await _locked(call, tx), Lane(call.body.lane)
        call.did(f"remote.{call.body.what}-there", before.domain, lane=lane.value, number=call.body.number)
        after = before
        if await take(tx, before, lane, call.body.number):
            if call.body.what == "bundle":
                after = await self._renewed(call, tx, before)
            else:
                after = await _told(call, tx, before)
            await tx.remotes.save(after)
            await self._changes.within(tx, call.afterwards, after.domain)
        return wire.Standing(after.state.value, (await tx.outbox.lane(before.id, lane)).received)

    async def _renewed(self, call: Call, tx: Transaction, before: Remote) -> Remote:
        """`before` as its new bundle has it. Other infra domains wait for an operator: they are pinned."""
        known = Known(before.domain, before.bundle_sequence, before.message_keys, before.bundle_digest)
        try:
            bundle, is_news = open_next(call.body.bundle, known)
        except BundleRefused as refusal:
            raise Denied("validation_failed", f"bundle.{refusal.rule}", str(refusal)) from None
        if not is_news:
            return before
        if not set(bundle.infra_domains) <= set(before.infra_domains):
            evidence = {"pinned": list(before.infra_domains), "announced": list(bundle.infra_domains)}
            found = RemoteFinding(self._ids.new(), INFRA_DOMAIN_CHANGED, before.domain, call.at, call.at, 1, evidence)
            await tx.findings.put(found)
        else:
            await tx.findings.clear(INFRA_DOMAIN_CHANGED, before.domain, call.at)
        known_serials = {each.serial for each in await tx.revocations.of(before.domain)}
        for serial in bundle.revoked:
            if serial not in known_serials:
                revocation = Revocation(before.domain, call.at, "revoked by its owner", serial=serial)
                await tx.revocations.add(revocation, self._ids.new())
        return replace(
            before,
            authorities=bundle.authorities,
            message_keys=bundle.message_keys,
            bundle_sequence=bundle.sequence,
            bundle_digest=bundle.digest,
            version=before.version + 1,
        )


async def _presented(call: Call, tx: Transaction) -> Invitation:
    """The invitation whose secret the caller holds, locked. Raises `Denied`."""
    if call.body.invitation != call.context.invitation:
        raise Denied("invitation_invalid", "invitation.leaf")
    try:
        invitation = await tx.invitations.lock(UUID(call.body.invitation))
    except ValueError:
        invitation = None
    digest = secrets.digest_of(call.body.secret)
    if invitation is None:
        raise Denied("invitation_invalid", "invitation.unknown")
    if not hmac.compare_digest(invitation.digest, digest):
        raise Denied("invitation_invalid", "invitation.secret")
    return invitation


async def _own_bundle(tx: Transaction) -> str:
    # In this very transaction: whoever waits here for a second connection may wait for itself.
    bundle = await tx.own_trust.bundle()
    if bundle is None:
        raise Denied("upstream_unavailable", "no_bundle", "this backend has no bundle yet")
    return bundle.signed


async def _locked(call: Call, tx: Transaction) -> Remote:
    """The caller's entry, which nobody else changes meanwhile."""
    return await tx.remotes.lock(BackendDomain(call.context.remote))


async def _told(call: Call, tx: Transaction, before: Remote) -> Remote:
    """`before` after they said how they stand with us. What they have revoked is over on this side too."""
    after = replace(before, state_there=SAID[call.body.what], version=before.version + 1)
    if after.state_there is not State.REVOKED or after.state is State.REVOKED:
        return after
    after = replace(after.after(Action.REVOKE, call.at), version=after.version)
    await end(tx, after, call.caller, call.at, tell=False)
    return after
