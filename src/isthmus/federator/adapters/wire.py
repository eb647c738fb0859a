"""The bytes of one connection, under control: what is read is bounded, and what comes unasked ends it."""

import asyncio
import ssl
from typing import cast

MOST_UNREAD = 256 * 1024


class Wire(asyncio.Protocol):
    """One reader at a time. While nobody reads (`resting`), any byte and any end makes it unusable."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._paused = False
        self._stray = False
        self.resting = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def certificate(self) -> bytes:
        """The leaf of the other end, in DER; empty without one."""
        found = cast("ssl.SSLObject", self._transport.get_extra_info("ssl_object")).getpeercert(binary_form=True)
        return found or b""

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent: it is open, and nothing has come that no request asked for."""
        return not (self._ended or self._stray or self._buffer or self._transport.is_closing())

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def read(self) -> bytes:
        """Some bytes; none at the end. Raises `OSError` (`ssl.SSLError` for an alert) when it broke."""
        while not self._buffer:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        """Close without a word."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.resting:
            # Part of no answer: the next request must not take it for its own.
            self._stray = True
            self._transport.abort()
            return
        self._buffer += data
        if len(self._buffer) > MOST_UNREAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
