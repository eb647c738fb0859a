"""DNS by dnspython: UDP, TCP where an answer is cut short, absolute names, one deadline over all resolvers."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
from dns.message import QueryMessage
from dns.rdatatype import RdataType

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.discovery import NO_SERVICE, Record
from isthmus.federator.resolving import LOOKUP_SECONDS, Answer, LookupFailed, Server, Tlsa, parse_server

RESOLV_CONF = Path("/etc/resolv.conf")
TRY_SECONDS = 1.0
# Fits every path without fragments, which a forger could replace (DNS flag day 2020).
PAYLOAD = 1232
# The resolver knows for certain that it cannot or will not tell.
FINAL = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


class ResolvConf:
    """The resolvers that a `resolv.conf` names, read again whenever the file is another one."""

    def __init__(self, path: Path = RESOLV_CONF, *, trusted: bool = False) -> None:
        self._path, self._trusted = path, trusted
        self._seen: tuple[int, int, int] | None = None
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> Sequence[Server]:
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._servers = _named(self._path.read_text(encoding="latin-1"), trusted=self._trusted)
                self._seen = seen
        except OSError as error:
            raise LookupFailed(f"{self._path} cannot be read: {error.strerror}") from error
        return self._servers


def _named(text: str, *, trusted: bool) -> tuple[Server, ...]:
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            servers.append(parse_server(words[1], trusted=trusted))
        except ValueError:
            continue
    return tuple(servers[:3])


class Fixed:
    """Resolvers that the settings name."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = tuple(servers)

    def __call__(self) -> Sequence[Server]:
        return self._servers


class DnsResolver:
    """`isthmus.federator.resolving.Resolver` over the network."""

    def __init__(self, servers: "ResolvConf | Fixed | None" = None) -> None:
        self._servers = servers or ResolvConf()

    async def services(self, name: str) -> Answer[Record]:
        found = await self._ask(name, RdataType.SRV)
        return _answer(found, [_record(data) for data in found.data])

    async def addresses(self, host: str) -> Answer[IPAddress]:
        answers = await asyncio.gather(
            self._ask(host, RdataType.A), self._ask(host, RdataType.AAAA), return_exceptions=True
        )
        found = [answer for answer in answers if isinstance(answer, _Found)]
        for answer in answers:
            if isinstance(answer, BaseException) and (not isinstance(answer, LookupFailed) or not _any_data(found)):
                raise answer
        return Answer(
            tuple(ip_address(data.address) for answer in found for data in answer.data),
            min((answer.ttl for answer in found if answer.data), default=0.0),
            all(answer.authenticated for answer in found if answer.data or not _any_data(found)),
            any(answer.alias for answer in found),
        )

    async def associations(self, name: str) -> Answer[Tlsa]:
        found = await self._ask(name, RdataType.TLSA)
        return _answer(found, [Tlsa(data.usage, data.selector, data.mtype, data.cert) for data in found.data])

    async def _ask(self, name: str, kind: RdataType) -> "_Found":
        query = dns.message.make_query(dns.name.from_text(name + "."), kind, use_edns=0, payload=PAYLOAD)
        # Asks to be told whether the answer was validated, without the signatures (RFC 6840, 5.7).
        query.flags |= dns.flags.AD
        servers = self._servers()
        if not servers:
            raise LookupFailed("no resolver is configured")
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await _first_answer(query, servers)
        except TimeoutError:
            raise LookupFailed(f"no resolver answered within {LOOKUP_SECONDS:g} s") from None


@dataclass(frozen=True, slots=True)
class _Found:
    data: tuple[Any, ...]
    ttl: float
    authenticated: bool
    alias: bool


def _any_data(found: Sequence[_Found]) -> bool:
    return any(answer.data for answer in found)


def _answer(found: _Found, items: Sequence[Any]) -> Answer[Any]:
    return Answer(tuple(items), found.ttl, found.authenticated, found.alias)


def _record(data: Any) -> Record:
    target = data.target.to_text(omit_final_dot=True).lower()
    return Record(data.priority, data.weight, data.port, target if target != "@" else NO_SERVICE)


async def _first_answer(query: QueryMessage, servers: Sequence[Server]) -> _Found:
    """Ask one after the other, round and round, those that say nothing; who says that it cannot tell is asked once."""
    refused: dict[Server, str] = {}
    for server in itertools.cycle(servers):
        if server in refused:
            continue
        try:
            response = await _exchange(query, server)
            if response.rcode() in FINAL:
                return _read(response, server)
            refused[server] = f"answered {dns.rcode.to_text(response.rcode())}"
        except (TimeoutError, dns.exception.Timeout):
            continue
        except (dns.exception.DNSException, OSError, EOFError) as error:
            refused[server] = str(error) or type(error).__name__
        if len(refused) == len(set(servers)):
            break
    told = "; ".join(f"{server.address} {text}" for server, text in refused.items())
    raise LookupFailed(told[:300])


async def _exchange(query: QueryMessage, server: Server) -> QueryMessage:
    where = str(server.address)
    try:
        # What has another id, question or source than was asked for is passed over: the true answer may follow.
        response = await dns.asyncquery.udp(
            query, where, TRY_SECONDS, server.port, ignore_unexpected=True, ignore_errors=True, raise_on_truncation=True
        )
    except dns.message.Truncated:
        response = await dns.asyncquery.tcp(query, where, TRY_SECONDS, server.port)
    if not isinstance(response, QueryMessage):
        raise dns.query.BadResponse
    return response


def _read(response: QueryMessage, server: Server) -> _Found:
    result = response.resolve_chaining()
    answer = tuple(result.answer) if result.answer is not None else ()
    vouched = server.vouches and bool(response.flags & dns.flags.AD)
    return _Found(answer, float(result.minimum_ttl), vouched, bool(result.cnames))
