"""One request and its one answer over HTTP/1.1, by h11, with what h11 forgives refused."""

import ssl
from collections.abc import Mapping

import h11

from isthmus.federator.adapters.wire import Wire
from isthmus.federator.calling import CallFailed, Reply
from isthmus.protocol.federation import MOST_RESPONSE

MOST_HEAD = 16 * 1024
MOST_HINTS = 4
SINGLE = frozenset({b"content-type", b"content-encoding", b"retry-after", b"x-request-id", b"date"})


class Http:
    """HTTP on one wire, one exchange after the other."""

    def __init__(self, wire: Wire, authority: str) -> None:
        self._wire = wire
        self._authority = authority
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        self.exchanges = 0

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        idle = self._http.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE}
        return idle and not self._http.trailing_data[0] and self._wire.is_usable

    async def exchange(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """POST `body` to `path` and read the answer. After `CallFailed` or a cancellation the wire is closed."""
        reused, self.exchanges = self.exchanges > 0, self.exchanges + 1
        reading = _Reading(self._http)
        self._wire.resting = False
        try:
            self._send(path, headers, body)
            reply = await self._answer(reading)
        except (h11.RemoteProtocolError, OSError, EOFError) as error:
            self._wire.abort()
            raise _failure(error, heard=reading.heard, reused=reused) from None
        except BaseException:
            self._wire.abort()
            raise
        self._finish()
        return reply

    def close(self) -> None:
        self._wire.close()

    def abort(self) -> None:
        self._wire.abort()

    def _send(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        lines = [("Host", self._authority), *headers.items(), ("Content-Length", str(len(body)))]
        request = h11.Request(method="POST", target=path, headers=lines)
        parts = [self._http.send(request), self._http.send(h11.Data(data=body)), self._http.send(h11.EndOfMessage())]
        self._wire.write(b"".join(part for part in parts if part))

    async def _answer(self, reading: "_Reading") -> Reply:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._wire.read()
                reading.heard = reading.heard or bool(data)
                self._http.receive_data(data)
                continue
            if reply := reading.take(event):
                return reply

    def _finish(self) -> None:
        self._wire.resting = True
        if self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} and not self._http.trailing_data[0]:
            self._http.start_next_cycle()
        else:
            self._wire.close()


class _Reading:
    """What has come of one answer."""

    def __init__(self, http: h11.Connection) -> None:
        self._http = http
        self._hints = 0
        self._head: h11.Response | None = None
        self._headers: Mapping[str, str] = {}
        self._body = bytearray()
        self.heard = False

    def take(self, event: object) -> Reply | None:
        """The reply, once it is whole. Raises `h11.RemoteProtocolError` and `CallFailed`."""
        if isinstance(event, h11.InformationalResponse):
            self._hints += 1
            if self._hints > MOST_HINTS or event.status_code == 101:
                raise h11.RemoteProtocolError("too many or unasked informational answers")
        elif isinstance(event, h11.Response):
            self._head, self._headers = event, _checked(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > MOST_RESPONSE:
                raise _too_large()
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            return Reply(self._head.status_code, self._headers, bytes(self._body))
        elif not isinstance(event, h11.EndOfMessage):
            raise h11.RemoteProtocolError("the connection ended before the answer")
        return None


def _checked(head: h11.Response) -> Mapping[str, str]:
    """The headers, those that must be single once. Raises for framing that two readers could read in two ways."""
    found: dict[bytes, bytes] = {}
    for name, value in head.headers:
        if name in found and name in SINGLE:
            raise h11.RemoteProtocolError(f"two headers {name.decode()}")
        found[name] = value
    length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
    if (length is None) == (coding is None):
        # An end that only the closed connection marks cannot be told from a cut.
        raise h11.RemoteProtocolError("the length of the answer is not given in exactly one way")
    if length is not None and int(length) > MOST_RESPONSE:
        raise _too_large()
    return {name.decode("ascii"): value.decode("latin-1") for name, value in found.items()}


def _too_large() -> CallFailed:
    detail = f"the answer is larger than {MOST_RESPONSE} bytes"
    return CallFailed("remote_response_too_large", "answer.too_large", detail, sent=True, heard=True)


def _failure(error: Exception, *, heard: bool, reused: bool) -> CallFailed:
    code, reason, detail = "remote_protocol_error", "answer.cut", f"the answer was cut: {error}"
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        # With TLS 1.3 a server judges our certificate after the handshake has ended for us.
        said = (error.reason or "").replace("_", " ").lower()
        code, reason, detail = "remote_rejected_us", "answer.alert", f"the remote ended TLS: {said}"
    elif isinstance(error, h11.RemoteProtocolError):
        reason, detail = "answer.garbled", f"no HTTP answer: {error}"
    return CallFailed(code, reason, detail[:200], sent=True, heard=heard, reused=reused)
