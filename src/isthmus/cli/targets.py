"""Which server a command talks to: a URL with a token, or the socket of the server on this machine."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from isthmus.cli import credentials
from isthmus.cli.errors import Misuse

PLAIN_HTTP = "ISTHMUS_SERVER_PLAIN_HTTP"


@dataclass(frozen=True, slots=True)
class Target:
    """`socket` None means that `url` is reached over the network."""

    url: str
    socket: Path | None = None
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.url if self.socket is None else str(self.socket)


def resolve(server: str | None, socket: Path | None, environment: Mapping[str, str]) -> Target:
    """The options first, then the environment, then the last login, then this machine's own server."""
    if server and socket:
        raise Misuse("--server and --socket name two servers", "give one of them")
    if not server and not socket:
        server = environment.get("ISTHMUS_SERVER")
    if not server and not socket and environment.get("ISTHMUS_SOCKET"):
        socket = Path(environment["ISTHMUS_SOCKET"])
    if socket:
        return on_socket(socket)
    known = credentials.load(credentials.path_of(environment))
    server = server or known.current
    if not server:
        return on_socket(data_dir(environment) / "server.sock")
    url = parse_url(server, environment)
    login = known.servers.get(url)
    return Target(url, token=environment.get("ISTHMUS_TOKEN") or (login.token if login else None))


def on_socket(path: Path) -> Target:
    """Whoever may open the socket is an administrator of this machine: no token is needed."""
    return Target("http://isthmus", path)


def data_dir(environment: Mapping[str, str]) -> Path:
    """Where a server that was started without options keeps its data."""
    if named := environment.get("ISTHMUS_DATA_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/isthmus")
    return Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "isthmus"


def parse_url(text: str, environment: Mapping[str, str]) -> str:
    """The server's URL without path; one that would carry tokens in clear over a network is refused."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise Misuse(f"{text!r} is not the URL of a server", "for example https://isthmus.example.com")
    if parts.username or parts.password:
        raise Misuse("a URL must not carry a password", "sign in with isthmus login --server URL")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname) and environment.get(PLAIN_HTTP) != "1":
        hint = f"use https://, or set {PLAIN_HTTP}=1 where the network in between is trusted"
        raise Misuse(f"{text} would carry the token in clear", hint)
    return f"{parts.scheme}://{parts.netloc}"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
