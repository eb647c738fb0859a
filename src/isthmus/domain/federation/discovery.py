"""Discovery: what an SRV answer means, in which order its targets are tried, and how long it may be believed."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import InfraDomain, is_domain

T = TypeVar("T")

MOST_RECORDS = 32
LEAST_LIFE = 30.0
MOST_LIFE = 3600.0
NEGATIVE_LIFE = 30.0
STALE_LIFE = 3600.0
"""Seconds for which an answer that has run out goes on serving a pinned mapping while the resolver fails."""
STALE_PAUSE = 10.0
"""Seconds between two attempts to replace a stale answer: who calls meanwhile must not wait for a dead resolver."""
MOST_LOOKUPS = 6
LOOKUP_WINDOW = 60.0
NO_SERVICE = "."

Draw = Callable[[int, int], int]
"""A random whole number between the two given ones, both included."""


@dataclass(frozen=True, slots=True)
class Record:
    """One SRV record as DNS has it. `target` is in lower case and without its last dot, but for `.`, which is none."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where a remote may be reached."""

    host: InfraDomain
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def usable(records: Sequence[Record], ports: Collection[int]) -> list[Record]:
    """The records that may be followed: names of two labels or more that are no IP address, on ports of the allow list.

    Raises `Denied`: `discovery_no_service` where the answer says that there is none, `target_denied` where it names odd
    targets alone or too many.
    """
    if len(records) > MOST_RECORDS:
        raise Denied("target_denied", "discovery.too_many", f"DNS lists more than {MOST_RECORDS} targets")
    named = [record for record in records if record.target != NO_SERVICE]
    if not named:
        raise Denied("discovery_no_service", "discovery.dot" if records else "discovery.empty", "DNS lists no service")
    good = [record for record in named if is_domain(record.target) and record.port in ports]
    if not good:
        raise _odd(named[0])
    return good


def _odd(record: Record) -> Denied:
    facts = {"target": record.target[:253], "port": record.port}
    if is_domain(record.target):
        return Denied("target_denied", "target.port", f"port {record.port} is not on the allow list", facts=facts)
    detail = "the SRV record names no host with at least two labels"
    return Denied("target_denied", "target.name", detail, facts=facts)


def ordered(records: Sequence[Record], draw: Draw) -> list[Target]:
    """The targets in the order in which they are tried (RFC 2782): by priority, by weighted chance among equals."""
    if len(records) == 1:
        return [Target(InfraDomain(records[0].target), records[0].port)]
    order: list[Target] = []
    for priority in sorted({record.priority for record in records}):
        order += _by_chance([record for record in records if record.priority == priority], draw)
    return list(dict.fromkeys(order))


def _by_chance(records: Sequence[Record], draw: Draw) -> list[Target]:
    # Those without weight come first: they win only where nought is drawn.
    left = sorted(records, key=lambda record: record.weight > 0)
    order = []
    while left:
        # Nought would favour the first record beyond its weight where none is without.
        number = draw(0 if left[0].weight == 0 else 1, sum(record.weight for record in left))
        running = 0
        for record in left:
            running += record.weight
            if running >= number:
                break
        left.remove(record)
        order.append(Target(InfraDomain(record.target), record.port))
    return order


def among(targets: Sequence[Target], pins: Collection[str]) -> list[Target]:
    """Those that the remote's entry pins: DNS may narrow what was agreed, never widen it.

    Raises `Denied` with `target_denied` when none is left.
    """
    found = [target for target in targets if target.host in pins]
    if not found:
        facts = {"discovered": sorted({target.host for target in targets})[:8], "pinned": sorted(pins)[:8]}
        raise Denied("target_denied", "infra_unpinned", "DNS names none of the remote's infra domains", facts=facts)
    return found


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """An answer in the cache; None stands for the final answer that there is nothing. Times are in seconds."""

    answer: T | None
    fresh_until: float
    stale_until: float

    def is_fresh(self, now: float) -> bool:
        return now < self.fresh_until

    def may_serve_stale(self, now: float) -> bool:
        """Whether it stands in while the resolver fails."""
        return self.answer is not None and now < self.stale_until

    def put_off(self, now: float) -> "Kept[T]":
        """The same answer, which nobody tries to replace for a moment. It lives no longer by that."""
        return Kept(self.answer, min(now + STALE_PAUSE, self.stale_until), self.stale_until)


def kept(answer: T, ttl: float, now: float) -> Kept[T]:
    """A positive answer of which DNS says that it lives `ttl` seconds."""
    fresh_until = now + min(max(ttl, LEAST_LIFE), MOST_LIFE)
    return Kept(answer, fresh_until, fresh_until + STALE_LIFE)


def kept_absence(now: float) -> Kept[T]:
    """The final answer that there is nothing, whatever DNS says of its life."""
    return Kept(None, now + NEGATIVE_LIFE, now + NEGATIVE_LIFE)


class LookupLimit:
    """At most so many lookups for one name within a minute."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def wait(self, now: float) -> float:
        """Seconds until another lookup may start; 0 counts this one."""
        self._times = [time for time in self._times if now - time < LOOKUP_WINDOW]
        if len(self._times) >= MOST_LOOKUPS:
            return LOOKUP_WINDOW - (now - self._times[0])
        self._times.append(now)
        return 0.0
