"""TLS listeners: who has connected and not yet shaken hands keeps us waiting like everybody else."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from isthmus.server.adapters.http.connections import HEAD_SECONDS, LEFT_SECONDS
from isthmus.server.adapters.http.crowd import Crowd

AT_ONCE = 64
PAUSE_SECONDS = 0.5
OUT_OF_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class TlsServer:
    """Accepts by itself: the loop's own server tells of a connection once its handshake is over."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, made: Callable[[], asyncio.Protocol], crowd: Crowd
    ) -> None:
        self._sock, self._context, self._made, self._crowd = sock, context, made, crowd
        self._loop = asyncio.get_running_loop()
        self._shaking: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._open()

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._shaking, return_exceptions=True)

    def _open(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_ROOM:
                    raise
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._open)
                return
            sock.setblocking(False)
            task = self._loop.create_task(self._shake(sock))
            self._shaking.add(task)
            task.add_done_callback(self._shaking.discard)
            Handshake(task, sock, self._crowd, str(address[0]))

    async def _shake(self, sock: socket.socket) -> None:
        # Whoever shakes no hands has sent no request that could be refused.
        with suppress(OSError):
            # What TLS needs for a connection is twenty times what the connection itself does.
            await self._first_byte(sock)
            await self._loop.connect_accepted_socket(
                self._made,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=HEAD_SECONDS,
                ssl_shutdown_timeout=LEFT_SECONDS,
            )
            return
        sock.close()

    async def _first_byte(self, sock: socket.socket) -> None:
        came = asyncio.Event()
        self._loop.add_reader(sock, came.set)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                await came.wait()
        finally:
            self._loop.remove_reader(sock)


class Handshake:
    """In the crowd until it is over."""

    def __init__(self, task: asyncio.Task[None], sock: socket.socket, crowd: Crowd, source: str) -> None:
        self._task, self._sock, self._crowd, self._source = task, sock, crowd, source
        crowd.join(source, self)
        task.add_done_callback(self._over)

    def turn_away(self) -> None:
        """Nothing can be said before it is over."""
        self._crowd.leave(self._source, self)
        self._task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._crowd.leave(self._source, self)
        if task.cancelled():
            self._sock.close()
