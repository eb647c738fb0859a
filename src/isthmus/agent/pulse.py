"""Whether one neighbour is heard: what its counters told over time. Pure; times are monotonic seconds."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from isthmus.wireguard.state import PeerState

# Up to two keepalives may lie between two looks. No packet with a payload is smaller on the wire than three.
KEEPALIVES = 64
# The rate above which a neighbour counts as busy lies above what probes of both sides make, about 1,000 bytes a second.
BUSY_RATE = 1_500
BUSY_WINDOW = 1.0
STAYS_BUSY = 3.0


class Moment(NamedTuple):
    """One moment on two clocks: `mono` measures durations and never jumps, `unix` is what other hosts share."""

    mono: float
    unix: float


@dataclass(frozen=True, slots=True)
class Pulse:
    """`heard_at`: when anything last came. `asked_at`: since when something was sent and nothing came.

    `busy_until` is some seconds after the last time in which more than probes went to and fro.
    """

    peer: PeerState
    handshake_at: float
    heard_at: float
    asked_at: float | None = None
    busy_until: float = 0.0
    window_at: float = 0.0
    window_bytes: int = 0

    @classmethod
    def first(cls, peer: PeerState, now: float) -> "Pulse":
        return cls(peer, now, now, window_at=now, window_bytes=peer.rx + peer.tx)

    def after(self, peer: PeerState, now: float) -> "Pulse":
        """The pulse once the counters were looked at again. A peer that was made anew begins with a first look."""
        before = self.peer
        if peer.rx < before.rx or peer.tx < before.tx:
            return Pulse.first(peer, now)
        heard = peer.rx > before.rx
        asked = peer.tx - before.tx > KEEPALIVES
        pulse = replace(
            self,
            peer=peer,
            handshake_at=now if peer.latest_handshake != before.latest_handshake else self.handshake_at,
            heard_at=now if heard else self.heard_at,
            asked_at=None if heard else now if asked and self.asked_at is None else self.asked_at,
        )
        return pulse if now - self.window_at < BUSY_WINDOW else pulse._weighed(now)

    def _weighed(self, now: float) -> "Pulse":
        total = self.peer.rx + self.peer.tx
        is_busy = total - self.window_bytes > BUSY_RATE * (now - self.window_at)
        until = now + STAYS_BUSY if is_busy else self.busy_until
        return replace(self, window_at=now, window_bytes=total, busy_until=until)

    def silence(self, now: float) -> float:
        return now - self.heard_at

    def is_busy(self, now: float) -> bool:
        return now < self.busy_until

    def owes_for(self, now: float) -> float:
        """For how long it has owed an answer; 0 if it owes none."""
        return 0.0 if self.asked_at is None else now - self.asked_at
