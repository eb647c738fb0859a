"""A config as the server wrote it becomes typed values; whatever is not one is refused before anything is touched."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from itertools import islice, takewhile

from isthmus.agent import bridging
from isthmus.agent.bridging import NOTHING, Bridged, Crossing
from isthmus.agent.errors import InvalidConfig, UnsupportedConfig
from isthmus.agent.naming import Naming, naming_of
from isthmus.domain.addresses import (
    DEFAULT_ROUTES,
    Endpoint,
    IPAddress,
    IPNetwork,
    collapse,
    host_network,
    parse_address,
    parse_label,
    parse_network,
)
from isthmus.domain.errors import InvalidValue
from isthmus.protocol import agent as wire
from isthmus.wireguard.keys import InvalidKey, PublicKey
from isthmus.wireguard.values import read_network

_FAMILIES = 2
LOWEST_MTU, HIGHEST_MTU = 1280, 65_535


class Role(StrEnum):
    """Why a neighbour is one; a role that is unknown here is that of a member. `REMOTE` is the gateway of another side,
    which only a bridge brings along."""

    PRIMARY = "primary"
    STANDBY = "standby"
    MEMBER = "member"
    DIRECT = "direct"
    REMOTE = "remote"

    @property
    def is_jump(self) -> bool:
        return self in (Role.PRIMARY, Role.STANDBY)


_ROLES = frozenset(Role) - {Role.REMOTE}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One WireGuard peer; `keepalive` in seconds, 0 is off.

    `own` are its addresses in the tunnel, one of each family at most. `takes` and `candidates` are those of a direct
    one: see `isthmus.protocol.agent.Neighbour`.
    """

    name: str
    public_key: PublicKey
    allowed_ips: frozenset[IPNetwork]
    endpoint: Endpoint | None = None
    keepalive: int = 0
    role: Role = Role.MEMBER
    own: tuple[IPAddress, ...] = ()
    takes: frozenset[IPNetwork] = frozenset()
    candidates: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What this host does for others: `isolated` and `encapsulated` are the addresses of members that it treats so."""

    between_peers: bool = False
    isolated: tuple[IPAddress, ...] = ()
    encapsulated: tuple[IPAddress, ...] = ()
    offered: tuple[IPNetwork, ...] = ()

    @property
    def is_needed(self) -> bool:
        return self != Forwarding()


@dataclass(frozen=True, slots=True)
class Desired:
    """The interface that shall be. `mtu` in bytes; `listen_port` None lets the host choose.

    `jumps` are the jump peers in the order in which they are used, the primary first. What is `bridged` is among
    neighbours and routes; `inside` are the routes without it, and without default routes.
    """

    addresses: frozenset[IPAddress]
    mtu: int
    listen_port: int | None
    neighbours: Mapping[PublicKey, Neighbour]
    routes: tuple[IPNetwork, ...]
    forwarding: Forwarding
    jumps: tuple[PublicKey, ...] = ()
    naming: Naming | None = None
    bridged: Bridged = NOTHING
    inside: tuple[IPNetwork, ...] = ()


def read(config: wire.Config) -> Desired:
    """Raises `UnsupportedConfig` for a required feature that is unknown here, `InvalidConfig` for any bad value."""
    unknown = tuple(feature for feature in config.requires if feature not in wire.FEATURES)
    if unknown:
        raise UnsupportedConfig(unknown)
    if not LOWEST_MTU <= config.mtu <= HIGHEST_MTU:
        raise InvalidConfig(f"mtu {config.mtu} is outside {LOWEST_MTU} to {HIGHEST_MTU}")
    if config.listen_port is not None and not 0 < config.listen_port <= 65_535:
        raise InvalidConfig(f"listen_port {config.listen_port} is outside 1 to 65535")
    try:
        others = [neighbour for neighbour in config.neighbours if neighbour.public_key != config.public_key]
        neighbours = [_neighbour(neighbour) for neighbour in others]
        routes = collapse([_network(text) for text in config.routes])
        desired = Desired(
            addresses=frozenset(parse_address(text, "/addresses") for text in config.addresses),
            mtu=config.mtu,
            listen_port=config.listen_port,
            neighbours={neighbour.public_key: neighbour for neighbour in neighbours},
            routes=routes,
            forwarding=_forwarding(config, others),
            jumps=_jumps(neighbours),
            naming=naming_of(config, neighbours),
            bridged=bridging.read(config.bridged),
            inside=tuple(route for route in routes if route not in DEFAULT_ROUTES),
        )
    except (InvalidValue, InvalidKey) as error:
        raise InvalidConfig(str(error)) from None
    if len(desired.neighbours) < len(neighbours):
        raise InvalidConfig("two neighbours have the same public key")
    return desired if desired.bridged is NOTHING else _opened(desired, config.public_key)


def _opened(desired: Desired, own_key: str) -> Desired:
    """`desired` with what is bridged: each crossing is a neighbour; elsewhere it leads through the primary."""
    bridged, neighbours = desired.bridged, dict(desired.neighbours)
    bridging.check_apart(bridged, _taken(desired))
    for crossing in bridged.crossings:
        if crossing.public_key in neighbours or str(crossing.public_key) == own_key:
            raise InvalidConfig(f"bridge {crossing.id} has a public key that another neighbour or this host has")
        neighbours[crossing.public_key] = _remote(crossing)
    if not bridged.crossings:
        primary = next((each for each in neighbours.values() if each.role is Role.PRIMARY), None)
        if primary is None:
            # Another jump peer than the gateway: its network does not say where that one is.
            return replace(desired, bridged=NOTHING)
        allowed = primary.allowed_ips.union(bridged.prefixes)
        neighbours[primary.public_key] = replace(primary, allowed_ips=allowed)
    return replace(desired, neighbours=neighbours, routes=(*desired.routes, *bridged.prefixes))


def _taken(desired: Desired) -> Iterator[IPNetwork]:
    """Everything that has its place in the network already."""
    yield from desired.inside
    yield from desired.forwarding.offered
    yield from map(host_network, desired.addresses)
    for neighbour in desired.neighbours.values():
        yield from neighbour.allowed_ips
        yield from neighbour.takes


def _remote(crossing: Crossing) -> Neighbour:
    return Neighbour(
        name=crossing.name,
        public_key=crossing.public_key,
        allowed_ips=frozenset(crossing.prefixes),
        endpoint=crossing.endpoint,
        keepalive=crossing.keepalive,
        role=Role.REMOTE,
    )


# Between two configs most neighbours are equal, and of a large one parsing is the larger part of the work.
@lru_cache(maxsize=16_384)
def _neighbour(neighbour: wire.Neighbour) -> Neighbour:
    keepalive = neighbour.keepalive or 0
    if not 0 <= keepalive <= 65_535:
        raise InvalidConfig(f"keepalive {keepalive} is outside 0 to 65535")
    role = Role(neighbour.role) if neighbour.role in _ROLES else Role.MEMBER
    allowed_ips, takes = tuple(map(_network, neighbour.allowed_ips)), tuple(map(_network, neighbour.takes))
    return Neighbour(
        name=parse_label(neighbour.name, "/neighbours/name"),
        public_key=PublicKey.parse(neighbour.public_key),
        allowed_ips=frozenset(allowed_ips),
        endpoint=None if neighbour.endpoint is None else Endpoint.parse(neighbour.endpoint),
        keepalive=keepalive,
        role=role,
        own=_own(takes if role is Role.DIRECT else allowed_ips),
        takes=frozenset(takes),
        candidates=tuple(map(Endpoint.parse, neighbour.candidates)),
    )


def _own(prefixes: Iterable[IPNetwork]) -> tuple[IPAddress, ...]:
    """The addresses at the head of `prefixes`, one of each family at most."""
    hosts = takewhile(lambda prefix: prefix.prefixlen == prefix.max_prefixlen, prefixes)
    found: dict[int, IPAddress] = {}
    for prefix in islice(hosts, _FAMILIES):
        found.setdefault(prefix.version, prefix.network_address)
    return tuple(found.values())


def _jumps(neighbours: Iterable[Neighbour]) -> tuple[PublicKey, ...]:
    jumps = [neighbour for neighbour in neighbours if neighbour.role.is_jump]
    return tuple(jump.public_key for jump in sorted(jumps, key=lambda jump: jump.role is not Role.PRIMARY))


def _network(text: str) -> IPNetwork:
    parse_network(text, "/routes")
    return read_network(text)


def _forwarding(config: wire.Config, neighbours: Iterable[wire.Neighbour]) -> Forwarding:
    flagged = [neighbour for neighbour in neighbours if neighbour.isolated or neighbour.encapsulated]
    families = len(config.addresses)
    return Forwarding(
        between_peers=config.forwarding.between_peers,
        isolated=_hosts((neighbour for neighbour in flagged if neighbour.isolated), families),
        encapsulated=_hosts((neighbour for neighbour in flagged if neighbour.encapsulated), families),
        offered=collapse([parse_network(text, "/forwarding/offered") for text in config.forwarding.offered]),
    )


def _hosts(neighbours: Iterable[wire.Neighbour], families: int) -> tuple[IPAddress, ...]:
    """The own addresses of `neighbours`: the first of their allowed IPs, one for each family of the network."""
    prefixes = (_network(text) for neighbour in neighbours for text in neighbour.allowed_ips[:families])
    return tuple(prefix.network_address for prefix in prefixes)
