"""The name server's sockets: UDP and TCP on the host's own addresses, open to the tunnel alone."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from isthmus.agent.adapters.names.limits import Places
from isthmus.agent.adapters.names.packets import TCP_PAYLOAD, Query
from isthmus.agent.adapters.names.responder import Responder
from isthmus.agent.adapters.resolver import own_servers
from isthmus.agent.naming import Naming
from isthmus.domain.addresses import IPAddress

log = structlog.get_logger()

PORT = 53
IDLE_SECONDS = 10.0
CONNECTIONS_EACH = 8
CONNECTIONS = 128
# As many answers may wait for other servers as the responder has places, and some that it turns away.
TASKS = 512


@dataclass(frozen=True, slots=True)
class Place:
    """An address of an interface; `index` tells an interface from an earlier one of its name."""

    address: IPAddress
    interface: str
    index: int


@dataclass(slots=True)
class _Open:
    udp: asyncio.DatagramTransport
    tcp: asyncio.Server


@dataclass
class Listeners:
    """Opens and closes sockets as addresses come and go; the names themselves change without that."""

    _responder: Responder | None = None
    _open: dict[Place, _Open] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _connections: Places = field(default_factory=lambda: Places(CONNECTIONS_EACH, CONNECTIONS))

    async def update(self, interface: str, naming: Naming) -> tuple[str, ...]:
        """Answer by `naming` on its servers' addresses, which this host has. Remarks on which it cannot."""
        if self._responder is None:
            self._responder = Responder(naming, own_servers)
        self._responder.naming = naming
        try:
            index = socket.if_nametoindex(interface)
        except OSError as error:
            return (f"names are not answered: {interface}: {error.strerror}",)
        wanted = {Place(address, interface, index) for address in naming.servers}
        for place in self._open.keys() - wanted:
            self._close(place)
        remarks = []
        for place in wanted - self._open.keys():
            try:
                self._open[place] = await self._listen(place, self._responder)
            except OSError as error:
                remarks.append(f"names are not answered on {place.address} port {PORT}: {error.strerror or error}")
        return tuple(sorted(remarks))

    def close(self) -> None:
        for place in list(self._open):
            self._close(place)
        for task in list(self._tasks):
            task.cancel()
        if self._responder is not None:
            self._responder.close()

    def _close(self, place: Place) -> None:
        closing = self._open.pop(place)
        closing.udp.close()
        closing.tcp.close()

    async def _listen(self, place: Place, responder: Responder) -> _Open:
        loop = asyncio.get_running_loop()
        datagrams = _bound(socket.SOCK_DGRAM, place)
        try:
            stream = _bound(socket.SOCK_STREAM, place)
        except OSError:
            datagrams.close()
            raise
        server = await asyncio.start_server(self._accepted, sock=stream, limit=TCP_PAYLOAD)
        udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(responder, self._spawn), sock=datagrams)
        log.debug("answering names", address=str(place.address))
        return _Open(udp, server)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) < TASKS:
            self._keep(asyncio.create_task(work))
        else:
            work.close()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._keep(task)
        client = str(writer.get_extra_info("peername")[0])
        try:
            with self._connections.taken(client) as there_is_room, suppress(OSError, TimeoutError, EOFError):
                if there_is_room and self._responder is not None:
                    await _converse(self._responder, reader, writer, client)
        finally:
            # What is still unsent is for a client that does not read.
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """One packet, one answer. What others have to be asked for is answered by a task."""

    def __init__(self, responder: Responder, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._responder = responder
        self._spawn = spawn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # It is one, though up to Python 3.11 its class does not say so.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        client = str(addr[0])
        if not self._responder.admits(client):
            return
        answer = self._responder.at_once(data, by_tcp=False)
        if isinstance(answer, Query):
            self._spawn(self._forward(answer, client, addr))
        elif answer is not None:
            self._send(answer, addr)

    async def _forward(self, query: Query, client: str, addr: tuple[str | object, int]) -> None:
        self._send(await self._responder.forwarded(query, client, by_tcp=False), addr)

    def _send(self, answer: bytes, addr: tuple[str | object, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(answer, addr)


async def _converse(
    responder: Responder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str
) -> None:
    """Queries one after the other, until the client has none for a while or asks what deserves no answer."""
    while True:
        async with asyncio.timeout(IDLE_SECONDS):
            size = int.from_bytes(await reader.readexactly(2), "big")
            packet = await reader.readexactly(size)
        if not responder.admits(client):
            return
        answer = responder.at_once(packet, by_tcp=True)
        if isinstance(answer, Query):
            answer = await responder.forwarded(answer, client, by_tcp=True)
        if answer is None:
            return
        writer.write(len(answer).to_bytes(2, "big") + answer)
        async with asyncio.timeout(IDLE_SECONDS):
            await writer.drain()


def _bound(kind: socket.SocketKind, place: Place) -> socket.socket:
    family = socket.AF_INET if place.address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Linux takes packets for any of its addresses on any interface: this one must come through the tunnel, or
        # from the host itself.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.interface.encode("ascii"))
        sock.bind((str(place.address), PORT))
    except OSError:
        sock.close()
        raise
    return sock
