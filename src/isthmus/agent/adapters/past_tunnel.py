"""Connections that stay outside the tunnel, even where all other traffic of the host goes through it."""

import asyncio
import socket
from urllib.parse import urlsplit

from websockets.proxy import get_proxy
from websockets.uri import parse_uri

HTTPS_PORT, HTTP_PORT = 443, 80


def goes_through_proxy(websocket_url: str) -> bool:
    """Whether the environment names a proxy for it; then the connection is the proxy's, and cannot be marked."""
    return get_proxy(parse_uri(websocket_url)) is not None


def socket_options(mark: int) -> list[tuple[int, int, int]]:
    """Carry WireGuard's own mark, which leads past the tunnel; 0 is none."""
    return [(socket.SOL_SOCKET, socket.SO_MARK, mark)] if mark else []


async def connected(url: str, mark: int) -> socket.socket:
    """A TCP connection to the host of `url`, by the first of its addresses that answers. Raises `OSError`."""
    parts = urlsplit(url)
    port = parts.port or (HTTPS_PORT if parts.scheme in ("https", "wss") else HTTP_PORT)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            for option in socket_options(mark):
                sock.setsockopt(*option)
            await loop.sock_connect(sock, address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError(f"no address was found for {parts.hostname}")
