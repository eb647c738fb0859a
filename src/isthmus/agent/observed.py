"""What the host is at one moment, as far as the agent may ever change it."""

from dataclasses import dataclass, field
from typing import Literal

from isthmus.agent.nft import NO_NAMES, Names
from isthmus.domain.addresses import Family, IPAddress, IPNetwork
from isthmus.wireguard.state import InterfaceState


@dataclass(frozen=True, slots=True)
class Link:
    """An interface: `kind` as ip(8) calls it (wireguard, tun, …), `mtu` in bytes, `alias` the free text on it."""

    kind: str
    mtu: int
    is_up: bool
    alias: str = ""
    addresses: frozenset[IPAddress] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """A prefix that leads into our interface, in the main table (None) or one of our own."""

    destination: IPNetwork
    table: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule: look into `table` (None is main), for packets that do not carry `unless_mark`."""

    family: Family
    priority: int
    table: int | None = None
    unless_mark: int | None = None
    suppress_up_to: int | None = None


@dataclass(frozen=True, slots=True)
class LinkNames:
    """What systemd-resolved was told of an interface: the servers to ask there, and the names to ask them for."""

    servers: tuple[IPAddress, ...] = ()
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lookups:
    """How programs of the host look names up: `by` what they can be told where to ask, off for nothing.

    `listed` are the servers in our lines of resolv.conf.
    """

    by: Literal["resolved", "resolv-conf", "off"] = "off"
    link: LinkNames = LinkNames()
    listed: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class HostState:
    """`routes` and `rules` are those that agents made; `foreign_routes` names the device of each other main route.

    `table` is what is in our nft table, `digest` identifies our interface's rules there. `forwards` are the
    families for which the host forwards, `honours_marks` tells that its reverse path checks look at packets' marks.
    `local` are its addresses outside all tunnels, IPv4 first, where others may find it.
    """

    link: Link | None = None
    wireguard: InterfaceState | None = None
    routes: frozenset[Route] = frozenset()
    foreign_routes: dict[IPNetwork, str] = field(default_factory=dict)
    rules: frozenset[Rule] = frozenset()
    table: Names = NO_NAMES
    digest: str | None = None
    forwards: frozenset[Family] = frozenset()
    honours_marks: bool = False
    local: tuple[IPAddress, ...] = ()
    lookups: Lookups = Lookups()
