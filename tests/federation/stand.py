"""Remotes that are no Isthmus: a TLS server on a host of the lab that answers, or misbehaves, as a test says."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from lab.host import Host
from lab.recording import Parser, Seen
from tests.federation.tapping import pieces
from tests.federation.wire import ANSWER_SECONDS, in_memory
from tests.x509.forge import Forged

VERSIONS = "/federation/heartbeat/get-versions"
BEAT = "/federation/heartbeat/beat"
PROFILE = {"handle": "alice"}

Answers = Callable[[Seen], bytes | None]
"""What is written back; None ends the connection without a word."""


def an_answer(body: bytes, *, status: int = 200, kind: str = "application/json", length: int | None = None) -> bytes:
    """A whole answer, or with a greater `length` one that is cut."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} So\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body


def in_json(value: Any) -> bytes:
    return an_answer(json.dumps(value).encode())


def a_problem(status: int, code: str, **members: Any) -> bytes:
    body = {"type": f"urn:isthmus:problem:{code}", "status": status, "code": code, **members}
    return an_answer(json.dumps(body).encode(), status=status, kind="application/problem+json")


@dataclass
class Stand:
    """Serves at one port of `host` while the block runs. It shows `leaf`, which may be changed in between, and takes
    certificates of `clients` alone. `versions` None knows no such question; where it `hangs_up`, the connection ends
    after an answer.

    `connections` counts what came, `handshakes` what ended well, `received` the bytes inside TLS; `asked` are requests
    but for those about versions and heartbeats.
    """

    host: Host
    port: int
    leaf: Forged
    clients: Forged
    answer: Answers = lambda seen: in_json(PROFILE)
    versions: list[int] | None = field(default_factory=lambda: [0])
    hangs_up: bool = False
    connections: int = 0
    handshakes: int = 0
    received: int = 0
    asked: list[Seen] = field(default_factory=list)
    about_versions: int = 0

    def __enter__(self) -> Self:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self.host.open_socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((str(self.host.ipv4), self.port))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *ignored: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with in_memory(self.leaf.pem) as chain, in_memory(self.leaf.key_pem) as key:
            context.load_cert_chain(chain, key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.clients.pem.decode())
        context.num_tickets = 0
        return context

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(raw)
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(ANSWER_SECONDS)
        with contextlib.suppress(OSError), raw, self._context().wrap_socket(raw, server_side=True) as near:
            with self._lock:
                self.handshakes += 1
                self._open.add(near)
            self._converse(near)

    def _converse(self, near: ssl.SSLSocket) -> None:
        parser = Parser(self.handshakes)
        for piece in pieces(near):
            with self._lock:
                self.received += len(piece)
            for seen in parser.feed(piece):
                reply = self._reply(seen)
                if reply is None:
                    return
                near.sendall(reply)
                if self.hangs_up and seen in self.asked:
                    return

    def _reply(self, seen: Seen) -> bytes | None:
        if seen.path == VERSIONS:
            self.about_versions += 1
            return a_problem(404, "route_not_found") if self.versions is None else in_json({"versions": self.versions})
        if seen.path == BEAT:
            return a_problem(404, "route_not_found")
        with self._lock:
            self.asked.append(seen)
        return self.answer(seen)
