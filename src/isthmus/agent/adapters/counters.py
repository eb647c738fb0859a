"""Reads the counters of an nft table by netlink: a program for that would be started with every heartbeat."""

import socket
import struct
from collections.abc import Iterator

from isthmus.agent.errors import ToolFailed

TIMEOUT_SECONDS = 5.0
_NETLINK_NETFILTER = 12
_ERROR, _DONE = 2, 3
_GET_OBJECTS = (10 << 8) | 19  # of the subsystem nftables
_REQUEST, _DUMP = 1, 0x300
_INET = 1
_BUFFER = 1 << 18
# Attributes of an object and of a counter in it, see linux/netfilter/nf_tables.h.
_TABLE, _NAME, _TYPE, _DATA = 1, 2, 3, 4
_COUNTER = 1
_BYTES, _PACKETS = 1, 2
_TYPE_BITS = 0x3FFF


def counted(table: str) -> dict[str, tuple[int, int]]:
    """Packets and bytes by name; `table` is of the family inet. Nothing for a table that is not there."""
    name = table.removeprefix("inet ")
    asked = _attribute(_TABLE, name.encode("ascii") + b"\0") + _attribute(_TYPE, struct.pack(">I", _COUNTER))
    body = struct.pack("=BBH", _INET, 0, 0) + asked
    header = struct.pack("=IHHII", 16 + len(body), _GET_OBJECTS, _REQUEST | _DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
            kernel.settimeout(TIMEOUT_SECONDS)
            kernel.send(header + body)
            return dict(_counters(_messages(kernel), name))
    except OSError as error:
        raise ToolFailed(f"the counters of table {table} could not be read: {error}") from None


def _messages(kernel: socket.socket) -> Iterator[bytes]:
    """What the kernel answers, message by message without their headers."""
    while True:
        answer = kernel.recv(_BUFFER)
        while answer:
            length, kind = struct.unpack_from("=IH", answer)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", answer, 16)
                raise OSError(-number, "netlink refused")
            yield answer[16:length]
            answer = answer[_padded(length) :]


def _counters(messages: Iterator[bytes], table: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for message in messages:
        # Four bytes of its own stand before the attributes.
        found = _attributes(message[4:])
        if _text(found[_TABLE]) == table and struct.unpack(">I", found[_TYPE]) == (_COUNTER,):
            values = _attributes(found[_DATA])
            (size,), (packets,) = struct.unpack(">Q", values[_BYTES]), struct.unpack(">Q", values[_PACKETS])
            yield _text(found[_NAME]), (packets, size)


def _attributes(content: bytes) -> dict[int, bytes]:
    found = {}
    while len(content) >= 4:
        length, kind = struct.unpack_from("=HH", content)
        found[kind & _TYPE_BITS] = content[4:length]
        content = content[_padded(length) :]
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(_padded(length) - length)


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")
