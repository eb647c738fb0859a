"""The direct way to one neighbour: when it is tried, opened and closed. Pure; a table of states and what they do.

    RESTING ──time──▶ TRYING ──handshake──▶ GREETING ──heard──▶ OPEN
       ▲  └───────────handshake───────────────▲ │                │
       └───────────────── gave up, unheard, dead ┴────────────────┘

A handshake proves that the other's WireGuard answers, not that its agent has looked: it would drop what comes by the
new way. So both greet with keepalives first, and each moves when it hears the other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from isthmus.agent.pulse import KEEPALIVES, Moment, Pulse
from isthmus.agent.ways import DIRECT_KEEPALIVE, FRESH_SECONDS
from isthmus.domain.addresses import Endpoint
from isthmus.wireguard.state import PeerState


class State(StrEnum):
    RESTING = "resting"
    TRYING = "trying"
    GREETING = "greeting"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations in seconds. Who tries at the same time as the other gets through two NATs, so tries begin on a grid of
    the clock that both share: every `grid[0]` seconds, and with each failure by the next, coarser of `grid`.

    `stagger` keeps two sides from sending their first packets at once, which WireGuard settles after 5 s only.
    A way that is busy, or owes an answer for `prompt`, is dead when `probes` bring none for `hasty` and four round
    trips, if it ever answered one; any other when it owes one for `owed` (WireGuard itself answers within 10 s). So is
    one of which two keepalives are missing and `spare` seconds over.
    """

    candidate: float = 2.5
    least_tries: int = 8
    most_tries: int = 27
    stagger: float = 0.6
    settle: float = 1.5
    greet: float = 5.0
    confirm: float = 3.0
    grid: tuple[float, ...] = (30.0, 60.0, 300.0)
    least: float = 10.0
    forgiven: float = 600.0
    quiet: float = 0.2
    between_probes: float = 0.1
    probes: int = 4
    hasty: float = 0.4
    prompt: float = 1.0
    owed: float = 12.5
    spare: float = 6.0


@dataclass(frozen=True, slots=True)
class Road:
    """`since` and `until` are monotonic, `moved` is the Unix time when packets last took another way (0 = never).

    `anew` asks for the peer to be made anew. `number` counts the candidates tried in a row. `round_trip` in
    microseconds, 0 while no answer to a probe came on this way. `rx_then` is what was received when the state began.
    """

    candidates: tuple[Endpoint, ...]
    pulse: Pulse
    state: State
    since: float
    until: float
    stagger: float
    keepalive: int = DIRECT_KEEPALIVE
    moved: int = 0
    number: int = 0
    rx_then: int = 0
    handshake_then: int | None = None
    anew: bool = False
    probed: int = 0
    probe_at: float = 0.0
    probing_since: float = 0.0
    round_trip: int = 0
    failures: int = 0
    why: str = ""

    @classmethod
    def begun(cls, candidates: tuple[Endpoint, ...], peer: PeerState, now: Moment, stagger: float) -> "Road":
        """The way to a neighbour that is new, or that an agent which starts finds unused."""
        road = cls(candidates, Pulse.first(peer, now.mono), State.RESTING, now.mono, now.mono + stagger, stagger)
        handshake = peer.latest_handshake
        is_old = handshake is not None and now.unix - handshake >= FRESH_SECONDS
        return replace(road, handshake_then=handshake if is_old else None)

    @classmethod
    def taken_over(cls, candidates: tuple[Endpoint, ...], peer: PeerState, now: Moment, stagger: float) -> "Road":
        """A way that an agent which starts finds open, and does not disturb."""
        age = max(0.0, now.unix - (peer.latest_handshake or 0))
        road = cls.begun(candidates, peer, now, stagger)
        pulse = replace(road.pulse, handshake_at=now.mono - age)
        # What came before the start counts as the other side's use.
        return replace(road, pulse=pulse, state=State.OPEN, moved=int(now.unix), rx_then=-peer.rx - KEEPALIVES)

    @property
    def is_awake(self) -> bool:
        """Whether it sends keepalives. One that greets turns them on and off, since turning them on sends one."""
        return self.state in (State.TRYING, State.OPEN) or (self.state is State.GREETING and self.number % 2 == 0)

    @property
    def tried_at(self) -> Endpoint | None:
        return self.candidates[self.number % len(self.candidates)] if self.state is State.TRYING else None

    def with_candidates(self, candidates: tuple[Endpoint, ...], now: Moment) -> "Road":
        """The same way to a neighbour that is found elsewhere: tried at once, unless it is in use."""
        if candidates == self.candidates:
            return self
        road = replace(self, candidates=candidates, failures=0)
        is_searching = self.state in (State.RESTING, State.TRYING)
        return _at_rest(road, now, now.mono + self.stagger, "") if is_searching else road

    def after(self, peer: PeerState, now: Moment, timing: Timing, round_trip: int = 0) -> "Road":
        """The next state. `round_trip` is that of an answer to a probe which came since the last look, 0 for none."""
        pulse = self.pulse.after(peer, now.mono)
        road = replace(self, pulse=pulse, round_trip=round_trip or self.round_trip)
        if pulse.heard_at == now.mono:
            road = replace(road, probed=0)
        if peer.rx < self.pulse.peer.rx:
            # Somebody else made the peer anew.
            road = replace(road, rx_then=min(road.rx_then, -KEEPALIVES if road.state is State.OPEN else 0))
        return STEPS[road.state](road, now, timing)

    def probes_now(self, now: Moment, timing: Timing) -> bool:
        """Whether a probe shall be sent: on opening, and while a busy way is silent."""
        if self.state is not State.OPEN or now.mono - self.probe_at < timing.between_probes:
            return False
        is_new = now.mono - self.since < timing.confirm and not self.round_trip
        return is_new or (self.is_pressed(now, timing) and self.pulse.silence(now.mono) >= timing.quiet)

    def is_pressed(self, now: Moment, timing: Timing) -> bool:
        """Whether packets wait for this way to answer."""
        return self.pulse.is_busy(now.mono) or self.pulse.owes_for(now.mono) >= timing.prompt

    def with_probe(self, now: Moment) -> "Road":
        since = self.probing_since if self.probed else now.mono
        return replace(self, probed=self.probed + 1, probe_at=now.mono, probing_since=since)


