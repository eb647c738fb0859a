"""A client and a scripted server of DNS, for tests. Packets are made and read by dnspython, as a resolver would."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.message

ANSWER_SECONDS = 8.0


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes], bytes | None]) -> None:
        self._received = received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = self._received(data)
        if answer is not None:
            self._transport.sendto(answer, addr)


@dataclass
class Upstream:
    """Answers with what `script` gives, which is told whether it is asked by TCP; None is silence."""

    script: Callable[[dns.message.Message, bool], dns.message.Message | bytes | None]
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[None]:
        """It runs while the block does."""
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(lambda data: self._answer(data, by_tcp=False)), local_addr=(address, 53)
        )
        server = await asyncio.start_server(self._accepted, address, 53)
        try:
            yield
        finally:
            transport.close()
            server.close()

    def _answer(self, packet: bytes, *, by_tcp: bool) -> bytes | None:
        query = dns.message.from_wire(packet)
        self.asked.append(f"{query.question[0].name} {'tcp' if by_tcp else 'udp'}")
        answer = self.script(query, by_tcp)
        return answer.to_wire(max_size=65_535) if isinstance(answer, dns.message.Message) else answer

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = self._answer(packet, by_tcp=True)
        if answer is not None:
            writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()


async def by_udp(server: str, packet: bytes, source: str | None = None, patience: float = ANSWER_SECONDS) -> bytes:
    """The first packet that comes back; `TimeoutError` if none does."""
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def keep(data: bytes) -> None:
        if not arrived.done():
            arrived.set_result(data)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(keep), remote_addr=(server, 53), local_addr=(source, 0) if source else None
    )
    try:
        transport.sendto(packet)
        async with asyncio.timeout(patience):
            return await arrived
    finally:
        transport.close()


async def by_tcp(server: str, *packets: bytes, source: str | None = None) -> list[bytes]:
    """What comes back for each packet on one connection; fewer when the server hangs up."""
    answers: list[bytes] = []
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(server, 53, local_addr=(source, 0) if source else None)
        try:
            for packet in packets:
                writer.write(len(packet).to_bytes(2, "big") + packet)
            while len(answers) < len(packets):
                answers.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
    return answers


async def ask(
    server: str, name: str, kind: str = "A", *, tcp: bool = False, source: str | None = None
) -> dns.message.Message:
    """The answer of `server` to a client as there are many today."""
    return await sent(server, dns.message.make_query(name, kind, use_edns=0, payload=1232), tcp=tcp, source=source)


async def sent(
    server: str, query: dns.message.Message, *, tcp: bool = False, source: str | None = None
) -> dns.message.Message:
    """The answer to a query; one to another query fails the test."""
    packet = query.to_wire()
    answer = (await by_tcp(server, packet, source=source))[0] if tcp else await by_udp(server, packet, source)
    found = dns.message.from_wire(answer)
    assert query.is_response(found)
    return found
