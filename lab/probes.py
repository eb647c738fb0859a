"""Packets that are sent all the time, from several hosts at once, and when the last of them got through."""

import contextlib
import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

from lab.host import Host
from lab.waiting import wait_until

INTERVAL_SECONDS = 0.015
IP_FREEBIND = 15  # ip(7); the module socket has no name for it
STALLED_SECONDS = 0.3
"""A TCP connection that has answered nothing for so long is given up for another one."""
UNANSWERED = 30
"""So many in a row that do not get through are no accident, however busy the machine is."""
PIECE = 2048

Protocol = Literal["udp", "tcp"]


@dataclass
class Probe:
    """One stream: from `host`, its address `source` where that is given, to one address and port. The name tells it
    from others, in a failure and inside its packets. Times are those of `time.monotonic`: `sent` at the source,
    `arrived` at the destination, `answered` back at the source."""

    name: str
    host: Host
    address: str
    port: int
    protocol: Protocol = "udp"
    source: str | None = None
    sent: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    @property
    def last(self) -> float:
        """When a packet got through last, in either direction; 0 for never."""
        return max(*self.arrived[-1:], *self.answered[-1:], 0.0)

    def passes(self, *, within: float) -> float:
        """Wait until one that is sent from now on is answered; returns the seconds."""
        now = time.monotonic()
        what = f"{self} to get through"
        wait_until(lambda: any(at > now for at in self.answered[-1:]), within=within, what=what)
        return self.answered[-1] - now

    def stops(self, since: float, *, within: float) -> float:
        """Wait until no more get through; returns the seconds from `since` to the last that did, 0 for none."""
        wait_until(self.is_silent, within=within, what=f"{self} to get through no more")
        return max(0.0, self.last - since)

    def is_silent(self) -> bool:
        """Whether the last ones have all been lost."""
        last = self.last
        return sum(at > last for at in self.sent[-UNANSWERED:]) == UNANSWERED

    def longest_gap(self, since: float = 0.0) -> float:
        """The longest time without an answer, in seconds, from `since` until now."""
        times = [since or self.answered[0], *(at for at in self.answered if at > since), time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(times))

    def __str__(self) -> str:
        return f"{self.protocol} from {self.name} ({self.host.name}) to {self.address} port {self.port}"


class Probes:
    """Sends while the block runs.

    with Probes() as probes:
        probes.echo(wiki.host, wiki.ipv6, 443)
        probe = probes.send("one", one.host, wiki.ipv6, 443, "tcp")
        probe.passes(within=10)
        started = time.monotonic()
        ...  # what ends it
        assert probe.stops(started, within=10) < 1
    """

    def __init__(self) -> None:
        self.all: dict[str, Probe] = {}
        self._senders: list[Datagrams | Bytes] = []
        self._selector = selectors.DefaultSelector()
        self._opened: list[socket.socket] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._selector.close()
        for each in self._opened:
            each.close()

    def echo(self, host: Host, address: str, port: int) -> None:
        """From now on the host answers what comes to this address and port, by UDP and by TCP."""
        datagrams = self.open(host, socket.SOCK_DGRAM, address)
        datagrams.bind((address, port))
        self.watch(datagrams, lambda: self._answer_datagrams(datagrams))
        listener = self.open(host, socket.SOCK_STREAM, address)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
        self.watch(listener, lambda: self._accept(listener))

    def send(self, probe: Probe) -> Probe:
        """From now on its host sends there."""
        self.all[probe.name] = probe
        self._senders.append(Datagrams(self, probe) if probe.protocol == "udp" else Bytes(self, probe))
        return probe

    def open(self, host: Host, kind: int, address: str, source: str | None = None) -> socket.socket:
        """A socket of a host for packets to or at an address, which may be one that no interface has yet."""
        made = host.open_socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        made.setblocking(False)
        # An address that an agent has just put there counts at once, whatever the kernel still checks.
        made.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        if source is not None:
            made.bind((source, 0))
        self._opened.append(made)
        return made

    def watch(self, sock: socket.socket, ready: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, ready)

    def drop(self, sock: socket.socket) -> None:
        """Close it at once, without the packets of a farewell."""
        if sock not in self._opened:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        self._opened.remove(sock)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            for sender in [*self._senders]:
                sender.tick()
            due = max(due + INTERVAL_SECONDS, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                for key, _ in self._selector.select(left):
                    key.data()

    def _answer_datagrams(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data, source = sock.recvfrom(PIECE)
            self._note(data)
            sock.sendto(data, source)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            self._opened.append(accepted)
            self.watch(accepted, lambda: self._answer_bytes(accepted))

    def _answer_bytes(self, sock: socket.socket) -> None:
        try:
            if data := sock.recv(PIECE):
                self._note(data)
                sock.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.drop(sock)

    def _note(self, data: bytes) -> None:
        for name in {*data.decode(errors="replace").split("\n")} & self.all.keys():
            self.all[name].arrived.append(time.monotonic())


class Datagrams:
    """Sends one datagram with the probe's name at each tick."""

    def __init__(self, probes: Probes, probe: Probe) -> None:
        self.probe = probe
        self._socket = probes.open(probe.host, socket.SOCK_DGRAM, probe.address, probe.source)
        probes.watch(self._socket, self._read)

    def tick(self) -> None:
        # A host without a route, or one that was told to go away, has sent nothing: it counts as lost.
        with contextlib.suppress(OSError):
            self._socket.sendto(f"{self.probe.name}\n".encode(), (self.probe.address, self.probe.port))
        self.probe.sent.append(time.monotonic())

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.recv(PIECE)
            self.probe.answered.append(time.monotonic())


class Bytes:
    """Sends the probe's name over one connection at each tick, and connects anew where that is answered no more."""

    def __init__(self, probes: Probes, probe: Probe) -> None:
        self.probe = probe
        self.connections = 0
        self._probes = probes
        self._socket: socket.socket | None = None
        self._since = 0.0

    def tick(self) -> None:
        now = time.monotonic()
        if now - max(self._since, *self.probe.answered[-1:], 0.0) > STALLED_SECONDS:
            self._connect(now)
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(f"{self.probe.name}\n".encode())
        self.probe.sent.append(now)

    def _connect(self, now: float) -> None:
        if self._socket is not None:
            self._probes.drop(self._socket)
        self._since = now
        self.connections += 1
        self._socket = self._probes.open(self.probe.host, socket.SOCK_STREAM, self.probe.address, self.probe.source)
        self._socket.connect_ex((self.probe.address, self.probe.port))
        self._probes.watch(self._socket, self._read)

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            if self._socket.recv(PIECE):
                self.probe.answered.append(time.monotonic())
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._probes.drop(self._socket)
        self._socket = None
