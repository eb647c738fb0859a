"""From a query to its answer: out of the zone, out of the cache, or from another server."""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence

import dns.flags
import dns.rcode

from isthmus.agent.adapters.names import packets
from isthmus.agent.adapters.names.forwarder import Forwarder
from isthmus.agent.adapters.names.limits import Places, Rates
from isthmus.agent.adapters.names.packets import Query
from isthmus.agent.naming import Naming
from isthmus.domain.addresses import IPAddress
from isthmus.domain.mesh.dns import Kind

FORWARDED_EACH = 32
FORWARDED = 256


class Responder:
    """Answers the members of one network, and nobody else. `host_servers` are those that the host itself asks."""

    def __init__(self, naming: Naming, host_servers: Callable[[], Sequence[IPAddress]]) -> None:
        self.naming = naming
        self._host_servers = host_servers
        self._rates = Rates()
        self._places = Places(FORWARDED_EACH, FORWARDED)
        self._forwarder = Forwarder(self._upstreams)

    def close(self) -> None:
        self._forwarder.close()

    def admits(self, client: str) -> bool:
        """Whether a query of this address is heard: it is one of the network's, and has not asked too often."""
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        if not any(address in cidr for cidr in self.naming.cidrs):
            return False
        return self._rates.admits(client, asyncio.get_running_loop().time())

    def at_once(self, packet: bytes, *, by_tcp: bool) -> Query | bytes | None:
        """The answer, where it is known; the query, where others have to be asked; None where none is due."""
        query = packets.read(packet)
        if not isinstance(query, Query):
            return query
        zone = self.naming.zone
        answer = None if zone is None else zone.answer(query.name, query.kind)
        if zone is not None and answer is not None:
            return packets.packed(packets.from_zone(query, zone, answer), query, by_tcp=by_tcp)
        if query.kind == Kind.ANY or not query.message.flags & dns.flags.RD:
            return packets.refusal(query.message, dns.rcode.NOTIMP if query.kind == Kind.ANY else dns.rcode.REFUSED)
        known = self._forwarder.known(query)
        return query if known is None else packets.packed(packets.from_elsewhere(query, known), query, by_tcp=by_tcp)

    async def forwarded(self, query: Query, client: str, *, by_tcp: bool) -> bytes:
        """The answer of another server, SERVFAIL where there is none or the client has too many questions open."""
        with self._places.taken(client) as there_is_room:
            found = await self._forwarder.ask(query) if there_is_room else None
        if found is None:
            return packets.refusal(query.message, dns.rcode.SERVFAIL)
        return packets.packed(packets.from_elsewhere(query, found), query, by_tcp=by_tcp)

    def _upstreams(self) -> Sequence[IPAddress]:
        """Whom to ask for names that are not the network's: never this host's own name server."""
        servers = self.naming.upstreams or self._host_servers()
        return [server for server in servers if server not in self.naming.servers]
