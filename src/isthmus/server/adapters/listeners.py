"""Sockets that the server listens on, and uvicorn on each of them in one event loop."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvicorn

from isthmus.domain.addresses import Endpoint
from isthmus.server.adapters.http.connections import Connection, Guard
from isthmus.server.adapters.http.crowd import Crowd
from isthmus.server.adapters.http.edge import App, Counting, Edge, Visitors
from isthmus.server.adapters.http.handshakes import TlsServer
from isthmus.server.application.caller import Caller
from isthmus.server.application.tally import Tally

BACKLOG = 2048
STALLED_MS = 60_000
UNSENT_BYTES = 128 * 1024
UNREAD_BYTES = 64 * 1024
DRAIN_SECONDS = 5
LONGEST_SOCKET_NAME = 108
KEEP_ALIVE_SECONDS = 75  # longer than a proxy's, or it would send requests into a closing connection


class CannotListen(Exception):
    """An address is busy or not ours; the text says what to do."""


@dataclass(slots=True)
class Listener:
    """One bound socket. `local` is the server's own one, for callers whom the file system has let in. What `app` is
    given for is answered by that alone, as it is: other processes of this backend."""

    sock: socket.socket
    name: str
    visitors: Visitors = Visitors.ALL
    tls: tuple[Path, Path] | None = None
    local: bool = False
    app: App | None = None

    def close(self) -> None:
        self.sock.close()
        if self.sock.family == socket.AF_UNIX:
            Path(self.name).unlink(missing_ok=True)


def bind_tcp(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit them: what has come and is not read yet has a bound, what is not sent yet has one
    # beside what the peer's window takes, and who takes no byte for a minute is cut off with all of it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    try:
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            why = "is in use by another program: stop that one, or choose another address with --listen"
        elif error.errno == errno.EACCES:
            why = "needs more rights: choose a port above 1023 with --listen"
        else:
            why = f"cannot be listened on ({error.strerror}): choose another address with --listen"
        raise CannotListen(f"{endpoint} {why}") from None
    return sock


def check_tls(certificate: Path, key: Path) -> None:
    """Raise `CannotListen`, naming the file, unless both are readable PEM files and belong together."""
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CannotListen(f"{path} cannot be read ({error.strerror}): see tls_certificate and tls_key") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        is_mismatch = error.reason == "KEY_VALUES_MISMATCH"
        why = "belong to different keys" if is_mismatch else f"are not usable ({error.reason or 'not PEM'})"
        raise CannotListen(f"{certificate} and {key} {why}: set a PEM certificate chain and its key") from None


def bind_unix(path: Path) -> socket.socket:
    """The server's own socket, for the owner of the process alone."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _remove_stale(path)
    mask = os.umask(0o177)
    try:
        with short_name(path) as name:
            sock.bind(name)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(
            f"the socket {path} cannot be made ({error.strerror or error}): set ISTHMUS_SOCKET"
        ) from None
    finally:
        os.umask(mask)
    return sock


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name of a socket that fits into the 108 bytes that the kernel takes, however deep its folder lies."""
    if len(os.fsencode(path)) < LONGEST_SOCKET_NAME or not Path("/proc/self/fd").exists():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed; one that answers belongs to a running server."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            with short_name(path) as name:
                probe.connect(name)
        except ConnectionRefusedError:
            path.unlink()
            return
    raise CannotListen(f"a server is already running with the socket {path}: stop it, or use another --data-dir")


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, for several of them share the loop and stop together, and with
    connections of our own."""

    def __init__(self, config: uvicorn.Config, guard: Guard) -> None:
        super().__init__(config)
        self._guard = guard

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = [await self._server_on(sock) for sock in sockets or []]
        self.started = True

    async def _server_on(self, sock: socket.socket) -> asyncio.Server:
        config, crowd = self.config, self._guard.crowd

        def made() -> Connection:
            return Connection(config, self.server_state, self._guard)

        if config.ssl is not None and crowd is not None:
            # Uvicorn does no more with it than to close it.
            return cast("asyncio.Server", TlsServer(sock, config.ssl, made, crowd))
        return await asyncio.get_running_loop().create_server(made, sock=sock, backlog=config.backlog)


@dataclass(frozen=True, slots=True)
class Watch:
    """What all listeners count, who is told of what a listener refuses by itself, and how many connections of one
    source may keep each of them waiting."""

    tally: Tally
    note: Callable[[Caller, str, str], None]
    per_source: int


async def serve(
    app: App, listeners: list[Listener], stop: asyncio.Event, before_stop: Callable[[], None], watch: Watch
) -> None:
    """Answer on all listeners until `stop`, then let running requests end."""
    servers = [_server(app, listener, watch) for listener in listeners]
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener.sock]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    before_stop()
    for server in servers:
        server.should_exit = True
    stopped.cancel()
    await asyncio.gather(*tasks)


def _server(app: App, listener: Listener, watch: Watch) -> _Server:
    certificate, key = listener.tls or (None, None)

    def on_cut(caller: Caller, code: str) -> None:
        watch.note(caller, listener.name, code)

    is_open = listener.sock.family != socket.AF_UNIX
    crowd = Crowd(watch.per_source, _most_files() // 2) if is_open else None
    return _Server(
        uvicorn.Config(
            listener.app or Edge(app, listener.visitors, local=listener.local, counting=Counting(watch.tally, on_cut)),
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            ws_ping_interval=20,
            ws_ping_timeout=20,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        ),
        Guard(on_cut, crowd),
    )


def _most_files() -> int:
    """How many this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
