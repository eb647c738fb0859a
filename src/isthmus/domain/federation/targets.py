"""Which addresses the Federator may dial: what DNS says of a remote must not lead it into our own machines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.federation.denial import Denied


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))


# In the order in which an address is named. What nobody can allow stands before what an operator may.
NEVER: tuple[tuple[str, tuple[IPNetwork, ...]], ...] = (
    ("metadata", _networks("169.254.169.254/32", "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128")),
    ("unspecified", _networks("0.0.0.0/8", "::/128")),
    ("link_local", _networks("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("multicast", _networks("224.0.0.0/4", "ff00::/8")),
    ("reserved", _networks("240.0.0.0/4", "192.0.0.0/24", "100::/64", "64:ff9b:1::/48", "2001::/32")),
)
UNLESS_ALLOWED: tuple[tuple[str, tuple[IPNetwork, ...]], ...] = (
    ("loopback", _networks("127.0.0.0/8", "::1/128")),
    ("private", _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")),
)
NAT64 = IPv6Network("64:ff9b::/96")
COMPATIBLE = IPv6Network("::/96")


def unwrapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that packets to an IPv4-mapped, IPv4-compatible, NAT64 or 6to4 address end up at."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    # `::` and `::1` are no IPv4 addresses in disguise.
    if address in NAT64 or (address in COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


@dataclass(frozen=True, slots=True)
class Ground:
    """What holds for one remote now. It has effective bridges into `bridged`, alone of all `overlays`: the ranges of
    our networks and of bridges. `denied` are dialled never, like the policy's `hosts`."""

    bridged: tuple[IPNetwork, ...] = ()
    overlays: tuple[IPNetwork, ...] = ()
    denied: frozenset[IPAddress] = frozenset()


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """`allowed` opens private and loopback ranges to remotes (a private WAN, a lab). `hosts` are dialled never: those
    of our own database."""

    allowed: tuple[IPNetwork, ...] = ()
    hosts: frozenset[IPAddress] = field(default_factory=frozenset)

    def check(self, address: IPAddress, ground: Ground) -> None:
        """Raise `Denied` unless `address` may be dialled for a remote that has this ground."""
        reason = _fault(self, address, ground)
        if reason:
            detail = f"the remote's name leads to {address}, which is not dialled: {reason.replace('_', ' ')}"
            raise Denied("target_address_forbidden", f"address.{reason}", detail, facts={"address": _text(address)})


@lru_cache(maxsize=4096)
def _fault(policy: AddressPolicy, address: IPAddress, ground: Ground) -> str:
    seen = {address, unwrapped(address)}
    for name, networks in NEVER:
        if _any_within(seen, networks):
            return name
    hosts = policy.hosts | ground.denied
    if seen & (hosts | set(map(unwrapped, hosts))):
        return "own_host"
    if _any_within(seen, ground.overlays):
        return "" if _all_within(seen, ground.bridged) else "overlay"
    for name, networks in UNLESS_ALLOWED:
        if _any_within(seen, networks) and not _all_within(seen, (*policy.allowed, *ground.bridged)):
            return name
    return ""


def _within(address: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _any_within(addresses: set[IPAddress], networks: Sequence[IPNetwork]) -> bool:
    return any(_within(address, networks) for address in addresses)


def _all_within(addresses: set[IPAddress], networks: Sequence[IPNetwork]) -> bool:
    return all(_within(address, networks) for address in addresses)


def _text(address: IPv4Address | IPv6Address) -> str:
    plain = unwrapped(address)
    return str(address) if plain == address else f"{address} ({plain})"
