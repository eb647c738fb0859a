"""Which interface of this host has which address, asked of the kernel (rtnetlink)."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

SECONDS = 2.0
BUFFER = 1 << 16
HEADER = struct.Struct("=IHHII")
LINK = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBI")
ATTRIBUTE = struct.Struct("=HH")
NEW_LINK, GET_LINK, NEW_ADDRESS, GET_ADDRESS = 16, 18, 20, 22
ERROR, DONE = 2, 3
REQUEST_DUMP = 0x301
LINK_NAME, LOCAL, ADDRESS_ITSELF = 3, 2, 1
NO_LINK_LAYER = 0xFFFE
"""The type (ARPHRD_NONE) of WireGuard's interfaces, those of the kernel and those of a process: nothing is below IP."""


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    is_tunnel: bool


def interfaces() -> dict[str, Interface]:
    """By address, as `ipaddress` writes it. Blocks. Raises `OSError`."""
    links: dict[int, Interface] = {}
    for body in _dump(GET_LINK, NEW_LINK):
        _, kind, index, _, _ = LINK.unpack_from(body)
        name = _attributes(body[LINK.size :]).get(LINK_NAME, b"").rstrip(b"\0").decode("ascii", "replace")
        links[index] = Interface(name, kind == NO_LINK_LAYER)
    found = {}
    for body in _dump(GET_ADDRESS, NEW_ADDRESS):
        index = ADDRESS.unpack_from(body)[4]
        attributes = _attributes(body[ADDRESS.size :])
        raw = attributes.get(LOCAL) or attributes.get(ADDRESS_ITSELF)
        if raw is not None and index in links:
            found[str(ip_address(raw))] = links[index]
    return found


def _dump(ask: int, answer: int) -> Iterator[bytes]:
    """The body of each message of the kernel's answer."""
    request = HEADER.pack(HEADER.size + 1, ask, REQUEST_DUMP, 1, 0) + b"\0"
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(SECONDS)
        kernel.bind((0, 0))
        kernel.send(request)
        while True:
            data = kernel.recv(BUFFER)
            while len(data) >= HEADER.size:
                length, kind, _, _, _ = HEADER.unpack_from(data)
                if kind == DONE or length < HEADER.size:
                    return
                if kind == ERROR:
                    raise OSError("the kernel tells nothing of its interfaces")
                if kind == answer:
                    yield data[HEADER.size : length]
                data = data[_aligned(length) :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
