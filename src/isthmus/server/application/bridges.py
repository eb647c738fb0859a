"""Bridges as an operator handles them: propose, accept, suspend, resume, revoke, and which prefixes are let in."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from isthmus.domain.addresses import IPNetwork, parse_network
from isthmus.domain.errors import InvalidValue, NotFound, TransitionNotAllowed
from isthmus.domain.federation.bridge import MOST_PREFIXES, Action, Bridge, Hold, Side, State
from isthmus.domain.federation.hearing import checked_choice, obstacles
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.prefixes import check_prefixes, lies_in
from isthmus.domain.federation.remote import Remote, Strategy, Trust
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.network import Network
from isthmus.server.application.bridge_rows import prefixes_taken, told_of
from isthmus.server.application.bridge_words import Words, terms_of
from isthmus.server.application.caller import Caller
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.networks import check_version
from isthmus.server.application.remotes import locked, parse_line, parse_reason
from isthmus.server.ports import BridgeExists, Clock, Conflict, Ids, Store, Transaction
from isthmus.server.records import AuditEntry, Page

MOST_BRIDGES = 64
"""Live ones with one remote."""
WORDS: Mapping[tuple[Action, Hold], str] = {
    (Action.SUSPEND, Hold.INCIDENT): "hold",
    (Action.RESUME, Hold.INCIDENT): "release",
}
"""What the audit log calls what an incident does."""
FEDERATES_WITH_NOBODY = "this backend federates with nobody: its strategy is none"


@dataclass(frozen=True, slots=True)
class Proposal:
    """`offered` are CIDRs of the network; nothing for its IPv6 prefix."""

    domain: BackendDomain
    network_id: NetworkId
    offered: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`network_id` None keeps the network that was chosen at the handshake. `accepted` are CIDRs that the other side
    offers, nothing for all of them."""

    network_id: NetworkId | None = None
    offered: Sequence[str] = ()
    accepted: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A bridge, what our network is called, how its remote stands here, and why nothing may pass."""

    bridge: Bridge
    network: str | None
    remote: Standing
    obstacles: Sequence[str]


class BridgeService:
    def __init__(self, store: Store, clock: Clock, ids: Ids, changes: FederationChanges, words: Words) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._changes = changes
        self._words = words

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Shown]:
        async with self._store.reading() as tx:
            return [await shown(tx, bridge, self._clock.now()) for bridge in await tx.bridges.page(page, domain)]

    async def get(self, bridge_id: UUID) -> Shown:
        """Raises `NotFound`."""
        async with self._store.reading() as tx:
            return await shown(tx, await tx.bridges.get(bridge_id), self._clock.now())

    async def propose(self, caller: Caller, proposal: Proposal) -> Shown:
        """Begin a bridge; nothing passes before the other side's operator has accepted it."""
        try:
            async with self._changes.transaction(concerns=proposal.domain) as tx:
                remote = await locked(tx, proposal.domain)
                check_bridgeable(remote)
                bridge = await propose(tx, remote, proposal, self._ids.new(), self._clock.now())
                await self._words.say(tx, remote, bridge, bridge.created_at)
                await tx.journal.audit([caller.did("bridge.propose", bridge.id, bridge.created_at, **told_of(bridge))])
                return await shown(tx, bridge, bridge.created_at)
        except BridgeExists:
            raise is_bridged(proposal.domain) from None

    async def accept(self, caller: Caller, bridge_id: UUID, accepting: Acceptance, version: int | None) -> Shown:
        """Join a network of ours to the one that was proposed to us."""
        try:
            async with self._changing(bridge_id, version, needs_all=True) as (tx, remote, before):
                now = self._clock.now()
                check_bridgeable(remote)
                network = await _chosen(tx, before, accepting.network_id)
                after = before.after(Action.ACCEPT, now, reason=parse_line(accepting.reason, "/reason"))
                accepted = checked_choice(before, parse_prefixes(accepting.accepted, "/accepted"))
                check_prefixes(accepted, await prefixes_taken(tx, remote.domain), "/accepted")
                offered = parse_offered(accepting.offered, network)
                ours = await terms_of(tx, network, offered)
                after = replace(after, network_id=network.id, offered=offered, ours=ours, accepted=accepted)
                entry = caller.did("bridge.accept", after.id, now, **told_of(after))
                return await self._done(tx, remote, after, entry)
        except BridgeExists:
            async with self._store.reading() as tx:
                raise is_bridged((await tx.bridges.get(bridge_id)).remote) from None

    async def suspend(self, caller: Caller, bridge_id: UUID, reason: str, version: int | None) -> Shown:
        return await self.act(caller, bridge_id, (Action.SUSPEND, Hold.OPERATOR), reason, version)

    async def resume(self, caller: Caller, bridge_id: UUID, reason: str, version: int | None) -> Shown:
        return await self.act(caller, bridge_id, (Action.RESUME, Hold.OPERATOR), reason, version)

    async def hold(self, caller: Caller, bridge_id: UUID, reason: str, version: int | None) -> Shown:
        """Let nothing pass for an incident, whatever else suspends the bridge; for the record, there is a reason."""
        return await self.act(caller, bridge_id, (Action.SUSPEND, Hold.INCIDENT), parse_reason(reason), version)

    async def release(self, caller: Caller, bridge_id: UUID, reason: str, version: int | None) -> Shown:
        return await self.act(caller, bridge_id, (Action.RESUME, Hold.INCIDENT), reason, version)

    async def revoke(self, caller: Caller, bridge_id: UUID, reason: str, version: int | None) -> Shown:
        return await self.act(caller, bridge_id, (Action.REVOKE, Hold.OPERATOR), reason, version)

    async def act(
        self, caller: Caller, bridge_id: UUID, action: tuple[Action, Hold], reason: str, version: int | None = None
    ) -> Shown:
        """Suspend, resume or revoke; an incident puts on and lifts a hold of its own."""
        said = parse_line(reason, "/reason")
        async with self._changing(bridge_id, version) as (tx, remote, before):
            now = self._clock.now()
            after = before.after(action[0], now, action[1], said)
            entry = caller.did(f"bridge.{WORDS.get(action, action[0])}", after.id, now, **told_of(after))
            return await self._done(tx, remote, after, entry)

    async def accept_prefixes(
        self, caller: Caller, bridge_id: UUID, prefixes: Sequence[str], version: int | None
    ) -> Shown:
        """Let in exactly these of the prefixes that the other side offers now, nothing for all of them."""
        async with self._changing(bridge_id, version, needs_all=True) as (tx, remote, before):
            if before.state not in (State.ACTIVE, State.SUSPENDED):
                raise TransitionNotAllowed(before.name, f"has no prefixes to accept while it is {before.state}")
            accepted = checked_choice(before, parse_prefixes(prefixes, "/prefixes"))
            check_prefixes(accepted, await prefixes_taken(tx, remote.domain))
            after, now = replace(before, accepted=accepted, version=before.version + 1), self._clock.now()
            await tx.bridges.save(after)
            facts = told_of(after) | {"accepted": [*map(str, accepted)], "before": [*map(str, before.accepted)]}
            await tx.journal.audit([caller.did("bridge.accept-prefixes", bridge_id, now, **facts)])
            return await shown(tx, after, now)

    @asynccontextmanager
    async def _changing(
        self, bridge_id: UUID, version: int | None, *, needs_all: bool = False
    ) -> AsyncIterator[tuple[Transaction, Remote, Bridge]]:
        """The bridge with its remote and its network, which nobody else changes meanwhile; `needs_all` networks where
        their prefixes matter. Raises `Conflict` where somebody else was faster."""
        async with self._store.reading() as tx:
            seen = await tx.bridges.get(bridge_id)
        async with self._changes.transaction(concerns=seen.remote) as tx:
            remote = await tx.remotes.lock(seen.remote)
            if needs_all:
                await tx.networks.lock_all()
            elif seen.network_id is not None and seen.state is not State.REVOKED:
                await tx.networks.lock(seen.network_id)
            bridge = await tx.bridges.lock(bridge_id)
            check_version(bridge.version, version)
            if bridge.version != seen.version:
                raise Conflict("bridges")
            yield tx, remote, bridge

    async def _done(self, tx: Transaction, remote: Remote, after: Bridge, entry: AuditEntry) -> Shown:
        await tx.bridges.save(after)
        await self._words.say(tx, remote, after, entry.at)
        await tx.journal.audit([entry])
        return await shown(tx, after, entry.at)


