"""A client that speaks to an ingress byte by byte: any certificate, any SNI, any bytes, and the answer as it came."""

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from cryptography import x509

ANSWER_SECONDS = 15.0
MOST_ANSWER = 8 * 1024 * 1024
PIECE = 65_536
CRLF = b"\r\n"

Dial = Callable[[], socket.socket]
"""Opens the TCP connection, from the host that the client plays."""


@dataclass(frozen=True)
class Credential:
    """What a client proves itself with, in PEM: the leaf and what stands above it, and the key."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Credential({len(self.chain)} bytes)"


@dataclass(frozen=True)
class Answer:
    """One response. Headers in their order, names as they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that came once; None where it did not. One that came twice fails the test."""
        found = self.all(name)
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:1000]!r}"


class NoAnswer(Exception):
    """The connection ended, or nothing came in time; `got` is what had come."""

    def __init__(self, why: str, got: bytes = b"") -> None:
        super().__init__(f"{why}; before that: {got[:500]!r}")
        self.got = got


@contextlib.contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """A path that holds `data`, and no file: OpenSSL reads keys from paths alone."""
    held = os.memfd_create("credential")
    try:
        with open(held, "wb", closefd=False) as file:  # there is no path
            file.write(data)
        yield f"/proc/self/fd/{held}"
    finally:
        os.close(held)


def client_context(credential: Credential | None) -> ssl.SSLContext:
    """TLS 1.3. Trusts every server: whom the client should trust is a test of the Federator, not of this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Attackers present weak keys, whatever their OpenSSL thinks of them.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if credential is not None:
        with in_memory(credential.chain) as chain, in_memory(credential.key) as key:
            context.load_cert_chain(chain, key)
    return context


class Connection:
    """One TLS connection, kept open: `send` bytes, then `read` one answer, as often as wanted."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, sni: str | None) -> None:
        raw.settimeout(ANSWER_SECONDS)
        self.tls: socket.socket = context.wrap_socket(raw, server_hostname=sni)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.tls.close()

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def ask(self, data: bytes) -> Answer:
        """Send a request of exactly these bytes and read its answer. What a server that has refused already does not
        read any more is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.send(data)
        return self.read()

    def read(self) -> Answer:
        """The next answer, whole. Raises `NoAnswer`."""
        status_line = self.line()
        version, status, *_ = status_line.split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), status_line
        headers = []
        while line := self.line():
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        answer = Answer(int(status), tuple(headers), b"")
        return replace(answer, body=self._body(answer))

    def _body(self, answer: Answer) -> bytes:
        if answer.status in (204, 304):
            return b""
        if answer.header("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.line().partition(b";")[0], 16):
                pieces.append(self.take(size))
                self.line()
            while self.line():
                pass
            return b"".join(pieces)
        if (length := answer.header("Content-Length")) is not None:
            return self.take(int(length))
        return self.rest()

    def is_closed(self, within: float = 5.0) -> bool:
        """Whether the server has ended the connection, without a further byte, in this time."""
        self.tls.settimeout(within)
        try:
            return self._rest == b"" and self.tls.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.tls.settimeout(ANSWER_SECONDS)

    @property
    def server_leaf(self) -> x509.Certificate:
        """The certificate that the server showed."""
        assert isinstance(self.tls, ssl.SSLSocket)
        der = self.tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)

    def take(self, size: int) -> bytes:
        """That many bytes of the answer."""
        while len(self._rest) < size:
            self._more()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def line(self) -> bytes:
        while CRLF not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(CRLF)
        return line

    def rest(self) -> bytes:
        """All that comes until the connection ends."""
        with contextlib.suppress(NoAnswer):
            while True:
                self._more()
        data, self._rest = self._rest, b""
        return data

    def _more(self) -> None:
        try:
            piece = self.tls.recv(PIECE)
        except TimeoutError:
            raise NoAnswer(f"nothing more came within {ANSWER_SECONDS:g} s", self._rest) from None
        except OSError as error:
            raise NoAnswer(f"the connection broke ({error})", self._rest) from None
        if not piece:
            raise NoAnswer("the connection ended", self._rest)
        self._rest += piece
        assert len(self._rest) < MOST_ANSWER


class PlainConnection(Connection):
    """The same without TLS."""

    def __init__(self, raw: socket.socket) -> None:
        raw.settimeout(ANSWER_SECONDS)
        self.tls = raw
        self._rest = b""


def request(
    method: str = "POST",
    path: str = "/federation/directory/get-user-by-handle",
    *,
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
    length: bool = True,
) -> bytes:
    """The bytes of a request: these headers in this order, `Content-Length` after them where `length` is on."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers or [])]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
