"""Hears from the kernel that links, addresses, routes, rules or packet filters of the host changed."""

import asyncio
import errno
import socket

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_BUFFER = 65_536
# Multicast groups of rtnetlink(7): link, IPv4 address, route and rule, IPv6 address, route and rule.
_ROUTE_GROUPS = (1, 5, 7, 8, 9, 11, 19)
_NFTABLES_GROUP = 7


class HostChanges:
    """Tells that something changed, not what: whoever wants to know looks. Use it as a context manager in a loop."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._heard = asyncio.Event()
        self._is_fresh = False

    def __enter__(self) -> "HostChanges":
        self._listen(socket.NETLINK_ROUTE, _ROUTE_GROUPS)
        self._listen(_NETLINK_NETFILTER, (_NFTABLES_GROUP,))
        return self

    def __exit__(self, *_: object) -> None:
        self._is_fresh = False
        for each in self._sockets:
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._sockets.clear()

    def is_same(self) -> bool:
        """Whether nothing changed since the last call; False at the first, and while nobody listens."""
        for each in self._sockets:
            self._read(each)
        same, self._is_fresh = self._is_fresh, bool(self._sockets)
        return same

    async def wait(self) -> None:
        """Return once something has changed since the last return."""
        await self._heard.wait()
        self._heard.clear()

    def _listen(self, protocol: int, groups: tuple[int, ...]) -> None:
        each = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        self._sockets.append(each)
        each.bind((0, 0))
        for group in groups:
            each.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        asyncio.get_running_loop().add_reader(each, self._read, each)

    def _read(self, each: socket.socket) -> None:
        while True:
            try:
                each.recv(_BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                # So much changed that some of it could not be told.
                if error.errno != errno.ENOBUFS:
                    raise
            self._is_fresh = False
            self._heard.set()
