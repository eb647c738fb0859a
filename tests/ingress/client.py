"""A TLS client that sends bytes as they are given to it, right or wrong."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.ingress.authority import Pair

SECONDS = 15.0
INFRA = "infra.b.example"
PATH = "/federation/directory/get-user-by-handle"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


def context_of(pair: Pair | None, versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair.chain, pair.key)
    if versions is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = versions
    return context


@dataclass
class Client:
    """`pair` None goes without a certificate, `name` None without SNI."""

    port: int
    pair: Pair | None
    name: str | None = INFRA
    address: str = "127.0.0.1"
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None

    @contextlib.contextmanager
    def connected(self, session: ssl.SSLSession | None = None) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection((self.address, self.port), timeout=SECONDS) as plain,
            context_of(self.pair, self.versions).wrap_socket(
                plain, server_hostname=self.name, session=session
            ) as secured,
        ):
            yield secured

    def send(self, raw: bytes) -> Answer:
        with self.connected() as connection:
            connection.sendall(raw)
            return read_answer(connection)

    def post(self, path: str = PATH, *headers: tuple[str, str], body: bytes = b"{}", method: str = "POST") -> Answer:
        return self.send(request(path, *headers, body=body, method=method))


def request(
    path: str = PATH,
    *headers: tuple[str, str],
    body: bytes = b"{}",
    method: str = "POST",
    host: str = INFRA,
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_answer(connection: socket.socket) -> Answer:
    stream = connection.makefile("rb")
    status_line = stream.readline()
    assert status_line, "the connection was closed without an answer"
    headers = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").rstrip("\r\n").partition(": ")
        headers.append((name, value))
    lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
    chunked = any(name.lower() == "transfer-encoding" for name, _ in headers)
    body = _chunks(stream) if chunked else stream.read(lengths[0]) if lengths else stream.read()
    return Answer(int(status_line.split()[1]), headers, body)


def _chunks(stream: Any) -> bytes:
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    return body
