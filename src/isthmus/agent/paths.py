"""The planner of ways: direct paths and the serving jump peer, from looks at the interface. No I/O and no clock."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address

from isthmus.agent.desired import Desired, Neighbour, Role
from isthmus.agent.failover import Failover, Patience
from isthmus.agent.pulse import Moment
from isthmus.agent.road import Road, State, Timing
from isthmus.agent.ways import DIRECT_KEEPALIVE, Ways, found, overlaid
from isthmus.domain.addresses import DEFAULT_ROUTES, Endpoint, IPAddress, IPNetwork
from isthmus.protocol.agent import PathReport
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState


class Paths:
    """The ways of one interface. `follow` a config once, then `step` with each look."""

    def __init__(self, timing: Timing | None = None, patience: Patience | None = None) -> None:
        self.failover = Failover(patience)
        self.roads: dict[PublicKey, Road] = {}
        self._own_key: PublicKey | None = None
        self._timing = timing or Timing()
        self._desired: Desired | None = None
        self._has_moved: set[PublicKey] = set()

    def follow(self, desired: Desired, state: InterfaceState | None, now: Moment, own_key: PublicKey) -> Desired:
        """A config as it is on the present ways; `state` is the interface before it is applied.

        With another own key this host is another neighbour to all others, who try it anew: it does the same.
        """
        ways = found(desired, state, now.unix)
        peers = state.peers if state is not None else {}
        if own_key != self._own_key and self._own_key is not None:
            return self._renew(desired, peers, now, own_key)
        self._own_key = own_key
        roads = {}
        for key, neighbour in desired.neighbours.items():
            if neighbour.role is Role.DIRECT:
                peer, is_open = peers.get(key, PeerState(key)), key in ways.open
                roads[key] = self._road(neighbour, usable(neighbour, desired), peer, now, is_open=is_open)
        self.roads = roads
        self._has_moved &= roads.keys()
        self.failover.follow(desired, ways.jump, now)
        self._desired = desired
        return overlaid(desired, self.ways())

    def _renew(
        self, desired: Desired, peers: Mapping[PublicKey, PeerState], now: Moment, own_key: PublicKey
    ) -> Desired:
        self._own_key = own_key
        former, self.roads = self.roads, {}
        closed = {key for key, road in former.items() if road.state is State.OPEN}
        self._has_moved |= closed
        shown = self.follow(desired, InterfaceState(own_key, 0, 0, {}), now, own_key)
        for key, road in self.roads.items():
            # What sessions there are were the old key's.
            handshake = peers[key].latest_handshake if key in peers else None
            moved = int(now.unix) if key in closed else former[key].moved if key in former else 0
            self.roads[key] = replace(road, handshake_then=handshake, moved=moved)
        return shown

    def step(self, state: InterfaceState, now: Moment, round_trips: Mapping[IPAddress, int]) -> Iterator[Desired]:
        """Take a look in; yield what the interface shall then be, one after the other.

        `round_trips` are those of the answers to probes since the last look, in microseconds.
        """
        if self._desired is None:
            return
        before, served = self.ways(), self.failover.serving
        for key, road in self.roads.items():
            if key not in state.peers:
                continue
            own = self._desired.neighbours[key].own
            took = next((round_trips[address] for address in own if address in round_trips), 0)
            self.roads[key] = road.after(state.peers[key], now, self._timing, took)
            if self.roads[key].moved != road.moved:
                self._has_moved.add(key)
        self.failover.step(state, now)
        anew = frozenset(key for key, road in self.roads.items() if road.anew)
        for key in anew:
            self.roads[key] = replace(self.roads[key], anew=False)
        after = self.ways()
        if anew:
            yield overlaid(self._desired, replace(after, absent=anew))
        if anew or after != before or served != self.failover.serving:
            yield overlaid(self._desired, after)

    def ways(self) -> Ways:
        tried = {key: road.tried_at for key, road in self.roads.items()}
        return Ways(
            open=frozenset(key for key, road in self.roads.items() if road.state is State.OPEN),
            awake=frozenset(key for key, road in self.roads.items() if road.is_awake),
            tried={key: endpoint for key, endpoint in tried.items() if endpoint is not None},
            jump=self.failover.instead,
        )

    def probes(self, now: Moment) -> list[IPAddress]:
        """Where to send a probe now."""
        addresses = list(self.failover.probes(now))
        for key, road in self.roads.items():
            own = self._desired.neighbours[key].own if self._desired else ()
            if own and road.probes_now(now, self._timing):
                self.roads[key] = road.with_probe(now)
                addresses.append(own[0])
        return addresses

    def in_use(self, now: Moment, most: int) -> list[IPAddress]:
        """Where a round trip is worth measuring: the serving jump peer and the busiest direct ways."""
        if self._desired is None:
            return []
        ways = [(road.pulse.busy_until, key) for key, road in self.roads.items() if road.state is State.OPEN]
        keys = [key for _, key in sorted(ways, reverse=True)]
        keys = [self.failover.serving, *keys] if self.failover.serving else keys
        neighbours = [self._desired.neighbours[key] for key in keys[:most]]
        return [neighbour.own[0] for neighbour in neighbours if neighbour.own]

    def addresses(self) -> frozenset[IPAddress]:
        """Those of all neighbours that may be probed."""
        neighbours = self._desired.neighbours.values() if self._desired else ()
        return frozenset(address for each in neighbours if each.role is not Role.MEMBER for address in each.own)

    def name(self, key: PublicKey) -> str:
        return self._desired.neighbours[key].name if self._desired and key in self._desired.neighbours else str(key)

    def is_searching(self, now: Moment) -> bool:
        """Whether something may happen any moment, so that looks shall be frequent."""
        return any(
            road.state in (State.TRYING, State.GREETING) or (road.state is State.OPEN and self._is_eventful(road, now))
            for road in self.roads.values()
        )

    def _is_eventful(self, road: Road, now: Moment) -> bool:
        is_new = now.mono - road.since < self._timing.confirm
        return is_new or road.pulse.is_busy(now.mono) or road.pulse.asked_at is not None

    def until_due(self, now: Moment) -> float:
        """Seconds until a way that rests is tried."""
        times = (road.until for road in self.roads.values() if road.state is State.RESTING and road.candidates)
        return max(0.0, min(times, default=float("inf")) - now.mono)

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to look at between heartbeats."""
        return bool(self.roads) or self.failover.is_needed

    def reports(self, round_trips: Mapping[IPAddress, int]) -> list[PathReport]:
        """Of the serving jump peer, of every open way and of those that have closed."""
        serving = str(self.failover.serving) if self.failover.serving else ""
        reports = []
        if serving:
            took = self.failover.round_trip(round_trips)
            reports.append(PathReport(serving, self.failover.since, serving, took))
        for key, road in self.roads.items():
            if road.state is State.OPEN:
                reports.append(PathReport(str(key), road.moved, "", road.round_trip))
            elif key in self._has_moved:
                reports.append(PathReport(str(key), road.moved, serving))
        return reports

    def _road(
        self, neighbour: Neighbour, candidates: tuple[Endpoint, ...], peer: PeerState, now: Moment, *, is_open: bool
    ) -> Road:
        key = neighbour.public_key
        keepalive = neighbour.keepalive or DIRECT_KEEPALIVE
        if key in self.roads:
            return replace(self.roads[key].with_candidates(candidates, now), keepalive=keepalive)
        stagger = self._timing.stagger if self._own_key is not None and key < self._own_key else 0.0
        begin = Road.taken_over if is_open else Road.begun
        return replace(begin(candidates, peer, now, stagger), keepalive=keepalive)


def usable(neighbour: Neighbour, desired: Desired) -> tuple[Endpoint, ...]:
    """The candidates that lie outside the tunnel: a packet to one inside would be wrapped again and again."""
    inside = [route for route in desired.routes if route not in DEFAULT_ROUTES]
    return tuple(each for each in neighbour.candidates if _is_outside(each, inside))


def _is_outside(candidate: Endpoint, inside: Iterable[IPNetwork]) -> bool:
    try:
        address = ip_address(candidate.host)
    except ValueError:
        return False
    return not any(address in route for route in inside)
