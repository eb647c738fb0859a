"""Whether a peer is there, as far as anybody can tell: online, stale, offline, or unknown, and since when.

Silence counts from the last sign of life, but never from before somebody listened: a server that was away has heard
nothing, and knows nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# Agents report every 15 s ± 20 %, so a second report is late after 36 s.
STALE_AFTER = timedelta(seconds=36)
OFFLINE_AFTER = timedelta(seconds=90)
# WireGuard makes a new handshake every two minutes while there is traffic, and ends a session after three.
HANDSHAKE_GOOD_FOR = timedelta(seconds=180)


class State(StrEnum):
    """STALE: reports are missing, which one lost connection explains. UNKNOWN: nobody was there to hear any."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Liveness:
    """`since`: when contact began for ONLINE; else the last sign of life, None where there never was one."""

    state: State
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life: the `last` one, and the `first` of those that followed each other without a gap."""

    first: datetime
    last: datetime

    def after(self, sign: datetime, good_for: timedelta) -> "Signs":
        """With one more; after a longer silence than a sign is good for, contact begins anew."""
        first = sign if sign - self.last > good_for else self.first
        return Signs(first, max(self.last, sign))


def of_agent(signs: Signs | None, stored: datetime | None, listening_since: datetime, now: datetime) -> Liveness:
    """A peer with an agent. `signs` are those heard since `listening_since`, `stored` is an earlier one."""
    if signs is not None and now - signs.last <= STALE_AFTER:
        return Liveness(State.ONLINE, signs.first)
    last = signs.last if signs is not None else stored
    silence = now - (signs.last if signs is not None else listening_since)
    if silence <= STALE_AFTER:
        return Liveness(State.UNKNOWN, last)
    # An agent that was away too may wait for a minute before it tries again.
    return Liveness(State.STALE if silence <= OFFLINE_AFTER else State.OFFLINE, last)


def of_static(signs: Signs | None, stored: datetime | None, observed_at: datetime | None, now: datetime) -> Liveness:
    """A peer without an agent: handshakes are its signs, as a jump peer saw them that last reported `observed_at`.

    `signs` are those seen since the server listens, `stored` is an earlier one.
    """
    last = signs.last if signs is not None else stored
    if last is not None and abs(now - last) <= HANDSHAKE_GOOD_FOR:
        return Liveness(State.ONLINE, last if signs is None else signs.first)
    is_observed = observed_at is not None and now - observed_at <= STALE_AFTER
    return Liveness(State.OFFLINE if is_observed else State.UNKNOWN, last)
