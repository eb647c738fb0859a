"""The component `bridges`: what other backends say of their side of a bridge."""

from uuid import UUID

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.authorization import check_component
from isthmus.domain.federation.bridge import Bridge, Side, State, Statement, StatementRefused
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.finding import PREFIX_OVERLAP
from isthmus.domain.federation.hearing import hear, opens
from isthmus.domain.federation.prefixes import PrefixRefused, check_prefixes
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from isthmus.protocol import bridges as wire
from isthmus.server.application.bridge_rows import prefixes_taken, told_of
from isthmus.server.application.bridge_words import Words
from isthmus.server.application.bridges import check_room
from isthmus.server.application.calls import Call, Component, Reading, Writing
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.ports import Transaction


class BridgesComponent:
    """Every call runs in the transaction that the plane opens for it, which has locked the caller's entry."""

    def __init__(self, changes: FederationChanges, words: Words) -> None:
        self._changes = changes
        self._words = words

    def endpoints(self) -> Component:
        return {"tell": Writing(self._tell), "get": Reading(self._get)}

    async def _tell(self, call: Call, tx: Transaction) -> wire.Told:
        """One statement: a proposal of theirs, or how a bridge stands on their side."""
        remote = _entry_of(call)
        try:
            said = wire.opened(call.body.statement, remote.domain, call.permit.own_domain, remote.message_keys)
        except StatementRefused as refusal:
            raise Denied("validation_failed", f"statement.{refusal.rule}", str(refusal)) from None
        known = await _of_remote(tx, said.bridge, remote)
        if known is not None:
            return await self._heard(call, tx, remote, known, said)
        if said.state is State.REVOKED:
            # Withdrawn before we have heard of it.
            call.did("bridge.told", said.bridge, there=said.state.value, reason=said.reason)
            return wire.Told(State.REVOKED.value, said.revision)
        if said.state is not State.PROPOSED:
            raise _unknown(said.bridge)
        bridge = await self._begun(call, tx, remote, said)
        await self._changes.within(tx, call.afterwards, remote.domain)
        return wire.Told(bridge.state.value, said.revision)

    async def _begun(self, call: Call, tx: Transaction, remote: Remote, said: Statement) -> Bridge:
        if remote.state is not Standing.ACTIVE:
            raise Denied("remote_suspended", "bridge.proposal")
        check_component(remote, call.component)
        check_room(await tx.bridges.of_remote(remote.domain), remote)
        await _check_prefixes(tx, remote, said)
        wish = await tx.bridges.wish(remote.id)
        network_id = wish.network_id if wish is not None and not wish.proposes else None
        if network_id is not None:
            await tx.bridges.drop_wish(remote.id)
            if await tx.bridges.live(remote.domain, network_id) is not None:
                network_id = None
        bridge = Bridge(
            id=said.bridge,
            remote=remote.domain,
            remote_generation=remote.generation,
            generation=said.generation,
            network_id=network_id,
            proposed_by=Side.THEIRS,
            state=State.PROPOSED,
            created_at=call.at,
            changed_at=call.at,
            theirs=said,
            signed=call.body.statement,
            reason=said.reason,
        )
        await tx.bridges.add(bridge)
        call.did("bridge.proposed-there", bridge.id, **told_of(bridge))
        return bridge

    async def _heard(self, call: Call, tx: Transaction, remote: Remote, known: Bridge, said: Statement) -> wire.Told:
        if known.state is State.REVOKED and said.state is not State.REVOKED and known.network_id is not None:
            newer = await tx.bridges.live(remote.domain, known.network_id)
            if newer is not None:
                raise Denied("version_conflict", "bridge.superseded", "it was revoked, and there is a newer one")
        if known.network_id is not None and known.state is not State.REVOKED:
            await (tx.networks.lock_all() if opens(known, said) else tx.networks.lock(known.network_id))
        heard = hear(await tx.bridges.lock(known.id), said, call.body.statement, call.at)
        after = heard.bridge
        if heard.is_news:
            if opens(known, said):
                await _check_prefixes(tx, remote, said)
            await tx.bridges.save(after)
            if after.revision != known.revision:
                await self._words.say(tx, remote, after, call.at)
            await self._changes.within(tx, call.afterwards, remote.domain)
        facts = told_of(after) | {"there": said.state.value, "revision": said.revision, "news": heard.is_news}
        call.did("bridge.told", after.id, **(facts | ({"reason": said.reason} if said.reason else {})))
        return wire.Told(after.state.value, 0 if after.theirs is None else after.theirs.revision)

    async def _get(self, call: Call, tx: Transaction) -> wire.Got:
        """What we say of one bridge at this moment."""
        remote = _entry_of(call)
        bridge = await _of_remote(tx, UUID(call.body.bridge), remote)
        if bridge is None or bridge.statement is None:
            raise _unknown(UUID(call.body.bridge))
        return wire.Got(await self._words.signed(tx, remote, bridge.statement))


def _entry_of(call: Call) -> Remote:
    if call.permit.remote is None:
        raise Denied("federation_denied", "not_listed")
    return call.permit.remote


async def _of_remote(tx: Transaction, bridge_id: UUID, remote: Remote) -> Bridge | None:
    """The bridge, if there is one; that of another remote is as unknown as any other id. Raises `Denied`."""
    try:
        bridge = await tx.bridges.get(bridge_id)
    except NotFound:
        return None
    if bridge.remote != remote.domain:
        raise _unknown(bridge_id)
    if bridge.remote_generation != remote.generation:
        raise Denied("version_conflict", "bridge.remote_generation", "the bridge belongs to a former entry")
    return bridge


async def _check_prefixes(tx: Transaction, remote: Remote, said: Statement) -> None:
    """Raises `Denied`, which leaves a finding, where what they offer cannot be theirs."""
    try:
        check_prefixes(said.terms.prefixes, await prefixes_taken(tx, remote.domain))
    except PrefixRefused as refused:
        # What it overlaps is ours, and nothing for others to know.
        told = f"{refused.prefix or 'one of the prefixes'} cannot be bridged here"
        facts = {"prefix": refused.prefix, "taken": refused.taken, "what": f"it offers a prefix: {refused.problem}"}
        raise Denied(
            "validation_failed", PREFIX_OVERLAP, told, {"pointer": "/prefixes"}, facts, PREFIX_OVERLAP
        ) from None


def _unknown(bridge_id: UUID) -> Denied:
    return Denied("not_found", "bridge.unknown", f"there is no bridge {bridge_id}")
