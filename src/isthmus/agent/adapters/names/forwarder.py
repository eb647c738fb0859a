"""Asks other servers: by UDP, by TCP what was cut off, the next one where the last one failed."""

import asyncio
from collections.abc import Callable, Sequence

import dns.flags
import dns.message
import dns.rcode

from isthmus.agent.adapters.names.cache import Cache, Key
from isthmus.agent.adapters.names.packets import TCP_PAYLOAD, UDP_PAYLOAD, UNREADABLE, Query
from isthmus.domain.addresses import IPAddress

PORT = 53
TRY_SECONDS = 1.5
ALL_SECONDS = 4.0
ANSWERS = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


class Forwarder:
    """`servers` tells whom to ask, at the time of asking."""

    def __init__(self, servers: Callable[[], Sequence[IPAddress]]) -> None:
        self._servers = servers
        self._cache = Cache()
        self._asking: dict[Key, asyncio.Task[dns.message.Message | None]] = {}

    def known(self, query: Query) -> dns.message.Message | None:
        """The answer, if it is in the cache."""
        return self._cache.get(_key(query), asyncio.get_running_loop().time())

    async def ask(self, query: Query) -> dns.message.Message | None:
        """The answer; None when no server gave one in time.

        The same question of several clients is asked once. So a question that comes back to where it started, because
        two servers forward to each other, ends here.
        """
        key = _key(query)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(query, key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()

    async def _ask(self, query: Query, key: Key) -> dns.message.Message | None:
        question = _question(query)
        try:
            async with asyncio.timeout(ALL_SECONDS):
                for server in self._servers():
                    found = await self._try(question, str(server))
                    if found is not None and found.rcode() in ANSWERS:
                        self._cache.put(key, found, asyncio.get_running_loop().time())
                        return found
        except TimeoutError:
            pass
        return None

    async def _try(self, question: dns.message.Message, server: str) -> dns.message.Message | None:
        try:
            async with asyncio.timeout(TRY_SECONDS):
                found = await self._by_udp(question, server)
                return await self._by_tcp(question, server) if found.flags & dns.flags.TC else found
        except (
            OSError,
            TimeoutError,
            asyncio.IncompleteReadError,
            dns.exception.DNSException,
            ValueError,
            LookupError,
        ):
            return None

    async def _by_udp(self, question: dns.message.Message, server: str) -> dns.message.Message:
        # A socket for each question has a port of its own, which a forger would have to guess beside the number.
        transport, waiting = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Waiting(question), remote_addr=(server, PORT)
        )
        try:
            transport.sendto(question.to_wire())
            return await waiting.answer
        finally:
            transport.close()

    async def _by_tcp(self, question: dns.message.Message, server: str) -> dns.message.Message:
        reader, writer = await asyncio.open_connection(server, PORT, limit=TCP_PAYLOAD)
        try:
            writer.write(question.to_wire(prepend_length=True))
            await writer.drain()
            size = int.from_bytes(await reader.readexactly(2), "big")
            found = dns.message.from_wire(await reader.readexactly(size))
        finally:
            writer.close()
        if not question.is_response(found):
            raise ValueError("the server answered another question")
        return found


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the packet that answers; any other that arrives is passed over."""

    def __init__(self, question: dns.message.Message) -> None:
        self._question = question
        self.answer: asyncio.Future[dns.message.Message] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        try:
            found = dns.message.from_wire(data, ignore_trailing=True)
        except UNREADABLE:
            return
        if self._question.is_response(found) and not self.answer.done():
            self.answer.set_result(found)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _question(query: Query) -> dns.message.Message:
    asked = query.message.question[0]
    question = dns.message.make_query(asked.name, asked.rdtype, use_edns=0, payload=UDP_PAYLOAD)
    if query.wants_dnssec:
        question.want_dnssec()
    question.flags |= query.message.flags & (dns.flags.CD | dns.flags.AD)
    return question


def _key(query: Query) -> Key:
    labels = tuple(label.lower() for label in query.name)
    return (labels, query.kind, query.wants_dnssec, query.message.flags & (dns.flags.CD | dns.flags.AD))
