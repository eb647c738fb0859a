"""One request and its one answer over HTTP/1.1: whatever could be read in two ways is refused."""

import re
import ssl
from collections.abc import Mapping

from isthmus.federator.adapters.wire import Wire
from isthmus.federator.calling import CallFailed, Reply
from isthmus.protocol.federation import MOST_RESPONSE

MOST_HEAD = 16 * 1024
MOST_HINTS = 4
MOST_CHUNK_LINE = 256
SINGLE = frozenset({"content-type", "content-encoding", "retry-after", "transfer-encoding", "x-request-id", "date"})
STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
LENGTH = re.compile(r"[0-9]{1,15}")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e]*)?")
NO_LINE = re.compile(r"[^\x20-\x7e]")
WITHOUT_BODY = (204, 304)


class Garbled(Exception):
    """What came is no answer that can be read in one way only."""


class Http:
    """HTTP on one wire, one exchange after the other."""

    def __init__(self, wire: Wire, authority: str) -> None:
        self._wire = wire
        self._authority = authority
        self.exchanges = 0

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return self._wire.resting and self._wire.is_usable

    async def exchange(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST `body` to `path` and read the answer. After `CallFailed` or a cancellation the wire is closed."""
        reused, self.exchanges = self.exchanges > 0, self.exchanges + 1
        request = _written({"Host": self._authority, **headers, "Content-Length": str(len(body))}, path) + body
        reading = _Reading(self._wire)
        self._wire.resting = False
        try:
            self._wire.write(request)
            reply = await reading.answer()
        except (Garbled, OSError) as error:
            self._wire.abort()
            raise _failure(error, heard=reading.heard, reused=reused) from None
        except BaseException:
            self._wire.abort()
            raise
        self._wire.resting = True
        if not reading.may_go_on:
            self._wire.close()
        return reply

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        self._wire.abort()


def _written(headers: Mapping[str, str], path: str) -> bytes:
    """The head of a request. Raises `ValueError` for text that would be more than its own line."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(map(NO_LINE.search, lines)):
        raise ValueError("a header holds bytes that no header may hold")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class _Reading:
    """What has come of one answer."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._left = bytearray()
        self._stays = False
        self.heard = False

    @property
    def may_go_on(self) -> bool:
        """Whether the connection serves another request: both ends say so, and nothing came that nobody asked for."""
        return self._stays and not self._left

    async def answer(self) -> Reply:
        """The whole of it. Raises `Garbled`, `CallFailed` and `OSError`."""
        for _ in range(MOST_HINTS + 1):
            status, headers = await self._head()
            if status >= 200:
                return Reply(status, headers, await self._body(status, headers))
            if status == 101:
                break
        raise Garbled("too many or unasked informational answers")

    async def _head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self._until(b"\r\n\r\n", MOST_HEAD)).split(b"\r\n")
        start = STATUS.fullmatch(first)
        if start is None:
            raise Garbled("no status line")
        headers: dict[str, str] = {}
        for line in lines:
            found = HEADER.fullmatch(line)
            if found is None:
                raise Garbled("a line that is no header")
            name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
            if name in headers and (name in SINGLE or (name == "content-length" and headers[name] != value)):
                raise Garbled(f"two headers {name}")
            headers[name] = f"{headers[name]}, {value}" if name == "connection" and name in headers else value
        self._stays = start[1] == b"1" and "close" not in headers.get("connection", "").lower()
        return int(start[2]), headers

    async def _body(self, status: int, headers: Mapping[str, str]) -> bytes:
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if (length is None) == (coding is None):
            # An end that only the closed connection marks cannot be told from a cut.
            raise Garbled("the length of the answer is not given in exactly one way")
        if length is None:
            if coding is None or coding.lower() != "chunked" or status in WITHOUT_BODY:
                raise Garbled("an unknown transfer coding")
            return await self._chunks()
        if not LENGTH.fullmatch(length) or (status in WITHOUT_BODY and int(length) > 0):
            raise Garbled("a length that is none")
        if int(length) > MOST_RESPONSE:
            raise _too_large()
        return await self._exactly(int(length))

    async def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            found = CHUNK.fullmatch(await self._until(b"\r\n", MOST_CHUNK_LINE))
            if found is None:
                raise Garbled("a chunk without a size")
            size = int(found[1], 16)
            if len(body) + size > MOST_RESPONSE:
                raise _too_large()
            if size == 0:
                break
            body += await self._exactly(size)
            if await self._exactly(2) != b"\r\n":
                raise Garbled("a chunk without an end")
        room = MOST_HEAD
        # Trailers say nothing to anybody.
        while line := await self._until(b"\r\n", room):
            room -= len(line)
        return bytes(body)

    async def _until(self, mark: bytes, most: int) -> bytes:
        """What comes before `mark`, which is passed over; at most so many bytes."""
        while (end := self._left.find(mark, 0, most + len(mark))) < 0:
            if len(self._left) >= most + len(mark):
                raise Garbled(f"a head of more than {most} bytes")
            await self._more()
        found = bytes(self._left[:end])
        del self._left[: end + len(mark)]
        return found

    async def _exactly(self, size: int) -> bytes:
        while len(self._left) < size:
            await self._more()
        found = bytes(self._left[:size])
        del self._left[:size]
        return found

    async def _more(self) -> None:
        data = await self._wire.read()
        if not data:
            raise Garbled("the connection ended before the answer")
        self.heard = True
        self._left += data


def _too_large() -> CallFailed:
    detail = f"the answer is larger than {MOST_RESPONSE} bytes"
    return CallFailed("remote_response_too_large", "answer.too_large", detail, sent=True, heard=True)


def _failure(error: Exception, *, heard: bool, reused: bool) -> CallFailed:
    code, reason, detail = "remote_protocol_error", "answer.cut", f"the answer was cut: {error}"
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        # With TLS 1.3 a server judges our certificate after the handshake has ended for us.
        said = (error.reason or "").replace("_", " ").lower()
        code, reason, detail = "remote_rejected_us", "answer.alert", f"the remote ended TLS: {said}"
    elif isinstance(error, Garbled):
        reason, detail = "answer.garbled", f"no HTTP answer: {error}"
    return CallFailed(code, reason, detail[:200], sent=True, heard=heard, reused=reused)
