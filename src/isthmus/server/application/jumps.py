"""The watch over jump peers: when the one that carries a network's traffic is dead, another takes its place."""

from dataclasses import replace

import structlog

from isthmus.domain.accounts import ALL_SCOPES
from isthmus.domain.errors import NotFound
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.jumps import SILENT_SECONDS, STAY_SECONDS, Witness, heir, is_dead, jumps_in_order
from isthmus.domain.mesh.peer import Audience
from isthmus.server.application.caller import Caller
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.application.path_memory import LIVE_SECONDS, PathMemory, Told
from isthmus.server.application.revisions import log_network
from isthmus.server.ports import Clock, Listeners, Store
from isthmus.server.records import Commit

log = structlog.get_logger()

# Agents come back to a server that was away within this time; until then, nobody's silence means anything.
RETURN_SECONDS = 45.0
# A longer pause between two looks means that this process stood still itself, and could hear nobody.
STALL_SECONDS = 5.0
MOST_AT_ONCE = 8
WATCH = Caller("server", "watch", scopes=ALL_SCOPES)
FOREVER = float("inf")


class JumpWatch:
    """The place of a dead jump peer is taken for good: it does not get it back by itself, so nothing flaps."""

    def __init__(self, store: Store, clock: Clock, listeners: Listeners, mesh: MeshMemory, paths: PathMemory) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners
        self._mesh = mesh
        self._paths = paths
        self._since = self._looked_at = -FOREVER
        # Who lost its place, and when; forgotten once that no longer matters.
        self._deposed: dict[PeerId, float] = {}

    async def work(self) -> None:
        """Replace the primary jump peers that are dead; called once a second."""
        now = self._paths.now()
        if now - self._looked_at > STALL_SECONDS:
            self._since = now
        self._deposed = {peer_id: at for peer_id, at in self._deposed.items() if now < at + STAY_SECONDS}
        if now - self._since >= RETURN_SECONDS:
            for network_id, dead, new in self._verdicts()[:MOST_AT_ONCE]:
                await self._replace(network_id, dead, new)
        # What took long in here was our own work, during which agents were heard.
        self._looked_at = self._paths.now()

    def _verdicts(self) -> list[tuple[NetworkId, PeerId, PeerId]]:
        """For each network whose primary is dead: it, and who shall take its place."""
        found = []
        for network_id in self._paths.networks():
            memory = self._mesh.known(network_id)
            pair = None if memory is None else self._judged(memory)
            if pair is not None:
                found.append((network_id, *pair))
        return found

    def _judged(self, memory: NetworkMemory) -> tuple[PeerId, PeerId] | None:
        jumps = jumps_in_order(memory.network, memory.shared.values())
        silences = {jump.id: self._silence(memory, jump.id) for jump in jumps}
        if len(jumps) < 2 or silences[jumps[0].id] <= SILENT_SECONDS:
            return None
        primary, standby = jumps[0].id, jumps[1:]
        speaking = self._speaking(memory)
        if not is_dead(primary, silences[primary], [self._witness(told, primary) for told in speaking]):
            return None
        live = {jump.id for jump in standby if silences[jump.id] <= SILENT_SECONDS}
        used = {told.uses for told in speaking if told.uses is not None}
        new = heir(standby, live, used, self._deposed.keys())
        return None if new is None else (primary, new.id)

    def _silence(self, memory: NetworkMemory, peer_id: PeerId) -> float:
        """Seconds since the last heartbeat of a peer's agent."""
        told = self._paths.agents(memory.network.id).get(peer_id)
        return FOREVER if told is None else self._paths.now() - told.heard_at

    def _speaking(self, memory: NetworkMemory) -> list[Told]:
        """What the agents of regular peers said that are in touch with this server."""
        now, shared = self._paths.now(), memory.shared
        return [
            told
            for peer_id, told in self._paths.agents(memory.network.id).items()
            if now - told.heard_at <= LIVE_SECONDS and not (peer_id in shared and shared[peer_id].is_jump)
        ]

    def _witness(self, told: Told, jump: PeerId) -> Witness:
        seen = told.seen.get(jump)
        age = None if seen is None or seen.at is None else self._paths.now() - seen.at
        return Witness(age, told.uses)

    async def _replace(self, network_id: NetworkId, dead: PeerId, new: PeerId) -> None:
        """Make `new` the primary jump peer, unless something else has happened meanwhile."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            try:
                before = await tx.networks.lock(network_id)
            except NotFound:
                return
            jumps = jumps_in_order(before, await tx.peers.in_every_config(network_id))
            names = {jump.id: jump.name for jump in jumps}
            if new not in names or jumps[0].id != dead:
                return
            after = replace(before.advanced(jumps=True, shared=True), primary_id=new)
            await tx.networks.save(after)
            await log_network(tx, after, "network.primary", now)
            facts = {"dead": names[dead], "primary": names[new]}
            await tx.journal.audit([WATCH.did("network.primary", network_id, now, **facts)])
        self._deposed[dead] = self._paths.now()
        log.warning("a jump peer is dead and another takes its place", network=before.name, **facts)
        self._listeners.changed(Commit(network_id, after, audience=Audience.EVERYONE, event="network.primary"))
