"""Single values as WireGuard's tools write and read them; whatever could break out of its place is refused."""

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.domain.errors import InvalidValue

MAX_PORT = 65_535
MAX_KEEPALIVE = 65_535
MAX_FWMARK = 2**32 - 1
MAX_COUNTER = 2**64 - 1

_ATOM = re.compile(r"[A-Za-z0-9+/=:.%\[\]_-]+")
_DECIMAL = re.compile(r"[0-9]{1,20}")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,8}")


def atom(value: object) -> str:
    """One value in the characters that keys, addresses, names and numbers need; others raise `ValueError`.

    The types alone do not keep text in its line: `ip_interface("fe80::1%a\\nPostUp=…")` is a legal IPv6Interface.
    """
    text = str(value)
    if not _ATOM.fullmatch(text):
        raise ValueError("a value has characters that WireGuard's formats have no place for")
    return text


def atoms(values: Iterable[object], separator: str = ", ") -> str:
    return separator.join(map(atom, values))


def check_range(name: str, value: int | None, lowest: int, highest: int) -> None:
    """Raise `ValueError` unless `value` is absent or an integer from `lowest` to `highest`."""
    if value is not None and not (type(value) is int and lowest <= value <= highest):
        raise ValueError(f"{name} is not an integer from {lowest} to {highest}")


def read_number(text: str, highest: int) -> int:
    """A number from 0 to `highest` in ASCII decimal or 0x digits, or `off` for 0."""
    if text.lower() == "off":
        return 0
    if _DECIMAL.fullmatch(text):
        number = int(text)
    elif _HEXADECIMAL.fullmatch(text):
        number = int(text, 16)
    else:
        raise ValueError("is not a number")
    if number > highest:
        raise ValueError(f"is above {highest}")
    return number


def read_networks(text: str) -> tuple[IPNetwork, ...]:
    """Comma-separated CIDRs; as WireGuard does, cut off set host bits and take a bare address for a /32 or /128."""
    return tuple(map(read_network, text.split(","))) if text else ()


# One object for each prefix: what a large interface shall have and what it has would else be there twice, and be slow
# to compare.
@lru_cache(maxsize=16_384)
def read_network(text: str) -> IPNetwork:
    """One of them."""
    if "%" in text:
        raise ValueError("has a zone, which a range of addresses has not")
    return ipaddress.ip_network(text, strict=False)


def read_endpoint(text: str) -> Endpoint:
    """Read `host:port` or `[v6]:port`; an address that WireGuard observed may carry a zone (`[fe80::1%eth0]:51820`)."""
    host, _, port = text.rpartition(":")
    if "%" in host and host.startswith("[") and host.endswith("]"):
        address = ipaddress.IPv6Address(atom(host[1:-1]))
        return Endpoint(str(address), read_number(port, MAX_PORT))
    try:
        return Endpoint.parse(text)
    except InvalidValue as error:
        raise ValueError(error.problem) from None
