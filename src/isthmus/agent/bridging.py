"""What active bridges add to an interface, read into typed values; whatever is not one is refused. Pure."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from uuid import UUID

import msgspec

from isthmus.agent.errors import InvalidConfig
from isthmus.domain.addresses import (
    DEFAULT_ROUTES,
    MAX_PORT,
    Endpoint,
    IPNetwork,
    address_key,
    collapse,
    host_network,
    is_hostless,
    overlap,
    parse_address,
    parse_domain,
    parse_network,
    sort_key,
)
from isthmus.domain.mesh.crossing import INGRESSES, Flow
from isthmus.protocol import agent as wire
from isthmus.wireguard.keys import PublicKey

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Crossing:
    """One bridge on its gateway, see `isthmus.domain.mesh.crossing.Crossing`; `keepalive` in seconds, 0 is off.

    Of each flow only those sources are left that lie on the side that its destination is not on.
    """

    id: UUID
    name: str
    public_key: PublicKey
    prefixes: tuple[IPNetwork, ...]
    local: tuple[IPNetwork, ...]
    endpoint: Endpoint | None = None
    keepalive: int = 0
    flows: tuple[Flow, ...] = ()
    barred: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Bridged:
    """`prefixes` are what bridges lead to, in order and disjoint: on a gateway those of its `crossings`. `lease` in
    seconds."""

    lease: int = 0
    prefixes: tuple[IPNetwork, ...] = ()
    crossings: tuple[Crossing, ...] = ()


NOTHING = Bridged()


# Most configs differ in their neighbours alone.
@lru_cache(maxsize=8)
def read(bridged: wire.Bridged | None) -> Bridged:
    """Raises `InvalidConfig`, `InvalidValue` or `InvalidKey`."""
    if bridged is None:
        return NOTHING
    if bridged.lease <= 0:
        raise InvalidConfig(f"the lease of bridges is {bridged.lease} s, and nothing may be open without one")
    crossings = tuple(map(_crossing, bridged.crossings))
    if len({crossing.id for crossing in crossings}) < len(crossings):
        raise InvalidConfig("two bridges have the same id")
    found = [prefix for crossing in crossings for prefix in crossing.prefixes]
    for one, other in _neighbouring(found):
        if overlap(one, other):
            raise InvalidConfig(f"two bridges lead to {one} and {other}, which overlap")
    if not crossings:
        found = list(_prefixes(bridged.prefixes, "/bridged/prefixes"))
    return Bridged(bridged.lease, tuple(sorted(found, key=sort_key)), crossings)


def shut(config: wire.Config) -> wire.Config:
    """`config` without what bridges add to it."""
    return config if config.bridged is None else msgspec.structs.replace(config, bridged=None)


def without_taken(config: wire.Config, own: Mapping[IPNetwork, str]) -> tuple[wire.Config, tuple[str, ...]]:
    """Leave bridges out whose prefixes overlap the host's `own` routes (each with its device), and say so.

    The host's own networks would be cut off: what bridges lead to is taken for genuine from the tunnel alone.
    """
    bridged = config.bridged
    if bridged is None:
        return config, ()
    taken = {prefix: route for prefix in read(bridged).prefixes for route in own if overlap(prefix, route)}
    if not taken:
        return config, ()
    crossings = tuple(each for each in bridged.crossings if not _leads_to(each.prefixes, taken))
    left = msgspec.structs.replace(
        bridged,
        prefixes=tuple(text for text in bridged.prefixes if not _leads_to((text,), taken)),
        crossings=crossings,
    )
    remarks = tuple(
        f"a bridge stays shut on this host: {prefix} overlaps the host's own route to {route} by {own[route]}"
        for prefix, route in sorted(taken.items(), key=lambda item: sort_key(item[0]))
    )
    # A gateway is no way to itself: without any crossing there is nothing left.
    is_gateway = bool(bridged.crossings)
    return msgspec.structs.replace(config, bridged=None if is_gateway and not crossings else left), remarks


def check_apart(bridged: Bridged, others: Iterable[IPNetwork]) -> None:
    """That nothing else of the interface has an address of what bridges lead to; default routes are no matter."""
    firsts = [address_key(prefix.network_address) for prefix in bridged.prefixes]
    for other in others:
        # Of disjoint prefixes in order, the last that begins before the other ends is the one to meet it.
        at = bisect_right(firsts, address_key(other.broadcast_address)) - 1
        if at >= 0 and other not in DEFAULT_ROUTES and overlap(bridged.prefixes[at], other):
            raise InvalidConfig(f"a bridge leads to {bridged.prefixes[at]}, which overlaps {other} of this network")


def _crossing(crossing: wire.Crossing) -> Crossing:
    keepalive = crossing.keepalive or 0
    if not 0 <= keepalive <= MAX_PORT:
        raise InvalidConfig(f"keepalive {keepalive} is outside 0 to {MAX_PORT}")
    prefixes = _prefixes(crossing.prefixes, "/bridged/crossings/prefixes")
    local = collapse([parse_network(text, "/bridged/crossings/local") for text in crossing.local])
    for prefix in prefixes:
        for ours in local:
            if overlap(prefix, ours):
                raise InvalidConfig(f"bridge {crossing.id} leads to {prefix}, which overlaps {ours} on this side of it")
    return Crossing(
        id=_uuid(crossing.id, "a bridge"),
        name=parse_domain(crossing.name, "/bridged/crossings/name"),
        public_key=PublicKey.parse(crossing.public_key),
        prefixes=prefixes,
        local=local,
        endpoint=None if crossing.endpoint is None else Endpoint.parse(crossing.endpoint),
        keepalive=keepalive,
        flows=tuple(_flow(flow, prefixes, local) for flow in crossing.flows),
        barred=collapse([parse_network(text, "/bridged/crossings/barred") for text in crossing.barred]),
    )


# Grants come and go one by one, and a bridge may have thousands of flows.
@lru_cache(maxsize=16_384)
def _flow(flow: wire.Flow, prefixes: tuple[IPNetwork, ...], local: tuple[IPNetwork, ...]) -> Flow:
    destination = parse_address(flow.destination, "/bridged/crossings/flows/destination")
    target = host_network(destination)
    sources = [parse_network(text, "/bridged/crossings/flows/sources") for text in flow.sources]
    sides = ((prefixes, local), (local, prefixes))
    opposite = next((there for here, there in sides if any(overlap(target, each) for each in here)), ())
    return Flow(
        id=flow.id if flow.id in INGRESSES else str(_uuid(flow.id, "a flow")),
        sources=collapse([each for each in _common(sources, opposite) if each.version == destination.version]),
        destination=destination,
        protocol=flow.protocol,
        ports=_merged(map(_ports, flow.ports)),
    )


def _prefixes(texts: Iterable[str], field: str) -> tuple[IPNetwork, ...]:
    prefixes = collapse([parse_network(text, field) for text in texts])
    for prefix in prefixes:
        if is_hostless(prefix):
            raise InvalidConfig(f"a bridge leads to {prefix}, where hosts of another network cannot live")
    return prefixes


def _common(some: Iterable[IPNetwork], others: Iterable[IPNetwork]) -> Iterator[IPNetwork]:
    """The parts of `some` that lie in `others`."""
    others = tuple(others)
    for one in some:
        for other in others:
            if overlap(one, other):
                yield max(one, other, key=lambda each: each.prefixlen)


def _neighbouring(prefixes: Iterable[IPNetwork]) -> Iterator[tuple[IPNetwork, IPNetwork]]:
    """Pairs next to each other in order: where any two overlap, such a pair does."""
    return pairwise(sorted(prefixes, key=sort_key))


def _leads_to(texts: Iterable[str], prefixes: Iterable[IPNetwork]) -> bool:
    return any(overlap(parse_network(text, "/bridged/prefixes"), prefix) for text in texts for prefix in prefixes)


def _ports(text: str) -> tuple[int, int]:
    found = _PORTS.fullmatch(text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 0 < first <= last <= MAX_PORT:
        raise InvalidConfig(f"{text!r} is neither a port nor a range of ports")
    return first, last


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same ports in the fewest ranges, sorted."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return tuple(merged)


def _uuid(text: str, of: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidConfig(f"{text!r} is not the id of {of}") from None
