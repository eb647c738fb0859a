"""Which prefixes of a remote may be let in at all: by containment of addresses, never by their text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from isthmus.domain.addresses import IPNetwork, is_hostless, overlap
from isthmus.domain.errors import InvalidValue
from isthmus.domain.federation.bridge import MOST_PREFIXES

SHORTEST = {4: 8, 6: 32}
"""Prefix lengths: what is wider would take in the traffic of others, as a default route in parts does."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Addresses that are somebody's already; `owner` is a phrase such as "our network office"."""

    prefix: IPNetwork
    owner: str


@dataclass(eq=False)
class PrefixRefused(InvalidValue):
    """A prefix of a remote that nobody may let in. `prefix` and `taken` say which, and by whose."""

    prefix: str = ""
    taken: str = ""


def check_prefixes(prefixes: Sequence[IPNetwork], taken: Iterable[Taken], field: str = "/prefixes") -> None:
    """Raises `PrefixRefused` for the first prefix that cannot be a remote's, or is somebody else's."""
    if len(prefixes) > MOST_PREFIXES:
        raise PrefixRefused(field, f"has more than {MOST_PREFIXES} prefixes", "offer fewer, wider ones")
    others = list(taken)
    for prefix in prefixes:
        if prefix.prefixlen < SHORTEST[prefix.version]:
            problem = f"{prefix} is wider than /{SHORTEST[prefix.version]}"
            raise PrefixRefused(field, problem, "offer the prefix of the network itself", str(prefix))
        if is_hostless(prefix):
            problem = f"{prefix} holds addresses that no host of a network has"
            hint = "loopback, link-local, multicast and reserved ranges are nobody's to offer"
            raise PrefixRefused(field, problem, hint, str(prefix))
        for other in others:
            if overlap(prefix, other.prefix):
                problem = f"{prefix} overlaps {other.prefix}, {other.owner}"
                hint = "one of the two networks must be numbered anew"
                raise PrefixRefused(field, problem, hint, str(prefix), str(other.prefix))


def lies_in(prefix: IPNetwork, others: Iterable[IPNetwork]) -> bool:
    """Whether one of `others` holds all addresses of `prefix`."""
    return any(_holds(other, prefix) for other in others)


def _holds(one: IPNetwork, other: IPNetwork) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and other.subnet_of(one)
    return isinstance(other, IPv6Network) and other.subnet_of(one)
