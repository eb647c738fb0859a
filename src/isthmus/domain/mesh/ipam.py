"""Addresses of a network, kept as the ranges that are free: every step costs the same at 10 and at 65,000 peers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.errors import InvalidValue

# The highest 128 interface identifiers of a /64 are reserved for anycast (RFC 2526), the lowest one for
# the routers' anycast address (RFC 4291, 2.6.1).
V6_ANYCAST = 128


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The addresses from `first` to `last`, both included, of one family."""

    first: IPAddress
    last: IPAddress

    def __contains__(self, address: IPAddress) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __iter__(self) -> Iterator[IPAddress]:
        kind = type(self.first)
        return (kind(number) for number in range(int(self.first), int(self.last) + 1))

    def without(self, address: IPAddress) -> list["Range"]:
        """What is left of this range when `address`, one of it, is taken."""
        parts = []
        if address != self.first:
            parts.append(Range(self.first, address - 1))
        if address != self.last:
            parts.append(Range(address + 1, self.last))
        return parts

    @property
    def size(self) -> int:
        return int(self.last) - int(self.first) + 1


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many addresses of a CIDR there are. `used` counts peers; `held` those in quarantine after a deletion."""

    cidr: IPNetwork
    total: int
    used: int
    reserved: int
    held: int

    @property
    def free(self) -> int:
        return self.total - self.used - self.reserved - self.held


def usable(cidr: IPNetwork) -> Range:
    """The host addresses of `cidr`: without network and broadcast (IPv4), without anycast (IPv6)."""
    low, high = int(cidr.network_address), int(cidr.broadcast_address)
    if isinstance(cidr, IPv4Network):
        return Range(IPv4Address(low + 1), IPv4Address(high - 1))
    return Range(IPv6Address(low + 1), IPv6Address(high - V6_ANYCAST))


def joined(address: IPAddress, below: Range | None, above: Range | None) -> Range:
    """The free range that arises when `address` comes back between its free neighbours."""
    first = below.first if below is not None and below.last + 1 == address else address
    last = above.last if above is not None and above.first - 1 == address else address
    return Range(first, last)


def free_ranges(cidr: IPNetwork, taken: Iterable[IPAddress]) -> list[Range]:
    """All free ranges of `cidr`, lowest first; used when a network gets its first or another CIDR."""
    whole = usable(cidr)
    ranges, rest = [], whole
    for address in sorted({int(address) for address in taken if address in whole}):
        parts = rest.without(type(whole.first)(address))
        ranges += [part for part in parts if int(part.last) < address]
        above = [part for part in parts if int(part.first) > address]
        if not above:
            return ranges
        rest = above[0]
    return [*ranges, rest]


def check_usable(address: IPAddress, cidr: IPNetwork | None, field: str) -> None:
    """Refuse a wished-for address that is no host address of `cidr`."""
    if cidr is None or address not in usable(cidr):
        raise InvalidValue(field, f"{address} is not a host address of {cidr or 'this network'}")


def renumbered(old: IPNetwork, new: IPNetwork, address: IPAddress) -> IPAddress | None:
    """Where `address` lands when its network moves: the same host part, or None where that does not exist."""
    moved = int(new.network_address) + int(address) - int(old.network_address)
    target = usable(new)
    return type(target.first)(moved) if int(target.first) <= moved <= int(target.last) else None


def placed(new: IPNetwork, wishes: Sequence[IPAddress | None], taken: Iterable[IPAddress]) -> list[IPAddress]:
    """An address of `new` for each wish, all different: the wish where there is one, else the lowest that is free."""
    wanted = [wish for wish in wishes if wish is not None]
    free = (address for part in free_ranges(new, [*taken, *wanted]) for address in part)
    result = [wish or next(free, None) for wish in wishes]
    if None in result:
        raise InvalidValue(f"/cidr_v{new.version}", f"{new} is too small for the {len(wishes)} present peers")
    return [address for address in result if address is not None]


def prefix_for(expected_peers: int) -> int:
    """The longest IPv4 prefix with room for `expected_peers`."""
    for prefix in range(30, 7, -1):
        if (1 << (32 - prefix)) - 2 >= expected_peers:
            return prefix
    raise InvalidValue("/peers", "is more than a /8 can hold", "split the peers over several networks")


def next_free_cidr(pool: IPv4Network, prefix: int, taken: Iterable[IPNetwork]) -> IPv4Network | None:
    """The lowest CIDR of that prefix in `pool` that touches none of `taken`."""
    size = 1 << (32 - prefix)
    start, end = int(pool.network_address), int(pool.broadcast_address)
    blocks = sorted(
        (int(block.network_address), int(block.broadcast_address)) for block in taken if isinstance(block, IPv4Network)
    )
    for low, high in blocks:
        if high >= start and low < start + size:
            start = -(-(high + 1) // size) * size
    return IPv4Network((start, prefix)) if start + size - 1 <= end else None


def as_key(address: IPAddress) -> str:
    """`address` as text that sorts in address order: hexadecimal digits of one width per family."""
    return f"{int(address):0{address.max_prefixlen // 4}x}"


def from_key(key: str) -> IPAddress:
    """The address of a key made by `as_key`."""
    return IPv4Address(int(key, 16)) if len(key) == 8 else IPv6Address(int(key, 16))