async def propose(tx: Transaction, remote: Remote, proposal: Proposal, bridge_id: UUID, now: datetime) -> Bridge:
    """A new bridge with `remote`, which is locked. Raises `TransitionNotAllowed` where there is one, and `BridgeExists`
    where somebody else has just begun one."""
    network = await tx.networks.lock(proposal.network_id)
    offered = parse_offered(proposal.offered, network)
    former = await tx.bridges.of_remote(remote.domain)
    check_room(former, remote)
    generation = max((each.generation for each in former if each.network_id == network.id), default=0) + 1
    if any(each.network_id == network.id and each.state is not State.REVOKED for each in former):
        raise is_bridged(remote.domain)
    bridge = Bridge(
        id=bridge_id,
        remote=remote.domain,
        remote_generation=remote.generation,
        generation=generation,
        network_id=network.id,
        proposed_by=Side.OURS,
        state=State.PROPOSED,
        created_at=now,
        changed_at=now,
        ours=await terms_of(tx, network, offered),
        offered=offered,
        reason=parse_line(proposal.reason, "/reason"),
    )
    await tx.bridges.add(bridge)
    return bridge


async def shown(tx: Transaction, bridge: Bridge, now: datetime) -> Shown:
    remote = await tx.remotes.get(bridge.remote)
    is_its = remote.generation == bridge.remote_generation
    name = None if bridge.network_id is None else await _name_of(tx, bridge.network_id)
    facts = await tx.federation.get()
    around = [FEDERATES_WITH_NOBODY] if facts is not None and facts.strategy is Strategy.NONE else []
    if not is_its or remote.state is not Standing.ACTIVE or remote.is_expired(now):
        around.append(f"the remote {bridge.remote} is not active here")
    elif remote.is_shut_there:
        around.append(f"the remote {bridge.remote} has {remote.state_there} us")
    return Shown(bridge, name, remote.state if is_its else Standing.REVOKED, obstacles(bridge, around))


