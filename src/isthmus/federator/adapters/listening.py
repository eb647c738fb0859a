"""Unix sockets that the Federator listens on: made by itself, for one user each, with HTTP on those of them that are
streams."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, LineTooLong

BACKLOG = 1024
# aiohttp's own lines say less than ours.
SILENT = logging.getLogger("isthmus.federator.silent")
SILENT.setLevel(logging.CRITICAL)
KEEP_ALIVE_SECONDS = 75.0  # longer than nginx's, or it would send requests into a closing connection
PROBE_SECONDS = 2.0
# An escaped certificate in PEM is the longest of the fields.
LONGEST_FIELD = 16 * 1024
MOST_HEADERS = 64
CREDENTIALS = struct.Struct("3i")


class CannotListen(Exception):
    """A socket cannot be made; the text says what to do."""


def prepare_folder(folder: Path) -> None:
    """Make the folder of the sockets, for this user alone. One that is open to others is refused."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        remedy = "set ISTHMUS_DATA_DIR or ISTHMUS_FEDERATOR_DATA_DIR to a folder of this user"
        raise CannotListen(f"the folder {folder} cannot be made ({error.strerror}): {remedy}") from None
    if found.st_uid not in (os.geteuid(), 0):
        raise CannotListen(f"the folder {folder} belongs to another user: give it to this one (chown)")
    if found.st_mode & 0o022:
        raise CannotListen(f"others may write to the folder {folder}: chmod 0700 it")


def bind(path: Path, user: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A bound socket at `path` that `user` may connect to, listening if it is one of streams. Raises `CannotListen`."""
    remove_stale(path, kind)
    sock = socket.socket(socket.AF_UNIX, kind)
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
        _open_to(path, user)
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(f"the socket {path} cannot be made ({error.strerror or error})") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def _open_to(path: Path, user: int) -> None:
    """The file system keeps others out where it can; who connects is asked for in any case."""
    if user == os.geteuid():
        return
    if os.geteuid() == 0:
        os.chown(path, user, -1)
        # To be reached, the folder must let others through; it still shows them nothing.
        path.parent.chmod(0o711)
    else:
        path.chmod(0o660)


def remove_stale(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Remove the socket of a Federator that was killed; one that answers belongs to a running one."""
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise CannotListen(f"the socket {path} cannot be tried ({error.strerror or error})") from None
    raise CannotListen(f"a Federator is already running with the socket {path}: stop it, or use another data folder")


def peer_user(transport: asyncio.BaseTransport) -> int:
    """Number of the user that connected; -1 if the kernel does not say."""
    sock = transport.get_extra_info("socket")
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    except (AttributeError, OSError):
        return -1
    return int(CREDENTIALS.unpack(found)[1])


Handler = Callable[[web.BaseRequest, int], Awaitable[web.StreamResponse]]
Broken = Callable[[int, str], web.Response]
"""Answers what cannot be read: the user that sent it, and the code of the problem."""


class Connection(web.RequestHandler):
    """Knows the user at the other end."""

    __slots__ = ("user",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.user = peer_user(transport)
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What cannot be parsed gets a problem document and an audit row, like every refusal."""
        # It made this connection.
        answer = cast("SocketServer", self._manager).broken(self.user, code_of(exc))
        answer.force_close()
        return answer


def code_of(error: BaseException | None) -> str:
    """What a caller is told whose request the parser gave up."""
    if isinstance(error, BadHttpMethod):
        return "method_not_allowed"
    if isinstance(error, LineTooLong):
        return "headers_too_large"
    return "malformed_request" if isinstance(error, HttpProcessingError) else "internal"


class SocketServer(web.Server):
    """HTTP on a unix socket. `handler` gets every request with the number of the user that sent it."""

    def __init__(self, handler: Handler, broken: Broken) -> None:
        super().__init__(self._handle)
        self._to = handler
        self.broken = broken

    def __call__(self) -> web.RequestHandler:
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            tcp_keepalive=False,
            access_log=SILENT,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_HEADERS,
            lingering_time=1.0,
            # What a caller has packed is refused by its header, never unpacked.
            auto_decompress=False,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # Made by `__call__`.
        return await self._to(request, cast("Connection", request.protocol).user)


@contextlib.contextmanager
def unlinked(path: Path, sock: socket.socket) -> Iterator[None]:
    """Close `sock` at the end and remove its file, unless somebody else's has taken its place."""
    made = inode_of(path)
    try:
        yield
    finally:
        sock.close()
        if inode_of(path) == made:
            path.unlink(missing_ok=True)


def inode_of(path: Path) -> int:
    """0 where nothing is."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0
