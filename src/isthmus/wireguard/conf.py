"""Configuration files in the syntax of wg-quick(8): a typed model, its text, and the text's model."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork
from isthmus.wireguard.keys import PresharedKey, PrivateKey, PublicKey
from isthmus.wireguard.values import MAX_FWMARK, MAX_KEEPALIVE, MAX_PORT, atom, atoms, check_range

IPInterface = IPv4Interface | IPv6Interface
Table = int | Literal["auto", "off"]

LOWEST_MTU, HIGHEST_MTU = 576, 65_535
MAX_TABLE = 2**32 - 1
NAME_COMMENT = "# Name = "

_ESCAPED = re.compile(r"\\(?:\\|u[0-9a-f]{4}|U[0-9a-f]{8})")
_OUTER_SPACES = re.compile(r"^ +| +$")


@dataclass(frozen=True, slots=True)
class InterfaceSection:
    """This host's side. `mtu` is in bytes, `fwmark` 0 means off; None leaves the choice to WireGuard.

    `dns` and `search_domains` share one line of the file. There is no field for the commands (`PostUp` and its
    like) that wg-quick would run as root: what cannot be said cannot be rendered.
    """

    private_key: PrivateKey | None = None
    addresses: tuple[IPInterface, ...] = ()
    listen_port: int | None = None
    mtu: int | None = None
    dns: tuple[IPAddress, ...] = ()
    search_domains: tuple[str, ...] = ()
    table: Table | None = None
    fwmark: int | None = None

    def __post_init__(self) -> None:
        check_range("listen_port", self.listen_port, 0, MAX_PORT)
        check_range("mtu", self.mtu, LOWEST_MTU, HIGHEST_MTU)
        check_range("fwmark", self.fwmark, 0, MAX_FWMARK)
        if not isinstance(self.table, str):
            check_range("table", self.table, 0, MAX_TABLE)


@dataclass(frozen=True, slots=True)
class PeerSection:
    """One peer. `keepalive` is in seconds, 0 means off. `name` is any text, written as a comment for the reader."""

    public_key: PublicKey
    name: str | None = None
    preshared_key: PresharedKey | None = None
    endpoint: Endpoint | None = None
    allowed_ips: tuple[IPNetwork, ...] = ()
    keepalive: int | None = None

    def __post_init__(self) -> None:
        check_range("keepalive", self.keepalive, 0, MAX_KEEPALIVE)


@dataclass(frozen=True, slots=True)
class Conf:
    """A whole file. The order of peers and addresses is kept: equal models give equal bytes."""

    interface: InterfaceSection
    peers: tuple[PeerSection, ...] = ()


def render(conf: Conf) -> str:
    """The file for wg-quick, with the private key in clear. A value that has no place in it raises `ValueError`."""
    interface = conf.interface
    lines = [
        "[Interface]",
        *_secret("PrivateKey", interface.private_key),
        *_values("Address", interface.addresses),
        *_value("ListenPort", interface.listen_port),
        *_value("MTU", interface.mtu),
        *_values("DNS", (*interface.dns, *interface.search_domains)),
        *_value("Table", interface.table),
        *_value("FwMark", _fwmark(interface.fwmark)),
    ]
    for peer in conf.peers:
        lines += ["", "[Peer]"]
        if peer.name is not None:
            lines.append(NAME_COMMENT + escape(peer.name))
        lines += _peer_lines(peer, peer.keepalive)
    return "\n".join(lines) + "\n"


def render_syncconf(conf: Conf) -> str:
    """The part of `conf` that `wg setconf` and `wg syncconf` read, with the private key in clear.

    Both take an absent private key, listen port or mark for none, but syncconf takes an absent keepalive or
    endpoint for the present one. So the keepalive is always stated, while a peer without endpoint may keep roaming.
    """
    interface = conf.interface
    lines = [
        "[Interface]",
        *_secret("PrivateKey", interface.private_key),
        *_value("ListenPort", interface.listen_port),
        *_value("FwMark", _fwmark(interface.fwmark)),
    ]
    for peer in conf.peers:
        lines += ["", "[Peer]", *_peer_lines(peer, peer.keepalive or 0)]
    return "\n".join(lines) + "\n"


def _peer_lines(peer: PeerSection, keepalive: int | None) -> list[str]:
    return [
        f"PublicKey = {atom(peer.public_key)}",
        *_secret("PresharedKey", peer.preshared_key),
        *_value("Endpoint", peer.endpoint),
        *_values("AllowedIPs", peer.allowed_ips),
        *_value("PersistentKeepalive", keepalive),
    ]


def _value(key: str, value: object) -> list[str]:
    return [] if value is None else [f"{key} = {atom(value)}"]


def _values(key: str, values: tuple[object, ...]) -> list[str]:
    return [f"{key} = {atoms(values)}"] if values else []


def _secret(key: str, secret: PrivateKey | PresharedKey | None) -> list[str]:
    return [] if secret is None else [f"{key} = {atom(secret.reveal())}"]


def _fwmark(mark: int | None) -> str | None:
    return None if mark is None else hex(mark)


def escape(text: str) -> str:
    """`text` in one line of printable characters without outer spaces; `unescape` gives it back.

    Not printable is, besides control characters, everything that some editor or parser takes for a line end
    (U+0085, U+2028, …) or that changes how the rest of the line looks (bidirectional marks).
    """
    visible = "".join(char if char.isprintable() and char != "\\" else _escape_char(char) for char in text)
    return _OUTER_SPACES.sub(lambda spaces: r"\u0020" * len(spaces.group()), visible)


def _escape_char(char: str) -> str:
    if char == "\\":
        return r"\\"
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def unescape(text: str) -> str:
    """The text that `escape` was given. A backslash that `escape` cannot have written stays as it is."""
    return _ESCAPED.sub(_unescape_match, text)


def _unescape_match(escaped: re.Match[str]) -> str:
    digits = escaped.group()[2:]
    code = int(digits, 16) if digits else ord("\\")
    return chr(code) if code <= 0x10FFFF else escaped.group()
