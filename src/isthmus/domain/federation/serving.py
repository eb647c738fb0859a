"""How a service is made and changed: its name, its ports, and where in its network it is."""

import re
from collections.abc import Sequence
from itertools import pairwise

from isthmus.domain.addresses import MAX_PORT, IPAddress, IPNetwork, parse_address, parse_label
from isthmus.domain.errors import InvalidValue

MOST_RANGES = 16
RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
HINT = "for example 443, or 8000-8080"


def parse_name(text: str) -> str:
    return parse_label(text, "/name")


def parse_ports(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Ranges such as `443` and `8000-8080`, sorted; none overlaps another."""
    if not 0 < len(texts) <= MOST_RANGES:
        raise InvalidValue("/ports", f"must be 1 to {MOST_RANGES} ports or ranges of ports", HINT)
    ranges = sorted(parse_range(text, f"/ports/{number}") for number, text in enumerate(texts))
    for (_, last), (first, _) in pairwise(ranges):
        if first <= last:
            raise InvalidValue("/ports", f"has port {first} twice", HINT)
    return tuple(ranges)


def parse_range(text: str, field: str) -> tuple[int, int]:
    found = RANGE.fullmatch(text)
    if found is None:
        raise InvalidValue(field, "is no port and no range of ports", HINT)
    first, last = int(found[1]), int(found[2] or found[1])
    if not 0 < first <= last <= MAX_PORT:
        raise InvalidValue(field, f"is not within 1 to {MAX_PORT}, or ends before it begins", HINT)
    return first, last


def parse_service_address(text: str, ranges: Sequence[IPNetwork]) -> IPAddress:
    """One address of the network, or of a range that one of its peers offers."""
    address = parse_address(text, "/address")
    if not any(address.version == each.version and address in each for each in ranges):
        shown = ", ".join(map(str, ranges))
        raise InvalidValue("/address", "is neither in the network nor behind one of its peers", f"they are: {shown}")
    return address


def ports_as_texts(ranges: Sequence[tuple[int, int]]) -> list[str]:
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
