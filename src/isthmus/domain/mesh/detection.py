"""From reports to findings: a bounded memory of each peer, fed with what its agent and its observers say.

Two things are proof by themselves: a process that speaks again after another one spoke on the same session, for
both are alive, and what the server hears itself. What one observer says of another peer is not: it takes a second
one, or the session, before a finding blocks (docs/decisions/0011).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address, ip_network

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.incident import (
    Changing,
    Evidence,
    Finding,
    Observation,
    Process,
    SessionConflict,
    SharedConfig,
    Sighting,
    SuspiciousActivity,
    Type,
    Voice,
)
from isthmus.domain.mesh.limits import Limits

MOST_PEERS = 100_000
MOST_STAYS = 32
MOST_OBSERVERS = 8
# A host at the edge of two networks goes there and back, maybe twice, before its agent is heard from both. A key that
# did so three times (each way but the first leads back) while its agent is never heard there is not one host's.
RETURNS_OF_AN_AGENT = 5
SERVER = "the server"


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who reports: the address that a report came from, and the process that its conversation told of."""

    source: str | None
    process: Process | None


@dataclass(frozen=True, slots=True)
class Observer:
    """A jump peer that reports where it sees others."""

    id: PeerId
    name: str


@lru_cache(maxsize=4096)
def place_of(address: str) -> tuple[int, str] | None:
    """Family and place of an address: of IPv6 the /64, within which hosts change their addresses for privacy."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if parsed.version == 4:
        return 4, str(parsed)
    if parsed.ipv4_mapped is not None:
        return 4, str(parsed.ipv4_mapped)
    return 6, str(ip_network((int(parsed) >> 64 << 64, 64)))


def host_of(endpoint: str) -> str:
    """The address of `host:port` or `[v6]:port`."""
    return endpoint.rpartition(":")[0].removeprefix("[").removesuffix("]")


@dataclass(frozen=True, slots=True)
class Move:
    """A change of address within one family."""

    left: Sighting
    arrived: Sighting
    left_place: str
    arrived_place: str

    @property
    def at(self) -> datetime:
        return self.arrived.at


@dataclass(slots=True)
class Trail:
    """Where one observer met a peer: its present place in each family, and the latest moves and changes of port."""

    present: dict[int, tuple[str, Sighting]] = field(default_factory=dict)
    moves: deque[Move] = field(default_factory=deque)
    ports: deque[Sighting] = field(default_factory=deque)
    latest: str | None = None

    def met(self, address: str, sighting: Sighting, limits: Limits) -> Changing | None:
        """Take a sighting over; says what changed with it, None for a place that is not new."""
        self.latest = sighting.place
        found = place_of(address)
        if found is None:
            return None
        family, place = found
        before, self.present[family] = self.present.get(family), (place, sighting)
        if before is None:
            return None
        if before[0] == place:
            self.ports.append(sighting)
            _shorten(self.ports, limits.port_changes)
            return Changing.PORT
        self.ports.clear()
        self.moves.append(Move(before[1], sighting, before[0], place))
        _shorten(self.moves, limits.address_changes)
        return Changing.ADDRESS

    def is_restless(self, limits: Limits, now: datetime) -> bool:
        """Whether the last moves are as many as the limit, within its window."""
        return len(self.moves) >= limits.address_changes and now - self.moves[0].at <= limits.span("address_window")

    def hops_ports(self, limits: Limits, now: datetime) -> bool:
        return len(self.ports) >= limits.port_changes and now - self.ports[0].at <= limits.span("port_window")

    def last_return(self, limits: Limits) -> Move | None:
        """The move away from the place that the last move led back to in time; None where it led elsewhere."""
        last = self.moves[-1]
        return self._departure(len(self.moves) - 1, last, limits)

    def returns(self, limits: Limits) -> int:
        """How many of the moves within the window before the last one led back."""
        start = self.moves[-1].at - limits.span("return_window")
        recent = [(index, move) for index, move in enumerate(self.moves) if move.at >= start]
        return sum(self._departure(index, move, limits) is not None for index, move in recent)

    def _departure(self, index: int, move: Move, limits: Limits) -> Move | None:
        for earlier in range(index - 1, -1, -1):
            candidate = self.moves[earlier]
            if move.at - candidate.at > limits.span("return_window"):
                return None
            if candidate.left_place == move.arrived_place:
                return candidate
        return None


@dataclass(slots=True)
class Stay:
    """One speaker in one place, heard from the voice's time `until`. `who` is the process, or the place of one that
    does not say."""

    voice: Voice
    who: Process | str
    place: tuple[int, str] | None
    until: datetime


class Watched:
    """All that is remembered of one peer."""

    def __init__(self, peer_id: PeerId) -> None:
        self._peer_id = peer_id
        self._speaker: Speaker | None = None
        self._stays: deque[Stay] = deque(maxlen=MOST_STAYS)
        self._heard = Trail()
        self._seen: dict[PeerId, Trail] = {}
        self._found: dict[tuple[Type, Changing | None], dict[PeerId | None, tuple[datetime, Observation]]] = {}

    def heard(self, speaker: Speaker, now: datetime, limits: Limits) -> Finding | None:
        """Take a beat over that counted. Costs a comparison while the speaker stays the same."""
        if speaker == self._speaker:
            self._stays[-1].until = now
            return None
        self._speaker = speaker
        stay = self._stay(speaker, now)
        conflict = self._conflict(stay, now, limits)
        self._stays.append(stay)
        if conflict is not None:
            return self._finding(Type.SESSION_CONFLICT, conflict, now, blocks=True)
        if speaker.source is None:
            return None
        moved = self._heard.met(speaker.source, Sighting(now, speaker.source), limits)
        if moved is not Changing.ADDRESS or not self._heard.is_restless(limits, now):
            return None
        return self._restless(None, self._heard, now, limits)

    def saw(self, observer: Observer, endpoint: str, now: datetime, limits: Limits) -> list[Finding]:
        """Take an observer's word over for where this peer is. Costs a comparison while it says the same."""
        trail = self._seen.get(observer.id)
        if trail is None:
            if len(self._seen) >= MOST_OBSERVERS:
                del self._seen[next(iter(self._seen))]
            trail = self._seen[observer.id] = Trail()
        if trail.latest == endpoint:
            return []
        match trail.met(host_of(endpoint), Sighting(now, endpoint), limits):
            case Changing.ADDRESS:
                found = [self._shared(observer, trail, now, limits)]
                if trail.is_restless(limits, now):
                    found.append(self._restless(observer, trail, now, limits))
                return [finding for finding in found if finding is not None]
            case Changing.PORT if trail.hops_ports(limits, now):
                evidence = SuspiciousActivity(Changing.PORT, (_observation(observer, trail.ports),))
                trail.ports.clear()
                return [self._finding(Type.SUSPICIOUS_ACTIVITY, evidence, now, blocks=False)]
        return []

    def _stay(self, speaker: Speaker, now: datetime) -> Stay:
        place = None if speaker.source is None else place_of(speaker.source)
        process = speaker.process
        if process is None and self._stays:
            # Who does not say is taken for who spoke last, unless the address is another one of the same family.
            last = self._stays[-1]
            is_same = place is None or last.place is None or last.place == place or last.place[0] != place[0]
            process = last.voice.process if is_same else None
        return Stay(Voice(now, speaker.source, process), process or str(place), place, now)

    def _conflict(self, stay: Stay, now: datetime, limits: Limits) -> SessionConflict | None:
        """The stays since this speaker was heard last, where another one spoke in between."""
        between: list[Voice] = []
        for earlier in reversed(self._stays):
            if earlier.who == stay.who:
                if not between or now - earlier.until > limits.span("return_window"):
                    return None
                return SessionConflict((earlier.voice, *reversed(between), stay.voice))
            between.append(earlier.voice)
        return None

    def _shared(self, observer: Observer, trail: Trail, now: datetime, limits: Limits) -> Finding | None:
        departure = trail.last_return(limits)
        if departure is None:
            return None
        places = (departure.left_place, departure.arrived_place)
        voices = self._voices_at(places, now, limits)
        if any(len(heard) == len(places) for heard in voices.values()):
            return None  # the agent itself went there and back
        sightings = [departure.left, departure.arrived, *(move.arrived for move in _after(trail.moves, departure))]
        said = self._told(
            (Type.SHARED_CONFIG, None), _observation(observer, sightings), now, limits.span("return_window")
        )
        witnesses = tuple(voice for heard in voices.values() for voice in heard.values())
        heard_at_both = len({place for heard in voices.values() for place in heard}) == len(places)
        is_confirmed = len(said) > 1 or heard_at_both
        if not is_confirmed and self._is_heard(now, limits) and trail.returns(limits) < RETURNS_OF_AN_AGENT:
            return None
        evidence = SharedConfig(said, witnesses if heard_at_both else ())
        return self._finding(Type.SHARED_CONFIG, evidence, now, blocks=is_confirmed)

    def _voices_at(
        self, places: tuple[str, str], now: datetime, limits: Limits
    ) -> dict[Process | str, dict[str, Voice]]:
        """Which processes were lately heard from these places."""
        found: dict[Process | str, dict[str, Voice]] = {}
        for stay in self._stays:
            is_late = now - stay.until <= limits.span("return_window")
            if is_late and stay.place is not None and stay.place[1] in places:
                found.setdefault(stay.who, {})[stay.place[1]] = stay.voice
        return found

    def _is_heard(self, now: datetime, limits: Limits) -> bool:
        return bool(self._stays) and now - self._stays[-1].until <= limits.span("return_window")

    def _restless(self, observer: Observer | None, trail: Trail, now: datetime, limits: Limits) -> Finding:
        observation = _observation(observer, (move.arrived for move in trail.moves))
        trail.moves.clear()
        key = (Type.SUSPICIOUS_ACTIVITY, Changing.ADDRESS)
        said = self._told(key, observation, now, limits.span("address_window"))
        blocks = len(said) > 1 or any(each.observer is None for each in said)
        return self._finding(Type.SUSPICIOUS_ACTIVITY, SuspiciousActivity(Changing.ADDRESS, said), now, blocks=blocks)

    def _told(
        self, key: tuple[Type, Changing | None], observation: Observation, now: datetime, window: timedelta
    ) -> tuple[Observation, ...]:
        """All observations to the same thing that are not too old, the newest of each observer."""
        said = self._found.setdefault(key, {})
        for observer in [observer for observer, (at, _) in said.items() if now - at > window]:
            del said[observer]
        said[observation.observer] = (now, observation)
        return tuple(each for _, each in said.values())

    def _finding(self, type_: Type, evidence: Evidence, now: datetime, *, blocks: bool) -> Finding:
        return Finding(self._peer_id, type_, evidence, blocks, now)


class Watch:
    """The memory of all peers; the one that was made first goes when there are too many."""

    def __init__(self, most: int = MOST_PEERS) -> None:
        self._most = most
        self._peers: dict[PeerId, Watched] = {}

    def of(self, peer_id: PeerId) -> Watched:
        watched = self._peers.get(peer_id)
        if watched is None:
            if len(self._peers) >= self._most:
                del self._peers[next(iter(self._peers))]
            watched = self._peers[peer_id] = Watched(peer_id)
        return watched

    def forget(self, peer_id: PeerId) -> None:
        self._peers.pop(peer_id, None)


def _observation(observer: Observer | None, sightings: Iterable[Sighting]) -> Observation:
    if observer is None:
        return Observation(None, SERVER, tuple(sightings))
    return Observation(observer.id, observer.name, tuple(sightings))


def _after(moves: Iterable[Move], departure: Move) -> list[Move]:
    listed = list(moves)
    return listed[listed.index(departure) + 1 :]


def _shorten(items: deque[Move] | deque[Sighting], most: int) -> None:
    while len(items) > most:
        items.popleft()
