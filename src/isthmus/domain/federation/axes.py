"""Axes of grants as text: what operators write becomes a list in canonical form, and damaged lists admit nothing."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar
from uuid import UUID

from isthmus.domain.addresses import V4_MAPPED, IPAddress, IPNetwork, parse_network, sort_key
from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.grant import Axis, AxisMode
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import NetworkId

T = TypeVar("T")

MOST_ENTRIES = 256
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CLOSED: Axis[Any] = Axis(AxisMode.LIST)
"""Admits nothing."""


def parse_axis(given: Sequence[Any] | None, field: str, parse_entry: Callable[[Any, str], T]) -> Axis[T]:
    """What an operator has written for an axis; nothing and an empty list restrict nothing. Raises `InvalidValue`."""
    return Axis(AxisMode.LIST, parse_entries(given, field, parse_entry)) if given else Axis()


def parse_entries(given: Sequence[Any], field: str, parse_entry: Callable[[Any, str], T]) -> frozenset[T]:
    """Raises `InvalidValue` with a pointer to the entry that is wrong."""
    if len(given) > MOST_ENTRIES:
        raise InvalidValue(field, f"has more than {MOST_ENTRIES} entries", "use wider prefixes, or more grants")
    return frozenset(parse_entry(each, f"{field}/{number}") for number, each in enumerate(given))


def parse_id(given: Any, field: str) -> UUID:
    """A UUID in its usual form of 36 characters, upper or lower case."""
    if not isinstance(given, str) or not UUID_TEXT.fullmatch(given):
        raise InvalidValue(field, "is no id", "write it as 01890a5d-ac96-774b-bcce-b302099a8057")
    return UUID(given)


def parse_instance(given: Any, field: str) -> InstanceId:
    return InstanceId(parse_id(given, field))


def parse_network_id(given: Any, field: str) -> NetworkId:
    return NetworkId(parse_id(given, field))


def parse_source(given: Any, field: str) -> IPNetwork:
    """A CIDR; an IPv4 range that is written as IPv6 is that IPv4 range."""
    if not isinstance(given, str):
        raise InvalidValue(field, "is not a CIDR", "address/prefix, for example 10.20.0.0/24")
    return _unmapped(given) or parse_network(given, field)


def _unmapped(given: str) -> IPv4Network | None:
    """`::ffff:10.1.0.0/112` is 10.1.0.0/16."""
    try:
        network = IPv6Network(given)
    except ValueError:
        return None
    if "/" not in given or "%" in given or not network.subnet_of(V4_MAPPED):
        return None
    return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - V4_MAPPED.prefixlen))


def source_of(text: str) -> IPAddress | None:
    """The address from which a call came, in canonical form; None for what is none, and for one with a zone."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return address
    return None if address.scope_id is not None else address.ipv4_mapped or address


def lies_in(source: IPAddress, network: IPNetwork) -> bool:
    """Whether `network` holds `source`; families never match each other."""
    return source.version == network.version and source in network


def as_texts(axis: Axis[Any]) -> list[str]:
    """The entries in canonical form and order."""
    return [str(each) for each in sorted(axis.entries, key=_order)]


def _order(entry: Any) -> tuple[Any, ...]:
    return (0, entry.bytes) if isinstance(entry, UUID) else (1, *sort_key(entry))


def as_stored(axis: Axis[Any]) -> dict[str, Any]:
    return {"mode": axis.mode.value} | ({"entries": as_texts(axis)} if axis.mode is AxisMode.LIST else {})


def from_stored(stored: Any, parse_entry: Callable[[Any, str], T]) -> Axis[T]:
    """The axis that `as_stored` has made. Anything else is damaged, and reads as a list that admits nothing."""
    match stored:
        case {"mode": AxisMode.ANY.value, **rest} if not rest:
            return Axis()
        case {"mode": AxisMode.LIST.value, "entries": list(entries), **rest} if not rest:
            try:
                return Axis(AxisMode.LIST, parse_entries(entries, "", parse_entry))
            except InvalidValue:
                return CLOSED
    return CLOSED
