"""Names, CIDRs, addresses and endpoints: text from outside becomes a typed value or an `InvalidValue`."""

import ipaddress
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, Self

from isthmus.domain.errors import InvalidValue

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Family = Literal[4, 6]

DEFAULT_ROUTES: tuple[IPNetwork, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
V4_MAPPED = IPv6Network("::ffff:0:0/96")
BROADCAST = IPv4Address("255.255.255.255")
# Where no host of an overlay can live: unspecified, loopback, link-local, multicast, reserved, IPv4 inside IPv6.
HOSTLESS: tuple[IPNetwork, ...] = (
    *map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    *map(IPv6Network, ("::/127", V4_MAPPED, "fe80::/10", "ff00::/8")),
)
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What resolvers take for the last part of an IPv4 address (inet_aton reads hexadecimal too).
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
MAX_DOMAIN_LENGTH = 253
MAX_PORT = 65_535


def parse_label(text: str, field: str) -> str:
    """A DNS label (RFC 1123) of at most 63 lower-case letters, digits and inner hyphens."""
    if LABEL.fullmatch(text):
        return text
    fixed = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    hint = f"for example {fixed!r}" if fixed else "for example 'office'"
    raise InvalidValue(
        field,
        "is not a name of 1 to 63 lower-case letters, digits and inner hyphens",
        hint,
    )


def parse_domain(text: str, field: str) -> str:
    """A DNS name of lower-case labels without a trailing dot, which no resolver takes for an address."""
    labels = text.split(".")
    if len(text) <= MAX_DOMAIN_LENGTH and all(map(LABEL.fullmatch, labels)) and not NUMERIC.fullmatch(labels[-1]):
        return text
    raise InvalidValue(
        field,
        "is not a domain name of lower-case labels",
        "for example 'office.internal'",
    )


def parse_address(text: str, field: str, version: Family | None = None) -> IPAddress:
    """An IP address without prefix length or zone, of one family if `version` says so."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidValue(field, "is not an IP address", "for example 10.20.0.5 or fd00::5") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise InvalidValue(
            field,
            "carries a zone, which means nothing on another host",
            "leave out the part after %",
        )
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise InvalidValue(field, "is an IPv4 address written as IPv6", f"write {address.ipv4_mapped}")
    return address


def parse_network(text: str, field: str) -> IPNetwork:
    """A CIDR. Host bits that are set are refused with the corrected CIDR as the hint."""
    if "/" not in text or "%" in text:
        raise InvalidValue(field, "is not a CIDR", "address/prefix, for example 10.20.0.0/24")
    try:
        corrected = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidValue(field, "is not a CIDR", "address/prefix, for example 10.20.0.0/24") from None
    if not text.rpartition("/")[2].isdecimal():
        raise InvalidValue(field, "has a netmask where a prefix length belongs", f"write {corrected}")
    if ipaddress.ip_address(text.partition("/")[0]) != corrected.network_address:
        raise InvalidValue(field, "has bits set behind its prefix", f"did you mean {corrected}?")
    if isinstance(corrected, IPv6Network) and corrected.subnet_of(V4_MAPPED):
        raise InvalidValue(field, "is an IPv4 range written as IPv6", "write it as IPv4")
    return corrected


def family_of(value: IPAddress | IPNetwork) -> Family:
    return 4 if value.version == 4 else 6


def overlap(one: IPNetwork, other: IPNetwork) -> bool:
    """Whether two networks share an address; networks of different families never do."""
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def is_hostless(network: IPNetwork) -> bool:
    """Whether some part of `network` is no place for hosts, so that it cannot be routed into a tunnel as a whole."""
    return any(overlap(network, block) for block in HOSTLESS)


def host_network(address: IPAddress) -> IPNetwork:
    """The /32 or /128 that holds `address` alone."""
    return ipaddress.ip_network(address)


def sort_key(network: IPNetwork) -> tuple[int, int, int]:
    """Orders networks of both families: IPv4 first, then by address and prefix length."""
    return network.version, int(network.network_address), network.prefixlen


def address_key(address: IPAddress) -> tuple[int, int]:
    """Orders addresses of both families: IPv4 first."""
    return address.version, int(address)


def collapse(networks: list[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The same addresses in the fewest prefixes, sorted."""
    v4 = [network for network in networks if isinstance(network, IPv4Network)]
    v6 = [network for network in networks if isinstance(network, IPv6Network)]
    return (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))


def intersection(one: Iterable[IPNetwork], other: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """The addresses that are in both, in the fewest prefixes, sorted."""
    left, right = deque(collapse([*one])), deque(collapse([*other]))
    found: list[IPNetwork] = []
    while left and right:
        if overlap(left[0], right[0]):
            # Of two prefixes that overlap one lies within the other.
            found.append(max(left[0], right[0], key=lambda network: network.prefixlen))
        ends_first = left if _end(left[0]) <= _end(right[0]) else right
        ends_first.popleft()
    return tuple(found)


def is_within(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks)


def _end(network: IPNetwork) -> tuple[int, int]:
    return address_key(network.broadcast_address)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer is reached by UDP: an IP address or DNS name, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, field: str = "/endpoint") -> Self:
        """Read `host:port` or `[v6]:port`."""
        host, _, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not host or not (port.isascii() and port.isdecimal()) or (":" in host and not bracketed):
            raise InvalidValue(
                field,
                "is not host:port",
                "for example 198.51.100.7:51820 or [2001:db8::7]:51820",
            )
        if len(port) > 5 or not 0 < int(port) <= MAX_PORT:
            raise InvalidValue(field, "has a port outside 1 to 65535")
        return cls(
            parse_host(host[1:-1] if bracketed else host, field, only_v6=bracketed),
            int(port),
        )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host(text: str, field: str, *, only_v6: bool = False) -> str:
    """An IP address in canonical form, or a lower-case DNS name."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        lowered = text.lower()
        # A name whose last label is numeric is a mistyped address to every resolver (RFC 1123, 2.1).
        if only_v6 or NUMERIC.fullmatch(lowered.rpartition(".")[2]):
            raise InvalidValue(field, "is not an IP address") from None
        return parse_domain(lowered, field)
    if only_v6 and address.version != 6:
        raise InvalidValue(field, "has an IPv4 address in brackets")
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise InvalidValue(field, "carries a zone, which means nothing on another host")
        address = address.ipv4_mapped or address
    if address.is_unspecified or address.is_multicast or address == BROADCAST:
        raise InvalidValue(field, "is not an address that a host can have")
    return str(address)
