"""Agents' calls: who is asking, which config is theirs, and what their reports change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from isthmus.domain.errors import AgentBlocked, AgentSessionConflict, NotFound, ReplayDetected, Unauthenticated
from isthmus.domain.ids import PeerId, PublicKey
from isthmus.domain.mesh.detection import Observer, Speaker, Watch
from isthmus.domain.mesh.incident import Finding, Process, Type
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire
from isthmus.server.application import secrets
from isthmus.server.application.incidents import IncidentService
from isthmus.server.application.liveness import LivenessService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.network_memory import NetworkMemory, News
from isthmus.server.application.report_rules import ReportedKeys, check_times
from isthmus.server.application.sessions import SessionService
from isthmus.server.ports import Clock, Store
from isthmus.server.records import Commit, PeerStatus

# Called with each heartbeat that counted, in its path: it may note something, and neither wait nor fail.
OnBeat = Callable[[NetworkMemory, Peer, wire.Heartbeat], None]


@dataclass(slots=True)
class Conversation:
    """Where an agent speaks from, and which process it is once its first report has told."""

    speaker: Speaker

    @classmethod
    def began(cls, source: str | None) -> "Conversation":
        return cls(Speaker(source, None))

    def told(self, host: wire.Host) -> None:
        self.speaker = Speaker(self.speaker.source, Process(host.machine_id, host.boot_id, host.started_at))


@dataclass(frozen=True, slots=True)
class Onlookers:
    """Who makes something of what agents report."""

    liveness: LivenessService
    incidents: IncidentService


class AgentService:
    """Reports are collected in memory and written once a second by `flush`: losing one second of counters to a
    crash costs nothing, for every agent reports again."""

    def __init__(
        self, store: Store, clock: Clock, mesh: MeshMemory, sessions: SessionService, onlookers: Onlookers
    ) -> None:
        self._store = store
        self._clock = clock
        self._mesh = mesh
        self._sessions = sessions
        self._incidents = onlookers.incidents
        self._liveness = onlookers.liveness
        self._watch = Watch()
        self._keys = ReportedKeys(store)
        self._statuses: dict[PeerId, PeerStatus] = {}
        self._dirty: set[PeerId] = set()
        self._nonces: dict[PeerId, str] = {}
        self.on_beat: list[OnBeat] = []

    async def authenticate(self, session_token: str) -> PeerId:
        """The peer of a session. Raises `Unauthenticated`, which an agent takes for the end of its session."""
        return await self._sessions.peer_of(session_token)

    async def admit(self, peer_id: PeerId) -> None:
        """Raises `AgentBlocked` while an incident suspends the peer's session."""
        await self._around(peer_id)

    def unix_time(self) -> int:
        return int(self._clock.now().timestamp())

    def fresh_nonce(self, peer_id: PeerId) -> str:
        """The nonce that the peer's next heartbeat must carry."""
        nonce = self._nonces[peer_id] = secrets.new_nonce()
        return nonce

    async def desired(self, peer_id: PeerId) -> int:
        """The revision that the peer's agent should have. Raises `Unauthenticated` when the peer is gone."""
        memory, peer = await self._around(peer_id)
        return memory.desired(peer)

    async def news(self, peer_id: PeerId, has: int | None) -> News:
        """What brings the peer's agent, which `has` a revision or none, to the one it should have."""
        memory, peer = await self._around(peer_id)
        return memory.news(peer, has)

    async def first(self, peer_id: PeerId) -> tuple[int, wire.Config]:
        """The whole config for a peer that has just enrolled, and its revision; nobody's neighbour while it is blocked.
        Raises `Unauthenticated` when the peer is gone again."""
        memory, peer = await self._home(peer_id)
        return memory.desired(peer), memory.config(peer)

    def news_at_hand(self, peer_id: PeerId, has: int | None) -> News | None:
        """The same, where it needs no reading; None where it does."""
        known = self._mesh.at_hand(peer_id)
        return None if known is None or known[1].blocked else known[0].news(known[1], has)

    async def heartbeat(self, peer_id: PeerId, beat: wire.Heartbeat, talk: Conversation | None = None) -> str:
        """Take a report over and return the next nonce. Raises `ReplayDetected`, `InvalidValue` or
        `AgentSessionConflict`, with nothing of the report taken.

        Any nonce is taken while none was given out, which is so after a restart of the server. Whoever has the
        nonce was here after it was given out: a report that was under way for long proves nothing about who is alive.
        """
        expected = self._nonces.get(peer_id)
        if expected is not None and beat.nonce != expected:
            raise ReplayDetected(self.fresh_nonce(peer_id))
        memory, peer = await self._around(peer_id)
        now = self._clock.now()
        self._liveness.hear(memory.network, peer, now)
        if not beat.is_bare:
            check_times(beat, now)
            await self._keys.check(beat, memory)
        if talk is not None:
            if beat.host is not None:
                talk.told(beat.host)
            found = self._watch.of(peer_id).heard(talk.speaker, now, memory.network.limits)
            if found is not None:
                await self._misused(found)
        status = await self._status(peer_id)
        # An `applied` may get lost with its connection: every heartbeat says the revision too, 0 for none.
        revision = beat.revision or status.applied_revision
        status = status.seen(now, revision)
        if beat.host is not None:
            status = replace(status, hostname=beat.host.hostname, agent_version=beat.host.agent_version)
        self._put(status)
        if peer.is_jump:
            await self._observe(memory, peer, beat.peers, now)
        for noted in self.on_beat:
            noted(memory, peer, beat)
        return self.fresh_nonce(peer_id)

    async def _misused(self, found: Finding) -> None:
        """Who speaks beside another on one session is told at once; all else is for the database to hear later."""
        if found.type is not Type.SESSION_CONFLICT:
            self._incidents.report(found)
            return
        incident = await self._incidents.open(found)
        if incident is not None:
            raise AgentSessionConflict(str(incident.id))

    async def _observe(
        self, memory: NetworkMemory, observer: Peer, reports: Iterable[wire.PeerReport], now: datetime
    ) -> None:
        """What a jump peer sees of the peers of its own network; keys of nobody change nothing."""
        for report in reports:
            seen = memory.by_key.get(PublicKey(report.public_key))
            if seen is None:
                continue
            # A clock that runs ahead must not make a peer look alive for longer than it is.
            seconds = min(report.latest_handshake, int(now.timestamp()))
            handshake = _time(seconds) if seconds else None
            self._liveness.observe(memory.network, memory.peers[seen], handshake)
            # Without a handshake, and for a jump peer, the endpoint is what the config says and nothing that was seen.
            if report.endpoint is not None and handshake is not None and not memory.peers[seen].is_jump:
                at = Observer(observer.id, observer.name)
                for found in self._watch.of(seen).saw(at, report.endpoint, now, memory.network.limits):
                    self._incidents.report(found)
            self._put(
                replace(
                    await self._status(seen),
                    endpoint=report.endpoint,
                    latest_handshake=handshake,
                    # What the jump peer received, the peer sent.
                    rx=report.tx,
                    tx=report.rx,
                )
            )

    async def applied(self, peer_id: PeerId, report: wire.Applied) -> None:
        memory, peer = await self._around(peer_id)
        now = self._clock.now()
        self._liveness.hear(memory.network, peer, now)
        status = await self._status(peer_id)
        revision = status.applied_revision if report.error else report.revision
        self._put(replace(status, last_seen=now, applied_revision=revision, applied_error=report.error))

    async def statuses(self, peer_ids: Iterable[PeerId]) -> dict[PeerId, PeerStatus]:
        """What is known of these peers, the reports of the last second included."""
        wanted = list(peer_ids)
        absent = [peer_id for peer_id in wanted if peer_id not in self._statuses]
        if absent:
            async with self._store.reading() as tx:
                stored = await tx.statuses.of_peers(absent)
            for peer_id in absent:
                self._statuses.setdefault(peer_id, stored.get(peer_id, PeerStatus(peer_id)))
        return {peer_id: self._statuses[peer_id] for peer_id in wanted}

    def status_at_hand(self, peer_id: PeerId) -> PeerStatus | None:
        """What is known of a peer, where it needs no reading."""
        return self._statuses.get(peer_id)

    async def flush(self) -> None:
        """Write what has changed since the last flush, in one statement."""
        if not self._dirty:
            return
        batch = [self._statuses[peer_id] for peer_id in self._dirty if peer_id in self._statuses]
        self._dirty.clear()
        try:
            async with self._store.transaction() as tx:
                await tx.statuses.save(batch)
        except BaseException:
            self._dirty.update(status.peer_id for status in batch)
            raise

    def changed(self, commit: Commit) -> None:
        """Forget what belongs to sessions that are over."""
        self._sessions.changed(commit)
        for peer_id in commit.ended:
            self._nonces.pop(peer_id, None)
            self._watch.forget(peer_id)
        for incident in commit.incidents:
            if not incident.is_open:
                self._watch.forget(incident.peer_id)
        for peer_id in commit.removed:
            self._statuses.pop(peer_id, None)
            self._dirty.discard(peer_id)

    async def around(self, peer_id: PeerId) -> tuple[NetworkMemory, Peer]:
        """The network of a peer, and the peer. Raises `Unauthenticated` when it is gone, `AgentBlocked` while it is
        blocked."""
        return await self._around(peer_id)

    async def _around(self, peer_id: PeerId) -> tuple[NetworkMemory, Peer]:
        memory, peer = self._mesh.at_hand(peer_id) or await self._home(peer_id)
        if peer.blocked:
            incident = await self._incidents.blocking(peer_id)
            if incident is not None:
                raise AgentBlocked(str(incident))
        return memory, peer

    async def _home(self, peer_id: PeerId) -> tuple[NetworkMemory, Peer]:
        try:
            return await self._mesh.around(peer_id)
        except NotFound:
            raise Unauthenticated("the peer of this session was deleted") from None

    async def _status(self, peer_id: PeerId) -> PeerStatus:
        known = self._statuses.get(peer_id)
        return known if known is not None else (await self.statuses([peer_id]))[peer_id]

    def _put(self, status: PeerStatus) -> None:
        self._statuses[status.peer_id] = status
        self._dirty.add(status.peer_id)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
