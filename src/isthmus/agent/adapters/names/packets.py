"""DNS packets (RFC 1035, 6891) and what the zone has to say, in both directions."""

from dataclasses import dataclass
from functools import lru_cache

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from isthmus.domain.mesh.dns import TTL_SECONDS, Answer, Kind, Labels, Record, Zone

UDP_PAYLOAD = 1232
"""Bytes that pass every path in one piece (DNS Flag Day 2020)."""
PLAIN_PAYLOAD = 512
TCP_PAYLOAD = 65_535
HEADER = 12
# What the library raises on packets that are none.
UNREADABLE = (dns.exception.DNSException, ValueError, LookupError)

REFUSED_TYPES = frozenset({dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.MAILA, dns.rdatatype.MAILB})
_ENCODING = "latin-1"
_REFRESH, _RETRY, _EXPIRE = 3600, 600, 86_400


@dataclass(frozen=True, slots=True)
class Query:
    """One question in class IN. `kind` is the type's name, such as AAAA or TYPE65."""

    message: dns.message.Message
    name: Labels
    kind: str

    @property
    def wants_dnssec(self) -> bool:
        return bool(self.message.ednsflags & dns.flags.DO)


def read(packet: bytes) -> Query | bytes | None:
    """The query in `packet`; or the packet that refuses it; or None where not even that is due."""
    if len(packet) < HEADER or packet[2] & 0x80:
        # An answer is never answered: two servers would go on for ever.
        return None
    if packet[2] >> 3 & 0xF != dns.opcode.QUERY:
        return _bare(packet, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(packet, ignore_trailing=True)
    except UNREADABLE:
        return _bare(packet, dns.rcode.FORMERR)
    if len(message.question) != 1:
        return _bare(packet, dns.rcode.FORMERR)
    if message.edns > 0:
        return refusal(message, dns.rcode.BADVERS)
    question = message.question[0]
    if question.rdclass != dns.rdataclass.IN or question.rdtype in REFUSED_TYPES:
        return refusal(message, dns.rcode.REFUSED)
    labels = tuple(label.decode(_ENCODING) for label in question.name.labels[:-1])
    return Query(message, labels, dns.rdatatype.to_text(question.rdtype))


def refusal(message: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    """The answer that there is none, with the reason."""
    response = dns.message.make_response(message, recursion_available=True, our_payload=UDP_PAYLOAD)
    response.set_rcode(code)
    return response.to_wire()


def from_zone(query: Query, zone: Zone, answer: Answer) -> dns.message.Message:
    """The authoritative response."""
    response = dns.message.make_response(query.message, recursion_available=True, our_payload=UDP_PAYLOAD)
    response.flags |= dns.flags.AA
    if not answer.exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    owner = query.message.question[0].name
    for record in answer.records:
        data = _data(record, zone)
        rrset = response.find_rrset(response.answer, owner, data.rdclass, data.rdtype, create=True)
        rrset.add(data, TTL_SECONDS)
    if not answer.records:
        soa = _data(Record(Kind.SOA, zone.server_name), zone)
        response.authority.append(dns.rrset.from_rdata(_name(answer.apex), TTL_SECONDS, soa))
    return response


def from_elsewhere(query: Query, found: dns.message.Message) -> dns.message.Message:
    """The response that another server gave, for the client."""
    response = dns.message.make_response(query.message, recursion_available=True, our_payload=UDP_PAYLOAD)
    response.set_rcode(found.rcode())
    response.answer, response.authority, response.additional = found.answer, found.authority, found.additional
    if query.wants_dnssec:
        response.want_dnssec()
    if query.wants_dnssec or query.message.flags & dns.flags.AD:
        response.flags |= found.flags & dns.flags.AD
    return response


def packed(response: dns.message.Message, query: Query, *, by_tcp: bool) -> bytes:
    """The response in as many bytes as the client takes; what does not fit is cut off, and TC says so."""
    if by_tcp:
        return response.to_wire(max_size=TCP_PAYLOAD, prefer_truncation=True)
    offered = query.message.payload if query.message.edns >= 0 else PLAIN_PAYLOAD
    size = max(PLAIN_PAYLOAD, min(offered, UDP_PAYLOAD))
    return response.to_wire(max_size=size, prefer_truncation=True)


def _bare(packet: bytes, code: dns.rcode.Rcode) -> bytes:
    """A refusal of what could not be read any further than its header."""
    response = dns.message.QueryMessage(id=int.from_bytes(packet[:2], "big"))
    response.flags = dns.flags.QR | dns.flags.RA | (dns.flags.RD if packet[2] & 1 else 0)
    response.set_opcode(dns.opcode.Opcode(packet[2] >> 3 & 0xF))
    response.set_rcode(code)
    return response.to_wire()


def _data(record: Record, zone: Zone) -> dns.rdata.Rdata:
    internet = dns.rdataclass.IN
    if not isinstance(record.value, tuple):
        kind = dns.rdatatype.A if record.kind is Kind.A else dns.rdatatype.AAAA
        packed_address = record.value.packed
        return dns.rdata.from_wire(internet, kind, packed_address, 0, len(packed_address))
    name = _name(record.value).to_text()
    if record.kind is not Kind.SOA:
        return dns.rdata.from_text(internet, record.kind.value, name)
    mailbox = _name(("hostmaster", *zone.apex)).to_text()
    text = f"{name} {mailbox} {zone.serial} {_REFRESH} {_RETRY} {_EXPIRE} {TTL_SECONDS}"
    return dns.rdata.from_text(internet, dns.rdatatype.SOA, text)


@lru_cache(maxsize=1024)
def _name(labels: Labels) -> dns.name.Name:
    return dns.name.Name([*(label.encode(_ENCODING) for label in labels), b""])
