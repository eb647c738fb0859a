"""Which jump peer serves: the config's primary, until it is silent and another one is heard. Pure.

An idle tunnel proves nothing, for keepalives are not answered. So a jump peer that was not heard for a while is sent a
probe: its WireGuard answers that within 10 s, whatever its host does with it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from isthmus.agent.desired import Desired
from isthmus.agent.pulse import Moment, Pulse
from isthmus.agent.ways import FRESH_SECONDS
from isthmus.domain.addresses import IPAddress
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState


@dataclass(frozen=True, slots=True)
class Patience:
    """Durations in seconds. One that is not heard for `doubt` is probed, for `alarm` the others are too, for `dead` it
    is left; `alive` is how long one counts as heard. Who was left serves again after `hold` at the earliest.
    """

    doubt: float = 8.0
    alarm: float = 12.0
    dead: float = 22.0
    alive: float = 11.0
    hold: float = 300.0
    between_probes: float = 4.0
    probes: int = 3


@dataclass(frozen=True, slots=True)
class Jump:
    """`probed` counts the probes since it was last heard."""

    own: tuple[IPAddress, ...]
    pulse: Pulse
    probed: int = 0
    probe_at: float = float("-inf")

    def is_dead(self, now: float, patience: Patience) -> bool:
        asked = self.probed >= patience.probes or self.pulse.owes_for(now) >= patience.dead
        return asked and self.pulse.silence(now) >= patience.dead

    def is_fresh(self, now: float) -> bool:
        return self.pulse.peer.latest_handshake is not None and now - self.pulse.handshake_at < FRESH_SECONDS


class Failover:
    """The jump peers of one config. `since` is the Unix time from which `serving` serves."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.serving: PublicKey | None = None
        self.since = 0
        self._patience = patience or Patience()
        self._primary: PublicKey | None = None
        self._order: tuple[PublicKey, ...] = ()
        self._jumps: dict[PublicKey, Jump] = {}
        self._hold_until = float("-inf")

    @property
    def is_needed(self) -> bool:
        return len(self._order) > 1

    @property
    def instead(self) -> PublicKey | None:
        """The one that serves in place of the config's primary, None where that one serves."""
        return None if self.serving == self._primary else self.serving

    def round_trip(self, round_trips: Mapping[IPAddress, int]) -> int:
        """Of the serving one in microseconds, 0 for unknown."""
        own = self._jumps[self.serving].own if self.serving in self._jumps else ()
        return next((round_trips[address] for address in own if address in round_trips), 0)

    def follow(self, desired: Desired, found: PublicKey | None, now: Moment) -> None:
        """A config: its primary is a new decision when it is another one than before. `found` serves at the start."""
        self._order = desired.jumps
        primary = desired.jumps[0] if desired.jumps else None
        if primary != self._primary or self.serving not in self._order:
            is_start = self._primary is None
            self._primary = primary
            self._serve(found if is_start and found is not None else primary, now)
            self._hold_until = now.mono + self._patience.hold if self.instead else float("-inf")
        self._jumps = {key: each for key, each in self._jumps.items() if key in self._order}
        self._own = {key: desired.neighbours[key].own for key in self._order}

    def step(self, state: InterfaceState, now: Moment) -> None:
        """Look at the counters, and let another one serve where that is due."""
        for key in self._order:
            if key in state.peers:
                self._look(key, state, now.mono)
        if not self.is_needed or self.serving not in self._jumps:
            return
        if self._jumps[self.serving].is_dead(now.mono, self._patience):
            self._replace_serving(now)
        elif self.instead and now.mono >= self._hold_until and self._is_back(self._primary):
            self._serve(self._primary, now)

    def probes(self, now: Moment) -> Iterator[IPAddress]:
        """Where to send a probe now."""
        if not self.is_needed or self.serving not in self._jumps:
            return
        is_alarmed = self._jumps[self.serving].pulse.silence(now.mono) >= self._patience.alarm
        is_returning = self.instead is not None and now.mono >= self._hold_until
        for key, jump in self._jumps.items():
            is_asked = key == self.serving or is_alarmed or (is_returning and key == self._primary)
            is_due = now.mono - jump.probe_at >= self._patience.between_probes
            if is_asked and is_due and jump.own and jump.pulse.silence(now.mono) >= self._patience.doubt:
                self._jumps[key] = replace(jump, probed=jump.probed + 1, probe_at=now.mono)
                yield jump.own[0]

    def _look(self, key: PublicKey, state: InterfaceState, now: float) -> None:
        before = self._jumps.get(key)
        if before is None:
            self._jumps[key] = Jump(self._own[key], Pulse.first(state.peers[key], now))
            return
        pulse = before.pulse.after(state.peers[key], now)
        probed = 0 if pulse.heard_at == now else before.probed
        self._jumps[key] = replace(before, own=self._own[key], pulse=pulse, probed=probed)

    def _is_back(self, key: PublicKey | None) -> bool:
        return key in self._jumps and self._jumps[key].pulse.heard_at >= self._hold_until

    def _replace_serving(self, now: Moment) -> None:
        others = [key for key in self._order if key != self.serving and key in self._jumps]
        heard = [key for key in others if self._jumps[key].pulse.silence(now.mono) <= self._patience.alive]
        fresh = [key for key in others if self._jumps[key].is_fresh(now.mono)]
        for key in (*heard, *fresh):
            if not self._jumps[key].is_dead(now.mono, self._patience):
                self._serve(key, now)
                self._hold_until = now.mono + self._patience.hold
                return

    def _serve(self, key: PublicKey | None, now: Moment) -> None:
        if key != self.serving:
            self.since = int(now.unix)
        self.serving = key