def _rest(road: Road, now: Moment, timing: Timing) -> Road:
    if road.pulse.peer.latest_handshake not in (None, road.handshake_then):
        return _greeting(road, now, timing)
    if now.mono < road.until or not road.candidates:
        return road
    return _trying(road, now, timing, 0)


def _try(road: Road, now: Moment, timing: Timing) -> Road:
    if road.pulse.peer.latest_handshake is not None:
        return _greeting(road, now, timing)
    # A handshake on its way would be lost with the peer.
    is_answered = road.pulse.peer.rx > 0 and road.pulse.silence(now.mono) < timing.settle
    if now.mono < road.until or is_answered:
        return road
    if road.number + 1 >= max(timing.least_tries, min(timing.most_tries, 3 * len(road.candidates))):
        return _failed(road, now, timing, "no candidate answers")
    return _trying(road, now, timing, road.number + 1)


def _greet(road: Road, now: Moment, timing: Timing) -> Road:
    if road.pulse.peer.rx > road.rx_then:
        return replace(
            road,
            state=State.OPEN,
            since=now.mono,
            moved=int(now.unix),
            rx_then=road.pulse.peer.rx,
            round_trip=0,
            probed=0,
            why="",
        )
    if now.mono >= road.until:
        return _failed(road, now, timing, "it did not greet")
    return replace(road, number=road.number + 1)


def _keep(road: Road, now: Moment, timing: Timing) -> Road:
    why = death_of(road, now, timing)
    if not why:
        is_forgiven = road.failures and now.mono - road.since > timing.forgiven
        return replace(road, failures=0) if is_forgiven else road
    return _failed(replace(road, moved=int(now.unix), round_trip=0), now, timing, why)


STEPS: dict[State, Callable[[Road, Moment, Timing], Road]] = {
    State.RESTING: _rest,
    State.TRYING: _try,
    State.GREETING: _greet,
    State.OPEN: _keep,
}


def death_of(road: Road, now: Moment, timing: Timing) -> str:
    """Why an open way is no way any more, empty while it is one."""
    pulse, mono = road.pulse, now.mono
    if mono - pulse.handshake_at >= FRESH_SECONDS:
        return "its handshake is too old"
    if pulse.silence(mono) >= 2 * road.keepalive + timing.spare:
        return "its keepalives do not come"
    if pulse.owes_for(mono) >= timing.owed:
        return "it does not answer"
    is_new = pulse.peer.rx - road.rx_then < KEEPALIVES
    if is_new and mono - road.since >= timing.confirm:
        return "the other side does not use it"
    patience = timing.hasty + 4e-6 * road.round_trip
    is_mute = road.probed >= timing.probes and mono - road.probing_since >= patience
    if road.round_trip and is_mute and road.is_pressed(now, timing):
        return "it has stopped to answer"
    return ""


def slot(now: Moment, every: float, least: float) -> float:
    """The next time, at least `least` seconds from now, at which clocks everywhere show a multiple of `every`."""
    earliest = now.unix + least
    return now.mono + math.ceil(earliest / every) * every - now.unix


def _trying(road: Road, now: Moment, timing: Timing, number: int) -> Road:
    until = now.mono + timing.candidate
    return replace(road, state=State.TRYING, since=now.mono, until=until, number=number, anew=True)


def _greeting(road: Road, now: Moment, timing: Timing) -> Road:
    peer = road.pulse.peer
    return replace(road, state=State.GREETING, since=now.mono, until=now.mono + timing.greet, number=1, rx_then=peer.rx)


def _failed(road: Road, now: Moment, timing: Timing, why: str) -> Road:
    every = timing.grid[min(road.failures, len(timing.grid) - 1)]
    failed = replace(road, failures=min(road.failures + 1, len(timing.grid)))
    return _at_rest(failed, now, slot(now, every, timing.least), why)


def _at_rest(road: Road, now: Moment, until: float, why: str) -> Road:
    """Without an endpoint, and without the session that the other side may still take for a way."""
    return replace(
        road,
        state=State.RESTING,
        since=now.mono,
        until=until,
        number=0,
        anew=True,
        handshake_then=None,
        rx_then=0,
        probed=0,
        why=why,
    )
