"""A DNS server that says what a script tells it, lies included, and remembers every question.

In a process: `async with NamesServer(script) as server`. On a lab host: `python -m lab.names_server LISTEN SCRIPT LOG`,
where SCRIPT is a JSON file that is read again whenever it is another one, and LOG gets a line for each question.
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

How = Literal["answer", "silence", "wrong-id", "wrong-question", "truncated", "truncated-no-tcp", "garbage"]
NEGATIVE_TTL = 60
LONGEST_LINE = 300
MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class Reply:
    """What one question gets. `records` are lines such as `60 SRV 0 0 8443 infra.b.example.`, owned by the name asked
    for, or `name. 60 A 192.0.2.1`, owned by another. `negative_ttl` is the life of an answer without records."""

    records: Sequence[str] = ()
    rcode: str = "NOERROR"
    how: How = "answer"
    authenticated: bool = False
    delay: float = 0.0
    negative_ttl: int = NEGATIVE_TTL


Script = Mapping[str, Sequence[Reply]]
"""`"infra.b.example A"` → what the first question gets, the second, …; the last reply goes on for ever. A name of the
script that is asked for another type exists and has no such records; any other name does not exist."""

NO_SUCH_NAME = Reply(rcode="NXDOMAIN")


def answers(*records: str, **rest: Any) -> list[Reply]:
    """The same records for every question."""
    return [Reply(records, **rest)]


@dataclass(frozen=True)
class Question:
    """One question as it came."""

    name: str
    kind: str
    transport: Literal["udp", "tcp"]
    source: str = ""


@dataclass
class NamesServer:
    """Listens on UDP and TCP at one address and port; port 0 picks a free one."""

    script: dict[str, list[Reply]] = field(default_factory=dict)
    address: str = "127.0.0.1"
    port: int = 0
    questions: list[Question] = field(default_factory=list)
    _turns: dict[str, int] = field(default_factory=dict)
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def where(self) -> str:
        """As settings name a resolver."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def say(self, question: str, *replies: Reply) -> None:
        """From now on `question` (`"infra.b.example A"`) gets these replies, one after the other."""
        self.script[question.lower()] = list(replies)
        self._turns.pop(question.lower(), None)

    def asked(self, question: str) -> int:
        """How often `question` has come."""
        name, _, kind = question.partition(" ")
        return sum((asked.name, asked.kind) == (name, kind) for asked in self.questions)

    async def __aenter__(self) -> Self:
        self.script = {question.lower(): list(replies) for question, replies in self.script.items()}
        stream, datagrams = self._bound()
        self.port = stream.getsockname()[1]
        self._tcp = await asyncio.start_server(self._serve, sock=stream)
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=datagrams)
        return self

    def _bound(self) -> tuple[socket.socket, socket.socket]:
        """Sockets for TCP and UDP with one port. Raises `OSError`, with nothing left open."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        # What is free for TCP may be taken for UDP; where nobody wants a certain port there are others.
        attempts = 1 if self.port else MOST_ATTEMPTS
        while True:
            stream = socket.create_server((self.address, self.port), family=family)
            datagrams = socket.socket(family, socket.SOCK_DGRAM)
            try:
                datagrams.bind((self.address, stream.getsockname()[1]))
            except OSError:
                stream.close()
                datagrams.close()
                attempts -= 1
                if not attempts:
                    raise
            else:
                return stream, datagrams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._udp.close()
        self._tcp.close()
        for task in list(self._waiting):
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    def spawn(self, data: bytes, transport: asyncio.DatagramTransport, source: Any) -> None:
        task = asyncio.create_task(self._by_datagram(data, transport, source))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _by_datagram(self, data: bytes, transport: asyncio.DatagramTransport, source: Any) -> None:
        if (wire := await self._reply(data, "udp", source[0])) is not None and not transport.is_closing():
            transport.sendto(wire, source)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            size = int.from_bytes(await reader.readexactly(2), "big")
            source = writer.get_extra_info("peername")[0]
            wire = await self._reply(await reader.readexactly(size), "tcp", source)
            if wire is not None:
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        writer.close()

    async def _reply(self, data: bytes, transport: Literal["udp", "tcp"], source: str) -> bytes | None:
        try:
            query = dns.message.from_wire(data)
            asked = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        name = asked.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(asked.rdtype)
        self.questions.append(Question(name, kind, transport, source))
        reply = self._turn(name, kind, transport)
        await asyncio.sleep(reply.delay)
        return _wire(query, reply, transport)

    def _turn(self, name: str, kind: str, transport: str) -> Reply:
        question = f"{name} {kind}".lower()
        replies = self.script.get(question)
        if not replies:
            exists = any(known.startswith(f"{name} ") for known in self.script)
            return Reply() if exists else NO_SUCH_NAME
        turn = self._turns.get(question, 0)
        reply = replies[min(turn, len(replies) - 1)]
        # What is asked again over TCP is the same turn.
        if transport == "tcp" or not reply.how.startswith("truncated"):
            self._turns[question] = turn + 1
        return reply


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NamesServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._server.spawn(data, self._transport, addr)


def _wire(query: dns.message.Message, reply: Reply, transport: str) -> bytes | None:
    if reply.how == "silence" or (reply.how == "truncated-no-tcp" and transport == "tcp"):
        return None
    if reply.how == "garbage":
        return b"\x00" * 7
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.from_text(reply.rcode))
    if reply.authenticated:
        response.flags |= dns.flags.AD
    _fill(response, query.question[0].name, reply)
    if reply.how == "wrong-id":
        response.id = (query.id + 1) % 65536
    if reply.how == "wrong-question":
        response.question[0] = dns.rrset.RRset(dns.name.from_text("other.example."), *_class_and_kind(query))
    if reply.how.startswith("truncated") and transport == "udp":
        response.answer.clear()
        response.flags |= dns.flags.TC
    return response.to_wire(max_size=65535)


def _class_and_kind(query: dns.message.Message) -> tuple[dns.rdataclass.RdataClass, dns.rdatatype.RdataType]:
    return query.question[0].rdclass, query.question[0].rdtype


def _fill(response: dns.message.Message, asked: dns.name.Name, reply: Reply) -> None:
    for line in reply.records:
        first, *rest = line.split(maxsplit=1)
        owner, text = (asked, line) if first.isdigit() else (dns.name.from_text(first), rest[0])
        ttl, kind, data = text.split(maxsplit=2)
        found = dns.rrset.from_text(owner, int(ttl), "IN", kind, data)
        # Not joined with a set of the same name that has another life: a lying server does not tidy up.
        same = [known for known in response.answer if (known.name, known.rdtype) == (found.name, found.rdtype)]
        if same:
            same[0].add(found[0], found.ttl)
        else:
            response.answer.append(found)
    if not reply.records and reply.rcode in ("NOERROR", "NXDOMAIN"):
        zone = asked.parent() if asked != dns.name.root else asked
        data = f"ns.example. admin.example. 1 3600 600 86400 {reply.negative_ttl}"
        response.authority.append(dns.rrset.from_text(zone, reply.negative_ttl, "IN", "SOA", data))


def read_script(path: Path) -> dict[str, list[Reply]]:
    """`{"infra.b.example A": [{"records": ["60 A 192.0.2.1"]}, …], …}`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return {question: [Reply(**reply) for reply in replies] for question, replies in content.items()}


