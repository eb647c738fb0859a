"""What a config says of names, and how the host gets to know them. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.agent.observed import LinkNames, Lookups
from isthmus.agent.steps import AskOnLink, ForgetLink, ListServers, LookupStep, UnlistServers
from isthmus.domain.addresses import IPAddress, IPNetwork, parse_address, parse_domain, parse_label, parse_network
from isthmus.domain.mesh.dns import Zone, reverse_name, reverse_zones
from isthmus.protocol import agent as wire

if TYPE_CHECKING:
    from isthmus.agent.desired import Neighbour

# A resolver looks at three servers: one place is left for those that the host had.
LISTED_SERVERS = 2


@dataclass(frozen=True, slots=True)
class Naming:
    """`servers` answer for `domain` and for the addresses in `cidrs`.

    A host with a `zone` is one of them, on its own addresses, and asks `upstreams` for all that is not in the zone.
    """

    domain: str
    cidrs: tuple[IPNetwork, ...]
    servers: tuple[IPAddress, ...]
    zone: Zone | None = None
    upstreams: tuple[IPAddress, ...] = ()

    @property
    def routed(self) -> LinkNames:
        """What the servers are asked for where a host can ask several for different names."""
        reverse = (".".join(reverse_name(zone)) for cidr in self.cidrs for zone in reverse_zones(cidr))
        return LinkNames(self.servers, frozenset((self.domain, *reverse)))

    @property
    def listed(self) -> tuple[IPAddress, ...]:
        """The servers for a host that asks one for everything. Two addresses of one server are not two servers: when
        it is gone, each costs the time of a try, so only the family that comes first is listed."""
        family = self.servers[0].version
        return tuple(address for address in self.servers if address.version == family)[:LISTED_SERVERS]


def naming_of(config: wire.Config, neighbours: Iterable["Neighbour"]) -> Naming | None:
    """Raises `InvalidValue` for what is no name or address."""
    dns = config.dns
    own = tuple(parse_address(text, "/addresses") for text in config.addresses)
    if dns is None or not (dns.servers or own):
        return None
    domain = parse_domain(dns.domain, "/dns/domain")
    cidrs = tuple(parse_network(text, "/dns/cidrs") for text in dns.cidrs)
    upstreams = tuple(parse_address(text, "/dns/upstreams") for text in dns.upstreams)
    if dns.servers:
        return Naming(domain, cidrs, tuple(parse_address(text, "/dns/servers") for text in dns.servers))
    families = len(own)
    names = {each.name: each.own[:families] for each in neighbours} | {config.name: own}
    server = parse_label(config.name, "/name")
    return Naming(domain, cidrs, own, Zone(domain, server, names, cidrs), upstreams)


def lookup_steps(naming: Naming | None, host: Lookups, *, listing_changed: bool) -> Iterator[LookupStep]:
    """What makes the host look names up as `naming` says; nothing of ours is left where it says nothing."""
    link = naming.routed if naming is not None and host.by == "resolved" else LinkNames()
    if link != host.link:
        yield AskOnLink(link.servers, tuple(sorted(link.domains))) if link.servers else ForgetLink()
    listed = naming.listed if naming is not None and host.by == "resolv-conf" else ()
    if listed and listed != host.listed:
        yield ListServers(listed)
    if not listed and (host.listed or listing_changed):
        yield UnlistServers()
