"""Answers of other servers, kept for as long as they say, within bounds."""

from collections import OrderedDict

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Key = tuple[object, ...]

ENTRIES = 2_048
LARGEST = 8_192
LONGEST_SECONDS = 3_600
LONGEST_DENIAL_SECONDS = 300


class Cache:
    """`now` is in seconds of one clock, whichever it is. The entry that was not asked for longest goes first."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._kept: OrderedDict[Key, tuple[bytes, float, float]] = OrderedDict()

    def get(self, key: Key, now: float) -> dns.message.Message | None:
        """The answer with what is left of its times to live."""
        found = self._kept.get(key)
        if found is None:
            return None
        packet, since, until = found
        if now >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        message = dns.message.from_wire(packet)
        for rrset in _records(message):
            rrset.ttl = max(0, min(rrset.ttl, LONGEST_SECONDS) - int(now - since))
        return message

    def put(self, key: Key, message: dns.message.Message, now: float) -> None:
        """Keep an answer, if it may be kept at all."""
        seconds = lifetime(message)
        if seconds <= 0:
            return
        packet = message.to_wire(max_size=65_535)
        if len(packet) > LARGEST:
            return
        self._kept[key] = (packet, now, now + seconds)
        self._kept.move_to_end(key)
        if len(self._kept) > self._entries:
            self._kept.popitem(last=False)


def lifetime(message: dns.message.Message) -> int:
    """Seconds for which an answer may be kept, 0 for not at all (RFC 2308 for one without records)."""
    if message.answer and message.rcode() == dns.rcode.NOERROR:
        return min(LONGEST_SECONDS, *(rrset.ttl for rrset in _records(message)))
    for rrset in message.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return min(LONGEST_DENIAL_SECONDS, rrset.ttl, int(rrset[0].minimum))
    return 0


def _records(message: dns.message.Message) -> list[dns.rrset.RRset]:
    return [*message.answer, *message.authority, *message.additional]
