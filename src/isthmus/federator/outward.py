"""Putting the outward side together."""

import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from isthmus.domain.federation.targets import AddressPolicy
from isthmus.federator.adapters.dns import DnsResolver, Fixed, ResolvConf
from isthmus.federator.adapters.mtls import PassiveLooker
from isthmus.federator.adapters.outward import OutwardSide
from isthmus.federator.adapters.pool import Pool
from isthmus.federator.discovery import Clock, Discovery, RemoteDiscovery
from isthmus.federator.doctor import Doctor, Eyes
from isthmus.federator.identities import Identities, follow
from isthmus.federator.outbound import Outbound
from isthmus.federator.outbound import Parts as OutboundParts
from isthmus.federator.parts import Parts
from isthmus.federator.resolving import parse_server
from isthmus.federator.settings import Settings
from isthmus.federator.signing import FileSigner
from isthmus.federator.telling import Teller


@dataclass(frozen=True, slots=True)
class Outward:
    """`side` answers the outward socket, `discovery` serves both sides."""

    side: OutwardSide
    discovery: RemoteDiscovery
    pool: Pool
    lookups: Discovery
    outbound: Outbound

    async def aclose(self) -> None:
        """End all connections and lookups."""
        self.pool.close()
        await self.lookups.close()


def build(parts: Parts, settings: Settings, lookup_clock: Clock = time.monotonic) -> Outward:
    """Everything of the outward side, told of new snapshots and certificates, and of remotes that call us. What DNS
    says ages by `lookup_clock`."""
    servers = [parse_server(text, trusted=settings.trust_resolvers) for text in settings.resolvers]
    resolver = DnsResolver(Fixed(servers) if servers else ResolvConf(trusted=settings.trust_resolvers))
    lookups = Discovery(resolver, lookup_clock)
    pool = Pool()
    addresses = AddressPolicy(
        allowed=tuple(map(ip_network, settings.allowed_private)),
        hosts=frozenset(map(ip_address, settings.denied_addresses)),
    )
    identities = Identities(parts.pairs, parts.clock)
    signer = FileSigner(settings.places.message_key)
    outbound = Outbound(
        OutboundParts(parts.snapshots, identities, lookups, pool, signer, parts.clock, addresses, parts.rows)
    )
    follow(pool, parts.snapshots, parts.pairs)
    parts.on_contact.append(outbound.heard_of)
    eyes = Eyes(parts.snapshots, parts.pairs, lookups, addresses, PassiveLooker(), parts.clock)
    teller = Teller(parts.rows, parts.snapshots)
    side = OutwardSide(outbound, Doctor(eyes, outbound), teller, parts.rows, settings.call_seconds)
    return Outward(side, RemoteDiscovery(lookups, parts.snapshots, resolver), pool, lookups, outbound)
