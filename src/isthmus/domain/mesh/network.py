"""A network: one overlay with its CIDRs, its settings and its revision."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Self

from isthmus.domain.addresses import (
    IPAddress,
    IPNetwork,
    host_network,
    is_hostless,
    overlap,
    parse_address,
    parse_domain,
    parse_label,
    parse_network,
)
from isthmus.domain.errors import InvalidValue
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.limits import Limits

# IPv6 asks for 1280 bytes at least (RFC 8200, 5).
MTU_DEFAULT, MTU_LOWEST, MTU_HIGHEST = 1420, 1280, 9000
PORT_DEFAULT = 51_820
KEEPALIVE_DEFAULT = 25
KEY_AGE_SHORTEST, KEY_AGE_LONGEST = 3600, 10 * 365 * 86_400
V4_WIDEST, V4_NARROWEST = 8, 30
V6_PREFIX = 64
MAX_UPSTREAMS = 8
# Each agent hears of every other one where direct paths are on, so they stay off in large networks unless asked for.
DIRECT_UP_TO = 500


class DirectPaths(StrEnum):
    """Whether two agents look for a way to each other without a jump peer. AUTO: up to `DIRECT_UP_TO` of them."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Network:
    """`mtu` in bytes, `keepalive` in seconds (0 = off).

    `revision` counts the changes of the network and its peers. `jump_revision` is the last one that changed what
    jump peers are told, `shared_revision` the last that changed what everyone is told: one peer's news costs
    nothing to those whom it does not concern. `version` counts changes of the network's own fields (its ETag).
    `agents` is how many of its peers are dynamic. `primary_id` is the jump peer that carries the traffic now, None
    for the first one. `key_max_age` in seconds, 0 = keys are not rotated by age. `dns_upstreams` answer for names
    that are not the network's; none means those of the jump peer's host.
    """

    id: NetworkId
    name: str
    cidr_v4: IPv4Network | None
    cidr_v6: IPv6Network
    domain: str
    created_at: datetime
    mtu: int = MTU_DEFAULT
    listen_port: int = PORT_DEFAULT
    keepalive: int = KEEPALIVE_DEFAULT
    direct_paths: DirectPaths = DirectPaths.AUTO
    agents: int = 0
    primary_id: PeerId | None = None
    key_max_age: int = 0
    dns_upstreams: tuple[IPAddress, ...] = ()
    limits: Limits = field(default_factory=Limits)
    revision: int = 0
    jump_revision: int = 0
    shared_revision: int = 0
    version: int = 1

    @property
    def cidrs(self) -> tuple[IPNetwork, ...]:
        return (self.cidr_v6,) if self.cidr_v4 is None else (self.cidr_v4, self.cidr_v6)

    @property
    def has_direct_paths(self) -> bool:
        if self.direct_paths is DirectPaths.AUTO:
            return self.agents <= DIRECT_UP_TO
        return self.direct_paths is DirectPaths.ON

    def advanced(self, *, jumps: bool, shared: bool, by: int = 1) -> Self:
        """This network one revision later; `jumps` and `shared` say whom the change concerns."""
        revision = self.revision + by
        return replace(
            self,
            revision=revision,
            jump_revision=revision if jumps or shared else self.jump_revision,
            shared_revision=revision if shared else self.shared_revision,
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """The fields of a network that are checked one by one."""

    mtu: int = MTU_DEFAULT
    listen_port: int = PORT_DEFAULT
    keepalive: int = KEEPALIVE_DEFAULT
    key_max_age: int = 0

    def __post_init__(self) -> None:
        check_between("/mtu", self.mtu, MTU_LOWEST, MTU_HIGHEST)
        check_between("/listen_port", self.listen_port, 1, 65_535)
        check_between("/keepalive", self.keepalive, 0, 65_535)
        # Each change of a key is a revision that others are told of: more often it would be noise, not safety.
        if self.key_max_age:
            check_between("/key_max_age", self.key_max_age, KEY_AGE_SHORTEST, KEY_AGE_LONGEST)


def parse_upstreams(texts: Iterable[str], field: str = "/dns_upstreams") -> tuple[IPAddress, ...]:
    """Servers for names that are not the network's, in the order in which they are asked."""
    upstreams = tuple(parse_address(text, f"{field}/{position}") for position, text in enumerate(texts))
    if len(upstreams) > MAX_UPSTREAMS:
        raise InvalidValue(field, f"has more than {MAX_UPSTREAMS} servers")
    for position, address in enumerate(upstreams):
        if is_hostless(host_network(address)):
            raise InvalidValue(f"{field}/{position}", f"{address} is not an address that a jump peer can ask")
    return tuple(dict.fromkeys(upstreams))


def check_between(field: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InvalidValue(field, f"is not between {lowest} and {highest}")


def parse_name(text: str) -> str:
    return parse_label(text, "/name")


def parse_network_domain(text: str | None, name: str, suffix: str) -> str:
    return parse_domain(f"{name}.{suffix}" if text is None else text, "/domain")


def parse_cidr_v4(text: str, field: str = "/cidr_v4") -> IPv4Network:
    """An IPv4 CIDR that hosts can live in: unicast, between /8 and /30."""
    cidr = parse_network(text, field)
    if not isinstance(cidr, IPv4Network):
        raise InvalidValue(
            field,
            "is not IPv4",
            "every network has an IPv6 /64 by itself; give the IPv4 CIDR here",
        )
    if not V4_WIDEST <= cidr.prefixlen <= V4_NARROWEST:
        raise InvalidValue(field, f"is not between /{V4_WIDEST} and /{V4_NARROWEST}")
    if is_hostless(cidr):
        raise InvalidValue(field, "is not a range that hosts may use", "for example 10.20.0.0/24")
    return cidr


def parse_cidr_v6(text: str, ula: IPv6Network, field: str = "/cidr_v6") -> IPv6Network:
    """A /64 of the backend's own ULA /48, except its first, which is the backend's."""
    cidr = parse_network(text, field)
    is_ours = isinstance(cidr, IPv6Network) and cidr.prefixlen == V6_PREFIX and cidr.subnet_of(ula)
    if not isinstance(cidr, IPv6Network) or not is_ours or cidr.network_address == ula.network_address:
        raise InvalidValue(
            field,
            f"is not a /64 of this backend's own {ula} behind the first",
            "leave it out to get the next free one",
        )
    return cidr


def ula_prefix(random_bits: int) -> IPv6Network:
    """The backend's /48 from its 40 random bits (RFC 4193, 3.2)."""
    return IPv6Network(((0xFD << 120) | ((random_bits & ((1 << 40) - 1)) << 80), 48))


def next_free_v6(ula: IPv6Network, taken: Iterable[IPv6Network]) -> IPv6Network:
    """The lowest /64 of `ula` that no network has; the first one stays free for the backend itself."""
    used = set(taken)
    for index in range(1, 1 << (V6_PREFIX - ula.prefixlen)):
        candidate = IPv6Network((int(ula.network_address) | index << (128 - V6_PREFIX), V6_PREFIX))
        if candidate not in used:
            return candidate
    raise InvalidValue("/cidr_v6", f"has no free /64 left in {ula}", "delete a network first")


def check_disjoint(field: str, cidr: IPNetwork, owner: str, others: Iterable[tuple[str, IPNetwork]]) -> None:
    """Refuse `cidr` when it overlaps one of `others`, pairs of a name for messages and a range."""
    for name, other in others:
        if overlap(cidr, other):
            raise InvalidValue(
                field,
                f"{cidr} of {owner} overlaps {other} of {name}",
                "choose a range that is free",
            )
