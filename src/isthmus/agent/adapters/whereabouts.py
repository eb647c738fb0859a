"""Where this host is in the network, as far as connections depend on it. Asks the kernel alone; no packet leaves."""

import asyncio
import socket
from typing import Any

LOOK_SECONDS = 1.0
# Documentation addresses stand for "the rest of the world" (RFC 5737, RFC 3849).
FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

Sources = tuple[str | None, ...]


def sources(mark: int) -> Sources:
    """The addresses under which the host sends to the world, by IPv4 and by IPv6, with `mark` (0: none) on packets."""
    return tuple(_source(family, to, mark) for family, to in FAR)


def _source(family: int, to: str, mark: int) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if mark:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            probe.connect((to, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


async def gone(address: tuple[Any, ...]) -> None:
    """Returns once the host does not have the `address` of a socket of its own any more."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not _has(address):
            return


def _has(address: tuple[Any, ...]) -> bool:
    family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True
