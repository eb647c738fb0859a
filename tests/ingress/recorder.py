"""What stands behind an ingress in these tests: a socket that records requests, and one that records refusals."""

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"well":true}'
SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """One request as it came: the request line, all headers in their order, the body."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        found = self.all(name)
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None


class Recorder:
    """Answers every request on a unix socket with `answer`, and keeps what it saw."""

    def __init__(self, path: Path) -> None:
        self.seen: list[Seen] = []
        self.answer = ANSWER
        self.before: Callable[[], object] = lambda: None
        self._connections = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections += 1
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection, self._connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = []
                while (header := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode("latin-1").rstrip("\r\n").partition(": ")
                    headers.append((name, value))
                length = int({name.lower(): value for name, value in headers}.get("content-length", 0))
                body = stream.read(length)
                self.seen.append(Seen(line.decode("latin-1").rstrip("\r\n"), headers, body, number))
                self.before()
                connection.sendall(self.answer)


class Refusals:
    """Receives the datagrams by which the ingress tells what it refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw: queue.Queue[bytes] = queue.Queue()
        self.open()

    def open(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        threading.Thread(target=self._receive, args=(self._socket,), daemon=True).start()

    def close(self) -> None:
        # A blocked reader would keep the socket open: it ends at this word.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", str(self.path))
        self.path.unlink(missing_ok=True)

    def _receive(self, sock: socket.socket) -> None:
        with sock:
            while (datagram := sock.recv(65_536)) != b"end":
                self.raw.put(datagram)

    def next(self) -> bytes:
        return self.raw.get(timeout=SECONDS)

    def empty(self) -> None:
        """Forget what came so far, and what still comes in a moment."""
        time.sleep(0.05)
        while not self.raw.empty():
            self.raw.get_nowait()


def document_of(datagram: bytes) -> Any:
    return json.loads(datagram[datagram.index(b"{") :])
