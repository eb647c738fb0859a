"""New keys for peers with an agent: asked for by an operator or by age, made by the agent, told in a safe order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from isthmus.domain.errors import NotFound, TransitionNotAllowed, Unauthenticated
from isthmus.domain.ids import PeerId
from isthmus.domain.mesh import keys as rules
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.domain.mesh.tunnel import in_order
from isthmus.server.application.agents import AgentService
from isthmus.server.application.caller import Caller
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.application.peers import unique
from isthmus.server.application.revisions import Step, advance
from isthmus.server.application.static_config import parse_public_key
from isthmus.server.ports import Clock, Listeners, Presence, Store, Transaction
from isthmus.server.records import Commit

WaitsFor = Literal["agent", "jump_peer", "others"]
MOMENT = timedelta(minutes=3)
PATIENCE = timedelta(minutes=2)
"""Longer than the longest pause that an agent makes between two tries to connect."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A peer whose agent shall make a new key, and the static peers whose configs then must be handed out again."""

    peer: Peer
    reissue: Sequence[Peer]


class KeyService:
    def __init__(self, store: Store, clock: Clock, listeners: Listeners, agents: AgentService) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._agents = agents
        self._wanted_since: dict[PeerId, datetime] = {}

    async def ask(self, caller: Caller, peer_id: PeerId, *, force: bool = False) -> Asked:
        """Have the peer's agent make a new key: at once when it is connected, else as soon as it is."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
            before = await tx.peers.get(peer_id)
            static = await _static(tx, network) if before.is_jump else []
            rules.check_may_rotate(before, static, force=force)
            after = replace(before, rekey_asked_at=now)
            # Its agent is told by the ordinary way of a change, though nothing of its config is another.
            commit = await advance(tx, network, Step("peer.rekey_asked", peer_id, before, after), now)
            (after,) = commit.changed
            await tx.peers.save(after)
            await tx.journal.audit([caller.did("peer.rotate_key", peer_id, now)])
        self._listeners.changed(commit)
        return Asked(after, static)

    async def rekey(self, caller: Caller, peer_id: PeerId, public_key: str) -> None:
        """Know the peer by a key that its agent has made because it was asked to. The same key may be told again.

        Raises `TransitionNotAllowed` where nobody asked for it: a session alone is not enough to take a peer over.
        """
        now, key = self._clock.now(), parse_public_key(public_key)
        async with self._store.transaction() as tx:
            network, before = await _locked(tx, peer_id)
            if key == before.public_key:
                return
            static = await tx.peers.count(network.id, Kind.STATIC) if before.is_jump else 0
            if not _is_wanted(network, before, static, now):
                raise TransitionNotAllowed(before.name, "was not asked for a new key", "isthmus peer rotate-key NAME")
            after = replace(before, public_key=key, key_changed_at=now, rekey_asked_at=None)
            commit = await advance(tx, network, Step("peer.rekeyed", peer_id, before, after), now)
            with unique():
                await tx.peers.save(commit.changed[0])
            jumps = [peer for peer in await tx.peers.in_every_config(network.id) if peer.is_jump and peer.is_listed]
            await tx.journal.audit([replace(caller, actor=f"agent:{peer_id}").did("agent.rekey", peer_id, now)])
        self._wanted_since.pop(peer_id, None)
        self._listeners.changed(replace(commit, first=_first(network, after, jumps)))

    async def is_wanted(self, peer_id: PeerId, presence: Presence) -> bool:
        """Whether the agent of a peer, which is connected, shall make a new key, and all who must hear of it can."""
        memory, peer = await self._agents.around(peer_id)
        now = self._clock.now()
        static = sum(other.kind is Kind.STATIC for other in memory.peers.values()) if peer.is_jump else 0
        if not _is_wanted(memory.network, peer, static, now):
            self._wanted_since.pop(peer_id, None)
            return False
        return await self._waits_for(memory, peer, presence) is None

    async def waits_for(self, peer_id: PeerId, presence: Presence) -> WaitsFor | None:
        """Whose agents have to connect before a peer gets the new key that is wanted."""
        if not presence.is_connected(peer_id):
            return "agent"
        return await self._waits_for(*await self._agents.around(peer_id), presence)

    async def _waits_for(self, memory: NetworkMemory, peer: Peer, presence: Presence) -> WaitsFor | None:
        """Whoever does not hear of a key cannot reach its peer.

        Without its jump peer the peer would reach nobody, so that one is waited for as long as it takes. Of the others
        those count that were there a moment ago, and they are waited for a while: every time somebody is away.
        """
        first = _first(memory.network, peer, _jumps(memory))
        if first is not None and not presence.is_connected(first):
            return "jump_peer"
        now = self._clock.now()
        if now - self._wanted_since.setdefault(peer.id, now) >= PATIENCE:
            return None
        away = [other for other in _keepers(memory, peer) if not presence.is_connected(other.id)]
        statuses = await self._agents.statuses([other.id for other in away])
        # What was reported last may have been lost with the server: to enroll was a sign of life too.
        signs = (sign for other in away for sign in (statuses[other.id].last_seen, other.key_changed_at))
        return "others" if any(sign is not None and now - sign < MOMENT for sign in signs) else None

    def changed(self, commit: Commit) -> None:
        """Forget the peers that are gone."""
        for peer_id in commit.removed:
            self._wanted_since.pop(peer_id, None)

    def too_old(self, memory: NetworkMemory) -> list[PeerId]:
        """The peers of a network whose keys are due by age."""
        if not memory.network.key_max_age:
            return []
        now = self._clock.now()
        return [peer.id for peer in memory.peers.values() if rules.is_too_old(memory.network, peer, now)]


def _is_wanted(network: Network, peer: Peer, static: int, now: datetime) -> bool:
    """By age no jump peer changes its key under static peers, whose configs nobody would hand out again."""
    return rules.is_asked_for(peer) or (rules.is_too_old(network, peer, now) and not (peer.is_jump and static))


def _keepers(memory: NetworkMemory, peer: Peer) -> list[Peer]:
    """The peers with an agent whose interface holds the key of `peer`, and whose traffic goes by it."""
    agents = (other for other in memory.peers.values() if other.kind.has_agent and other.is_listed)
    others = [other for other in agents if other.id != peer.id]
    if peer.is_jump:
        return others
    is_direct = memory.network.has_direct_paths and peer.has_direct_paths
    return [other for other in others if other.is_jump or (is_direct and other.has_direct_paths)]


def _first(network: Network, peer: Peer, jumps: Sequence[Peer]) -> PeerId | None:
    """Whose agent must have the new key first, so that the first handshake with it succeeds."""
    if peer.is_jump:
        return peer.id
    in_use = in_order(network, jumps)
    return in_use[0].id if in_use else None


def _jumps(memory: NetworkMemory) -> list[Peer]:
    return [peer for peer in memory.shared.values() if peer.is_jump]


async def _static(tx: Transaction, network: Network) -> list[Peer]:
    return [peer for peer in await tx.peers.of_network(network.id) if peer.kind is Kind.STATIC]


async def _locked(tx: Transaction, peer_id: PeerId) -> tuple[Network, Peer]:
    try:
        network = await tx.networks.lock((await tx.peers.get(peer_id)).network_id)
        return network, await tx.peers.get(peer_id)
    except NotFound:
        raise Unauthenticated("the peer of this session was deleted") from None