async def _name_of(tx: Transaction, network_id: NetworkId) -> str | None:
    try:
        return (await tx.networks.get(network_id)).name
    except NotFound:
        return None


async def _chosen(tx: Transaction, bridge: Bridge, network_id: NetworkId | None) -> Network:
    chosen = network_id or bridge.network_id
    if chosen is None:
        raise InvalidValue("/network_id", "is missing", "name the network of ours that is to be joined")
    return await tx.networks.lock(chosen)


def check_bridgeable(remote: Remote) -> None:
    if remote.trust is not Trust.PINNED:
        hint = "invite it instead: isthmus remote invite"
        raise TransitionNotAllowed(f"remote {remote.domain}", "is known by shared roots alone, and signs nothing", hint)
    if remote.state is not Standing.ACTIVE:
        raise TransitionNotAllowed(f"remote {remote.domain}", f"is {remote.state}", "isthmus remote show tells more")


def check_room(bridges: Sequence[Bridge], remote: Remote) -> None:
    if sum(each.state is not State.REVOKED for each in bridges) >= MOST_BRIDGES:
        hint = "revoke those that nobody needs: isthmus bridge list"
        raise TransitionNotAllowed(f"remote {remote.domain}", f"has {MOST_BRIDGES} bridges", hint)


def is_bridged(domain: BackendDomain) -> TransitionNotAllowed:
    hint = "isthmus bridge list shows it; to begin anew, first isthmus bridge revoke it"
    return TransitionNotAllowed(f"remote {domain}", "has a bridge to this network already", hint)


def parse_prefixes(texts: Sequence[str], field: str) -> tuple[IPNetwork, ...]:
    if len(texts) > MOST_PREFIXES:
        raise InvalidValue(field, f"has more than {MOST_PREFIXES} prefixes")
    return tuple(dict.fromkeys(parse_network(text, field) for text in texts))


def parse_offered(texts: Sequence[str], network: Network) -> tuple[IPNetwork, ...]:
    prefixes = parse_prefixes(texts, "/prefixes")
    for prefix in prefixes:
        if not lies_in(prefix, network.cidrs):
            hint = f"it has {' and '.join(map(str, network.cidrs))}"
            raise InvalidValue("/prefixes", f"{prefix} is not in the network {network.name}", hint)
    return prefixes
