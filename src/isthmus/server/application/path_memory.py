"""What agents say of their ways to others: in memory alone, for each tells it all again to a server that was restarted.

Moments are those of a clock that never jumps, in seconds; only the times that agents report are of the day.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire
from isthmus.server.application.network_memory import NetworkMemory
from isthmus.server.ports import Clock
from isthmus.server.records import Commit

# Three heartbeats that did not come: what an agent said before is no longer how things are.
LIVE_SECONDS = 50.0
# Of regular peers; a jump peer has as many neighbours as its network has peers.
MOST_NEIGHBOURS = 512
MOST_IN_ALL = 400_000
# An agent whose report of a handshake is older than that, and yet new to us, has a clock that is wrong.
BELIEVABLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One neighbour on an agent's interface. `at`: when the latest handshake was, None = never; bytes as the agent
    counts them."""

    endpoint: str | None
    latest_handshake: datetime | None
    at: float | None
    rx: int
    tx: int


@dataclass(frozen=True, slots=True)
class Way:
    """How an agent says that it reaches a neighbour. `via` None = directly; `round_trip` in microseconds, None =
    not measured."""

    via: PeerId | None
    since: datetime
    round_trip: int | None


@dataclass(slots=True)
class Told:
    """All that one agent said. `candidates` None = nothing yet; `uses` is the jump peer that it sends through."""

    network_id: NetworkId
    heard_at: float
    started_at: int | None = None
    candidates: tuple[str, ...] | None = None
    uses: PeerId | None = None
    uses_since: datetime | None = None
    seen: dict[PeerId, Seen] = field(default_factory=dict)
    ways: dict[PeerId, Way] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.seen) + len(self.ways)


class PathMemory:
    def __init__(self, clock: Clock, timer: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timer = timer
        self._networks: dict[NetworkId, dict[PeerId, Told]] = {}
        self._size = 0

    def now(self) -> float:
        return self._timer()

    def networks(self) -> list[NetworkId]:
        """The networks that an agent was heard of."""
        return list(self._networks)

    def agents(self, network_id: NetworkId) -> Mapping[PeerId, Told]:
        return self._networks.get(network_id, {})

    def live(self, network_id: NetworkId, peer_id: PeerId) -> Told | None:
        """What the peer's agent said, if it still is in touch."""
        told = self.agents(network_id).get(peer_id)
        return told if told is not None and self._timer() - told.heard_at <= LIVE_SECONDS else None

    def take(self, memory: NetworkMemory, peer: Peer, beat: wire.Heartbeat) -> None:
        """Take over what a heartbeat says of ways; keys that the network does not know change nothing."""
        agents = self._networks.setdefault(memory.network.id, {})
        told = agents.get(peer.id)
        if told is None:
            told = agents[peer.id] = Told(memory.network.id, self._timer())
        told.heard_at = self._timer()
        if beat.is_bare:
            return
        before = told.size
        if beat.host is not None and beat.host.started_at != told.started_at:
            # The agent is another process: of the ways that the one before had found, none is open.
            told.started_at = beat.host.started_at
            told.ways.clear()
        if beat.candidates is not None:
            told.candidates = beat.candidates
        most = MOST_IN_ALL if peer.is_jump else MOST_NEIGHBOURS
        self._take_seen(told, memory, beat.peers, most)
        self._take_ways(told, memory, beat.paths, most)
        self._size += told.size - before

    def _take_seen(self, told: Told, memory: NetworkMemory, reports: Iterable[wire.PeerReport], most: int) -> None:
        for report in reports:
            other = memory.by_key.get(PublicKey(report.public_key))
            if other is None or not self._has_room(told.seen, other, most):
                continue
            told.seen[other] = Seen(
                endpoint=report.endpoint or None,
                latest_handshake=_time(report.latest_handshake),
                at=self._moment_of(report.latest_handshake, told.seen.get(other)),
                rx=report.rx,
                tx=report.tx,
            )

    def _take_ways(self, told: Told, memory: NetworkMemory, reports: Iterable[wire.PathReport], most: int) -> None:
        for report in reports:
            other = memory.by_key.get(PublicKey(report.public_key))
            via = memory.by_key.get(PublicKey(report.via)) if report.via else None
            if other is None or (report.via and via is None) or not self._has_room(told.ways, other, most):
                continue
            since = _time(report.since) or self._clock.now()
            # A way to a jump peer itself says that this one is in use; other jump peers are not reported on.
            last = other if via is None else via
            if memory.peers[last].is_jump:
                told.uses, told.uses_since = last, since
            told.ways[other] = Way(None if last == other else last, since, report.round_trip or None)

    def _has_room(self, known: Mapping[PeerId, object], other: PeerId, most: int) -> bool:
        return other in known or (len(known) < most and self._size < MOST_IN_ALL)

    def _moment_of(self, handshake: int, before: Seen | None) -> float | None:
        """When a reported handshake was. One that is new is of the last seconds, whatever the agent's clock says."""
        if not handshake:
            return None
        if before is not None and before.latest_handshake == _time(handshake):
            return before.at
        age = max(0.0, self._clock.now().timestamp() - handshake)
        if before is not None and age > BELIEVABLE_SECONDS:
            age = 0.0
        return self._timer() - age

    def changed(self, commit: Commit) -> None:
        """Forget what was said by peers that are gone, and of them."""
        agents = self._networks.get(commit.network_id)
        if agents is None:
            return
        if commit.network is None:
            self._size -= sum(told.size for told in agents.values())
            del self._networks[commit.network_id]
            return
        for peer_id in commit.removed:
            gone = agents.pop(peer_id, None)
            self._size -= 0 if gone is None else gone.size
            for told in agents.values():
                before = told.size
                told.seen.pop(peer_id, None)
                told.ways.pop(peer_id, None)
                told.uses = None if told.uses == peer_id else told.uses
                self._size -= before - told.size


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
