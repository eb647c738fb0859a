"""Which routes stand in the main table and which in one of our own, and the policy rules that lead there."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.agent.observed import Route, Rule
from isthmus.domain.addresses import Family, IPAddress, IPNetwork, family_of

# Marks routes and rules as made by an agent (rtnetlink's numbers above 4 are free for routing software).
PROTOCOL = 105
FAMILIES: tuple[Family, ...] = (4, 6)
_FIRST_MARK = 0x4900_0000
_FIRST_PRIORITY = 20_000
_SLOTS = 4_096


@dataclass(frozen=True, slots=True)
class Slot:
    """The numbers of one interface, so that two agents on a host do not share any."""

    mark: int
    table: int
    priority: int


def slot_of(interface: str) -> Slot:
    number = zlib.crc32(interface.encode("ascii")) % _SLOTS
    return Slot(mark=_FIRST_MARK + number, table=_FIRST_MARK + number, priority=_FIRST_PRIORITY + 2 * number)


@dataclass(frozen=True, slots=True)
class Routing:
    """`mark` is what WireGuard puts on its own packets, 0 for none."""

    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()
    mark: int = 0


def routing_for(interface: str, routes: Iterable[IPNetwork], endpoints: Iterable[IPAddress]) -> Routing:
    """Lead `routes` into `interface`, and WireGuard's own packets to `endpoints` past it.

    A default route, or another one that covers an endpoint, would swallow the tunnel's own packets. It goes into a
    table that only packets without our mark look into, after every more specific route of the main table.
    """
    slot, targets = slot_of(interface), list(endpoints)
    found: set[Route] = set()
    rules: set[Rule] = set()
    per_family = {family: [route for route in routes if family_of(route) == family] for family in FAMILIES}
    for family, prefixes in per_family.items():
        risky = [prefix for prefix in prefixes if prefix.prefixlen == 0 or any(ip in prefix for ip in targets)]
        found |= {Route(prefix, slot.table if prefix in risky else None) for prefix in prefixes}
        if risky:
            shortest = min(prefix.prefixlen for prefix in risky)
            rules |= {
                Rule(family, slot.priority, suppress_up_to=shortest),
                Rule(family, slot.priority + 1, table=slot.table, unless_mark=slot.mark),
            }
    return Routing(frozenset(found), frozenset(rules), slot.mark if rules else 0)


def is_ours(rule: Rule, interface: str) -> bool:
    """Whether a rule that some agent made belongs to `interface`."""
    slot = slot_of(interface)
    return rule.priority in (slot.priority, slot.priority + 1)