@dataclass
class Follower:
    """Keeps a server to what a script file says, and writes down the questions. `script TIME` in the log says that from
    there on the script of that time of change is spoken."""

    server: NamesServer
    script: Path
    log: Path
    _seen: int = 0
    _told: int = 0

    async def follow(self) -> None:
        """Look thirty times a second, until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(0.03)

    def _look(self) -> None:
        changed = self.script.stat().st_mtime_ns
        new = self.server.questions[self._told :]
        if changed == self._seen and not new:
            return
        lines = [f"{each.transport} {each.source} {each.kind} {each.name}"[:LONGEST_LINE] for each in new]
        self._told += len(new)
        if changed != self._seen:
            self._seen = changed
            script = read_script(self.script)
            self.server.script = {question.lower(): replies for question, replies in script.items()}
            self.server._turns.clear()
            lines.append(f"script {changed}")
        with self.log.open("a", encoding="utf-8") as log:
            log.write("".join(f"{line}\n" for line in lines))


async def main(listen: str, script: str, log: str) -> None:
    """Serve on `listen` (an address, port 53) what the file `script` says."""
    address = str(ip_address(listen))
    async with NamesServer(read_script(Path(script)), address, 53) as server:
        print(f"names_server: listening on {server.where}", flush=True)
        await Follower(server, Path(script), Path(log)).follow()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
