"""Reads what wg-quick(8) and `wg showconf` write back into the model of `conf`."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from isthmus.domain.addresses import IPAddress, parse_domain
from isthmus.domain.errors import InvalidValue
from isthmus.wireguard.conf import (
    HIGHEST_MTU,
    LOWEST_MTU,
    MAX_TABLE,
    NAME_COMMENT,
    Conf,
    InterfaceSection,
    IPInterface,
    PeerSection,
    Table,
    unescape,
)
from isthmus.wireguard.keys import PresharedKey, PrivateKey, PublicKey
from isthmus.wireguard.values import (
    MAX_FWMARK,
    MAX_KEEPALIVE,
    MAX_PORT,
    check_range,
    read_endpoint,
    read_networks,
    read_number,
)

# The white space of C's isspace, which `wg` drops wherever it stands; Python's own notion is wider.
_SPACE = re.compile(r"[ \t\v\f\r]+")
_HOOKS = frozenset({"preup", "postup", "predown", "postdown"})

Readers = dict[str, tuple[str, Callable[[str], Any]]]


class InvalidConf(ValueError):
    """Text that is no configuration. Names the line, never its content: it may be a private key."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


@dataclass(slots=True)
class _Section:
    line: int
    readers: Readers
    fields: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> Conf:
    """Read a configuration; `parse(render(conf)) == conf`. Raises `InvalidConf`.

    Keys and sections in any case, spaces and comments are taken as `wg` takes them. Stricter than `wg`, a second
    `[Interface]` or a repeated single value is refused, and so are the commands that wg-quick would run.
    """
    sections: list[_Section] = []
    for number, line in enumerate(text.split("\n"), start=1):
        content = _SPACE.sub("", line.partition("#")[0])
        if content.startswith("["):
            sections.append(_open(number, content))
        elif content and not sections:
            raise InvalidConf(number, "stands before the first section")
        elif content:
            _read_setting(number, content, sections[-1])
        elif sections:
            _read_name(line, sections[-1])
    interfaces = [section for section in sections if section.readers is _INTERFACE]
    if len(interfaces) != 1:
        raise InvalidConf(interfaces[1].line if interfaces else 1, "there is not exactly one [Interface] section")
    return Conf(_interface(interfaces[0]), tuple(_peer(section) for section in sections if section.readers is _PEER))


def _open(number: int, header: str) -> _Section:
    readers = {"[interface]": _INTERFACE, "[peer]": _PEER}.get(header.lower())
    if readers is None:
        raise InvalidConf(number, "is neither [Interface] nor [Peer]")
    return _Section(number, readers)


def _read_setting(number: int, content: str, section: _Section) -> None:
    key, equals, text = content.partition("=")
    if not equals:
        raise InvalidConf(number, "is neither a section nor key = value")
    if key.lower() in _HOOKS:
        raise InvalidConf(number, "is a command for wg-quick to run, which Isthmus neither runs nor passes on")
    if key.lower() not in section.readers:
        raise InvalidConf(number, "has a key that its section does not know")
    name, read = section.readers[key.lower()]
    try:
        value = read(text)
    except (ValueError, InvalidValue):
        # The cause may repeat the value, which may be a key that slipped into the wrong line.
        raise InvalidConf(number, f"{name} cannot have this value") from None
    if isinstance(value, tuple):
        value = section.fields.get(name, ()) + value
    elif name in section.fields:
        raise InvalidConf(number, f"{name} is given twice")
    section.fields[name] = value


def _read_name(line: str, section: _Section) -> None:
    prefix = NAME_COMMENT.rstrip()
    comment = line.strip(" \t\r")
    if section.readers is _PEER and comment.startswith(prefix):
        section.fields.setdefault("name", unescape(comment.removeprefix(prefix).strip(" ")))


def _interface(section: _Section) -> InterfaceSection:
    items = section.fields.pop("dns", ())
    return InterfaceSection(
        **section.fields,
        dns=tuple(item for item in items if isinstance(item, IPv4Address | IPv6Address)),
        search_domains=tuple(item for item in items if isinstance(item, str)),
    )


def _peer(section: _Section) -> PeerSection:
    if "public_key" not in section.fields:
        raise InvalidConf(section.line, "the peer has no PublicKey")
    return PeerSection(**section.fields)


def _read_interfaces(text: str) -> tuple[IPInterface, ...]:
    return tuple(ipaddress.ip_interface(item) for item in text.split(",")) if text else ()


def _read_dns(text: str) -> tuple[IPAddress | str, ...]:
    return tuple(map(_read_dns_item, text.split(","))) if text else ()


def _read_dns_item(text: str) -> IPAddress | str:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return parse_domain(text.lower(), "/dns")


def _read_mtu(text: str) -> int:
    mtu = read_number(text, HIGHEST_MTU)
    check_range("mtu", mtu, LOWEST_MTU, HIGHEST_MTU)
    return mtu


def _read_table(text: str) -> Table:
    words: dict[str, Table] = {"auto": "auto", "off": "off"}
    word = words.get(text.lower())
    return read_number(text, MAX_TABLE) if word is None else word


def _up_to(highest: int) -> Callable[[str], int]:
    return lambda text: read_number(text, highest)


_INTERFACE: Readers = {
    "privatekey": ("private_key", PrivateKey.parse),
    "address": ("addresses", _read_interfaces),
    "listenport": ("listen_port", _up_to(MAX_PORT)),
    "mtu": ("mtu", _read_mtu),
    "dns": ("dns", _read_dns),
    "table": ("table", _read_table),
    "fwmark": ("fwmark", _up_to(MAX_FWMARK)),
}
_PEER: Readers = {
    "publickey": ("public_key", PublicKey.parse),
    "presharedkey": ("preshared_key", PresharedKey.parse),
    "endpoint": ("endpoint", read_endpoint),
    "allowedips": ("allowed_ips", read_networks),
    "persistentkeepalive": ("keepalive", _up_to(MAX_KEEPALIVE)),
}
