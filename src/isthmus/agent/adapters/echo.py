"""Probes into the tunnel: ICMP echo where this process may send it, else a datagram that nobody waits for.

Either makes the other's WireGuard answer; only an echo tells the round trip.
"""

import asyncio
import contextlib
import os
import socket
import struct
import time
from ipaddress import ip_address

from isthmus.domain.addresses import Family, IPAddress

_DISCARD_PORT = 9
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_HEAD = struct.Struct("!BBHHHq")
_TYPES = {4: (8, 0), 6: (128, 129)}
_LONGEST_SECONDS = 10.0
_BUFFER = 2_048


class Echo:
    """Sends probes and collects the answers. Use it as a context manager in a loop."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._raw: set[int] = set()
        self._mute: set[int] = set()
        self._round_trips: dict[IPAddress, int] = {}
        self._ident = os.getpid() & 0xFFFF

    def __enter__(self) -> "Echo":
        for family in (4, 6):
            with contextlib.suppress(OSError):
                self._open(family)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets.values():
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._sockets.clear()

    def send(self, address: IPAddress) -> None:
        """Send one probe; where that is not possible right now, none is sent."""
        each = self._sockets.get(address.version)
        if each is None:
            return
        with contextlib.suppress(OSError):
            if address.version in self._mute:
                each.sendto(b"", (str(address), _DISCARD_PORT))
            else:
                each.sendto(self._request(address.version), (str(address), 0))

    def take(self) -> dict[IPAddress, int]:
        """The round trips of the answers since the last call, in microseconds."""
        taken, self._round_trips = self._round_trips, {}
        return taken

    def _open(self, family: Family) -> None:
        kind, protocol = _FAMILIES[family]
        try:
            each = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
        except PermissionError:
            each = self._open_raw(family)
        self._sockets[family] = each
        asyncio.get_running_loop().add_reader(each, self._read, family, each)

    def _open_raw(self, family: Family) -> socket.socket:
        kind, protocol = _FAMILIES[family]
        reply = _TYPES[family][1]
        try:
            each = socket.socket(kind, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        except PermissionError:
            self._mute.add(family)
            return socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._raw.add(family)
        # A bit that is set keeps that type away.
        if family == 4:
            each.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFF_FFFF ^ 1 << reply))
        else:
            words = [0xFFFF_FFFF] * 8
            words[reply >> 5] ^= 1 << (reply & 31)
            each.setsockopt(protocol, _ICMP6_FILTER, struct.pack("=8I", *words))
        return each

    def _request(self, family: int) -> bytes:
        """The time of sending is the payload, so that nothing has to be remembered."""
        now = time.monotonic_ns()
        message = _HEAD.pack(_TYPES[family][0], 0, 0, self._ident, 0, now)
        # The kernel fills in the checksum of ICMPv6, which covers addresses too.
        checksum = 0 if family == 6 else _checksum(message)
        return _HEAD.pack(_TYPES[family][0], 0, checksum, self._ident, 0, now)

    def _read(self, family: Family, each: socket.socket) -> None:
        while True:
            try:
                packet, sender = each.recvfrom(_BUFFER)
            except BlockingIOError:
                return
            except OSError:
                # An error that a former probe met on its way.
                continue
            if family == 4 and family in self._raw:
                packet = packet[4 * (packet[0] & 0xF) :]
            self._take_in(family, packet, sender[0])

    def _take_in(self, family: Family, packet: bytes, sender: str) -> None:
        if family in self._mute or len(packet) != _HEAD.size:
            return
        kind, _, _, ident, _, sent = _HEAD.unpack(packet)
        took = time.monotonic_ns() - sent
        is_ours = kind == _TYPES[family][1] and (family not in self._raw or ident == self._ident)
        if is_ours and 0 < took < _LONGEST_SECONDS * 1e9:
            self._round_trips[ip_address(sender.partition("%")[0])] = max(1, took // 1_000)


_FAMILIES: dict[int, tuple[int, int]] = {
    4: (socket.AF_INET, socket.IPPROTO_ICMP),
    6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
}


def _checksum(message: bytes) -> int:
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return int(0xFFFF ^ ((total & 0xFFFF) + (total >> 16)))
