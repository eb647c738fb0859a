"""Where the database lives, for those who must keep away from it."""

import socket

from sqlalchemy import make_url


def hosts_of(url: str) -> tuple[str, ...]:
    """The addresses of the machine that a database URL names; none for a file, for a socket and for an unknown name."""
    host = make_url(url).host
    if not host or host.startswith("/"):
        return ()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        # Whoever opens the database says so better.
        return ()
    return tuple(dict.fromkeys(str(place[0]).partition("%")[0] for _, _, _, _, place in found))
