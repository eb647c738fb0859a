"""What went over a unix socket of a backend: a box in the way that passes on every byte and writes down the requests.

A socket's file is moved aside and another one listens in its place, so no process knows of it. A connection that was
open before is not seen: put the boxes in place before the first call, or restart who keeps connections.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.waiting import wait_until

PIECE = 65_536
PLACE_SECONDS = 20.0
REAL = ".real"


@dataclass(frozen=True)
class Seen:
    """One request as it passed. Headers in their order, names as they came; `connection` counts from 1."""

    connection: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The value of a header that came once; None where it did not. One that came twice is an AssertionError."""
        found = self.all(name)
        if len(found) > 1:
            raise AssertionError(f"{name} came {len(found)} times")
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        """Of the headers, in lower case."""
        return {name.lower() for name, _ in self.headers}


@dataclass
class Parser:
    """Requests out of a stream of bytes. What is no HTTP stays in `rest`, and is read by nobody."""

    connection: int
    rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[Seen]:
        self.rest += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> Seen | None:
        head, blank, rest = self.rest.partition(b"\r\n\r\n")
        if not blank:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, target = first.partition(" ")
        pairs = [line.partition(":") for line in lines]
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        lower = {name.lower(): value for name, value in headers}
        if lower.get("transfer-encoding", "").lower() == "chunked":
            taken = _chunks(rest)
            if taken is None:
                return None
            body, self.rest = taken
        else:
            length = int(lower.get("content-length", "0"))
            if len(rest) < length:
                return None
            body, self.rest = rest[:length], rest[length:]
        return Seen(self.connection, method, target.rpartition(" ")[0], headers, body)


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """The body that chunks make, and what follows it; None where it is not all there yet."""
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        size = int(line.partition(b";")[0], 16)
        if len(data) < size + 2:
            return None
        body += data[:size]
        data = data[size + 2 :]
        if size == 0:
            return body, data


@dataclass
class Recorder:
    """One socket of one backend. `seen` are the requests, oldest first; `answers` the bytes that came back, all in one.

    Paths are those of the test's own view, such as `host.path("/var/lib/isthmus/run/inward.sock")`.
    """

    name: str
    path: Path
    seen: list[Seen] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)
    rewrites: Callable[[bytes], bytes] | None = None
    """Where set, what it makes of a piece of an answer goes back instead."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._inode = 0
        self._connections = 0
        self._open: set[socket.socket] = set()

    def place(self) -> None:
        """Wait for the socket and get in its way. Once more, after its owner was started again and made a new one."""
        self.remove()
        wait_until(self.path.is_socket, within=PLACE_SECONDS, what=f"the socket {self.path.name}")
        mode = self.path.stat().st_mode
        self.path.rename(self.real)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        self.path.chmod(mode & 0o777)
        self._inode = self.path.stat().st_ino
        listener.listen(256)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True, name=f"recorder of {self.name}").start()

    @property
    def real(self) -> Path:
        """The socket itself, past the box."""
        return self.path.with_name(self.path.name + REAL)

    def remove(self) -> None:
        """Out of the way; connections that pass through here end."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self._lock:
            ended = list(self._open)
        for each in ended:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self._open.intersection(ended), within=PLACE_SECONDS, what="the end of its connections")
        if self.path.exists() and self.path.stat().st_ino != self._inode:
            # Who was started again has put a socket of its own there.
            self.real.unlink(missing_ok=True)
        elif self.real.exists():
            self.real.rename(self.path)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self.real))
            except OSError:
                near.close()
                far.close()
                continue
            with self._lock:
                self._connections += 1
                number = self._connections
                self._open |= {near, far}
            threading.Thread(target=self._up, args=(number, near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(number, far, near), daemon=True).start()

    def _up(self, number: int, near: socket.socket, far: socket.socket) -> None:
        parser = Parser(number)
        for piece in _pieces(near):
            with self._lock:
                self.seen.extend(parser.feed(piece))
            if not _passed(far, piece):
                break
        _end(far)

    def _down(self, number: int, far: socket.socket, near: socket.socket) -> None:
        for piece in _pieces(far):
            with self._lock:
                self.answers[number] = self.answers.get(number, b"") + piece
            rewrites = self.rewrites
            if not _passed(near, piece if rewrites is None else rewrites(piece)):
                break
        _end(near)
        near.close()
        far.close()
        with self._lock:
            self._open -= {near, far}

    def count(self) -> int:
        with self._lock:
            return len(self.seen)

    def since(self, count: int) -> Sequence[Seen]:
        """The requests after the first `count`."""
        with self._lock:
            return self.seen[count:]

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[Seen]]:
        """A list that holds, once the block has ended, the requests that came while it ran."""
        before = self.count()
        found: list[Seen] = []
        yield found
        found += self.since(before)


def _pieces(source: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            piece = source.recv(PIECE)
        except OSError:
            return
        if not piece:
            return
        yield piece


def _passed(sink: socket.socket, piece: bytes) -> bool:
    try:
        sink.sendall(piece)
    except OSError:
        return False
    return True


def _end(sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
