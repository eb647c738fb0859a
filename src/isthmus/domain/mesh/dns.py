"""The names of a network, as its resolvers answer them. Names are labels; packets are the adapters' matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from isthmus.domain.addresses import Family, IPAddress, IPNetwork, family_of, overlap

Labels = tuple[str, ...]
"""A name's labels, the leftmost first, without the root."""

TTL_SECONDS = 1
"""A change of a name has to be seen within a second, and asking anew costs one packet inside the tunnel."""

V4_SUFFIX: Labels = ("in-addr", "arpa")
V6_SUFFIX: Labels = ("ip6", "arpa")
# Bits of an address for which one label of its reverse name stands, and the label of each value.
_BITS = {4: 8, 6: 4}
_WIDTH = {4: 32, 6: 128}
_PARTS = {
    4: {str(number): number for number in range(256)},
    6: {f"{number:x}": number for number in range(16)},
}


class Kind(StrEnum):
    """The types of records that the zone has, and ANY, which asks for all of a name."""

    A = "A"
    AAAA = "AAAA"
    PTR = "PTR"
    NS = "NS"
    SOA = "SOA"
    ANY = "ANY"


@dataclass(frozen=True, slots=True)
class Record:
    """`value` is an address for A and AAAA, else a name: that of the first server for SOA."""

    kind: Kind
    value: IPAddress | Labels


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one name. Without records the SOA of `apex` goes with it, as proof that there is nothing.

    `exists` False means that there is no such name (NXDOMAIN), rather than none of the wanted kind.
    """

    apex: Labels
    records: tuple[Record, ...] = ()
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Zone:
    """`names` are those of the peers with their addresses, `server` is the one among them that answers.

    It has the names directly below `domain`, and the addresses inside `cidrs`.
    """

    domain: str
    server: str
    names: Mapping[str, tuple[IPAddress, ...]]
    cidrs: tuple[IPNetwork, ...] = ()
    serial: int = 1
    _by_address: dict[IPAddress, str] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def apex(self) -> Labels:
        return tuple(self.domain.split("."))

    @property
    def server_name(self) -> Labels:
        return (self.server, *self.apex)

    def answer(self, name: Labels, kind: str) -> Answer | None:
        """What there is for `name` in any spelling; None when the name is none of this network's."""
        labels = tuple(label.lower() for label in name)
        if labels[-len(self.apex) :] == self.apex:
            return self._forward(labels[: -len(self.apex)], kind)
        asked = network_of(labels)
        cidr = next((cidr for cidr in self.cidrs if asked is not None and _holds(cidr, asked)), None)
        return None if asked is None or cidr is None else self._reverse(asked, cidr, kind)

    def _forward(self, below: Labels, kind: str) -> Answer:
        if not below:
            return Answer(self.apex, self._of_apex(kind))
        if len(below) > 1 or below[0] not in self.names:
            return Answer(self.apex, exists=False)
        records = (Record(Kind.A if address.version == 4 else Kind.AAAA, address) for address in self.names[below[0]])
        return Answer(self.apex, tuple(record for record in records if kind in (record.kind, Kind.ANY)))

    def _reverse(self, asked: IPNetwork, cidr: IPNetwork, kind: str) -> Answer:
        zone = next(zone for zone in reverse_zones(cidr) if _holds(zone, asked))
        apex = reverse_name(zone)
        records = self._of_apex(kind) if asked == zone else ()
        if asked.prefixlen < asked.max_prefixlen:
            # Names of ranges exist wherever names of addresses may follow below them (RFC 8020).
            return Answer(apex, records)
        name = self._name_of(asked.network_address)
        if name is not None and kind in (Kind.PTR, Kind.ANY):
            records += (Record(Kind.PTR, (name, *self.apex)),)
        return Answer(apex, records, exists=name is not None or asked == zone)

    def _name_of(self, address: IPAddress) -> str | None:
        if not self._by_address:
            # Made by the first question: zones change more often than anybody asks for a name.
            self._by_address.update((each, name) for name, addresses in self.names.items() for each in addresses)
        return self._by_address.get(address)

    def _of_apex(self, kind: str) -> tuple[Record, ...]:
        return tuple(Record(each, self.server_name) for each in (Kind.SOA, Kind.NS) if kind in (each, Kind.ANY))


def reverse_zones(cidr: IPNetwork) -> tuple[IPNetwork, ...]:
    """The ranges that make up `cidr` and have a reverse name each."""
    bits = _BITS[cidr.version]
    return tuple(cidr.subnets(new_prefix=-(-cidr.prefixlen // bits) * bits))


def reverse_name(network: IPNetwork) -> Labels:
    """The name of a range whose prefix ends where a label does, such as 20.10.in-addr.arpa for 10.20.0.0/16."""
    count = network.prefixlen // _BITS[network.version]
    if network.version == 4:
        return (*reversed(str(network.network_address).split(".")[:count]), *V4_SUFFIX)
    return (*reversed(f"{int(network.network_address):032x}"[:count]), *V6_SUFFIX)


def network_of(labels: Labels) -> IPNetwork | None:
    """The range or address that a lower-case reverse name stands for; None for any other name."""
    if labels[-2:] == V4_SUFFIX:
        part = _part(labels[:-2], 4)
        return None if part is None else IPv4Network(part)
    if labels[-2:] == V6_SUFFIX:
        part = _part(labels[:-2], 6)
        return None if part is None else IPv6Network(part)
    return None


def _part(labels: Labels, family: Family) -> tuple[int, int] | None:
    """The beginning of an address and its length in bits; None where a label is not written as its parts are."""
    bits, width, parts = _BITS[family], _WIDTH[family], _PARTS[family]
    length = bits * len(labels)
    if length > width or any(label not in parts for label in labels):
        return None
    value = 0
    for label in reversed(labels):
        value = value << bits | parts[label]
    return value << (width - length), length


def _holds(outer: IPNetwork, inner: IPNetwork) -> bool:
    return family_of(outer) == family_of(inner) and outer.prefixlen <= inner.prefixlen and overlap(outer, inner)
