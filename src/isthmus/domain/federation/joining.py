"""What bridges and grants mean for packets: the crossings of one network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar

from isthmus.domain.addresses import (
    IPAddress,
    IPNetwork,
    collapse,
    host_network,
    intersection,
    is_hostless,
    is_within,
    overlap,
)
from isthmus.domain.federation.bridge import Bridge, Statement, Terms
from isthmus.domain.federation.grant import AxisMode, Grant, HeldGrant, Offered, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Remote, Strategy
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import PublicKey
from isthmus.domain.mesh.crossing import INGRESS, REMOTE_INGRESS, Crossing, Flow
from isthmus.domain.mesh.network import Network

SERVICE = "service"
MOST_FLOWS = 4_096
"""Of one bridge. Further grants open nothing: a host's rules must stay a size that it can load."""

Given = TypeVar("Given", Grant, HeldGrant)
Addresses = Mapping[InstanceId, tuple[IPAddress, ...]]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides on the crossings of `network`.

    `bridges` are its own, `remotes` their present entries. `grants` and `held` may be those of other remotes and kinds
    as well; `services` are the network's. `instances` are ours, by their addresses in the network; `blocked` those of
    each remote that may do nothing. `keys` and `ranges` are what the network's own peers have: no remote gets those.
    `strategy` none closes everything.
    """

    network: Network
    bridges: Sequence[Bridge]
    remotes: Mapping[BackendDomain, Remote]
    grants: Sequence[Grant] = ()
    held: Sequence[HeldGrant] = ()
    services: Sequence[Service] = ()
    instances: Addresses = field(default_factory=dict)
    blocked: Mapping[BackendDomain, frozenset[InstanceId]] = field(default_factory=dict)
    keys: frozenset[PublicKey] = frozenset()
    ranges: tuple[IPNetwork, ...] = ()
    strategy: Strategy = Strategy.LIST


def crossings_of(facts: Facts, now: datetime) -> tuple[Crossing, ...]:
    """The crossing of each bridge of a network that is effective, in order of id.

    What one interface cannot hold twice goes to the network's own peers first, then to the lower id: a bridge whose
    gateway has a key that is taken has no crossing, a prefix that overlaps one that is taken is none of its prefixes.
    """
    if facts.strategy is Strategy.NONE:
        return ()
    found: list[Crossing] = []
    keys, taken = set(facts.keys), [*facts.network.cidrs, *facts.ranges]
    grants, held = _by_remote(facts.grants), _by_remote(facts.held)
    for bridge in sorted(facts.bridges, key=lambda bridge: bridge.id):
        own = replace(facts, grants=grants.get(bridge.remote, ()), held=held.get(bridge.remote, ()))
        crossing = _crossing(own, bridge, taken, now)
        if crossing is not None and crossing.public_key not in keys:
            keys.add(crossing.public_key)
            taken += crossing.prefixes
            found.append(crossing)
    return tuple(found)


def _by_remote(grants: Iterable[Given]) -> dict[BackendDomain, list[Given]]:
    found: dict[BackendDomain, list[Given]] = {}
    for grant in sorted(grants, key=lambda grant: grant.id):
        found.setdefault(grant.remote, []).append(grant)
    return found


def is_open(bridge: Bridge, remote: Remote | None, now: datetime) -> bool:
    """Whether anything may pass: both sides are active, and so is the remote to which the bridge belongs."""
    is_its = remote is not None and remote.generation == bridge.remote_generation
    return bridge.is_effective and remote is not None and is_its and remote.carries_packets(now)


def _crossing(facts: Facts, bridge: Bridge, taken: Sequence[IPNetwork], now: datetime) -> Crossing | None:
    theirs = bridge.theirs
    if theirs is None or not is_open(bridge, facts.remotes.get(bridge.remote), now):
        return None
    prefixes = [each for each in bridge.accepted if not is_hostless(each) and not any(overlap(each, t) for t in taken)]
    if not prefixes or not theirs.terms.gateways:
        return None
    gateway = theirs.terms.gateways[0]
    offered = [] if bridge.ours is None else [*bridge.ours.prefixes]
    sides = _Sides(facts, bridge, theirs, collapse(prefixes), collapse(offered))
    blocked = facts.blocked.get(bridge.remote, frozenset())
    return Crossing(
        id=bridge.id,
        name=bridge.remote,
        public_key=gateway.public_key,
        endpoint=gateway.endpoints[0] if gateway.endpoints else None,
        prefixes=sides.prefixes,
        # Wider than what was offered: what comes from there reaches nobody else either.
        local=collapse([*facts.network.cidrs, *offered]),
        flows=(*sides.to_ingresses(), *islice(sides.granted(now), MOST_FLOWS)),
        barred=intersection(_hosts(theirs.terms.instances, blocked), sides.prefixes),
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """One open bridge: their `prefixes` that count, and what is `offered` to them."""

    facts: Facts
    bridge: Bridge
    theirs: Statement
    prefixes: tuple[IPNetwork, ...]
    offered: tuple[IPNetwork, ...]

    def to_ingresses(self) -> Iterator[Flow]:
        """Calls go to either ingress, which decides by itself."""
        yield from _to_ingress(INGRESS, self.prefixes, self.bridge.ours, self.offered)
        yield from _to_ingress(REMOTE_INGRESS, self.offered, self.theirs.terms, self.prefixes)

    def granted(self, now: datetime) -> Iterator[Flow]:
        """What grants open, those that we gave first."""
        for grant in self.facts.grants:
            if _opens(grant, self.bridge, now) and grant.networks.admits(lambda each: each == self.facts.network.id):
                sources = _within(self.prefixes, grant, self.theirs.terms.instances)
                for service in self._services(grant):
                    yield from _way(str(grant.id), sources, service, self.offered)
        for held in self.facts.held:
            # Its network axis is about networks of theirs, which only they know by id: there it is kept to.
            if _opens(held, self.bridge, now):
                sources = _within(self.offered, held, self.facts.instances)
                for offered in held.services:
                    if offered.network == self.theirs.terms.network:
                        yield from _way(str(held.id), sources, offered, self.prefixes)

    def _services(self, grant: Grant) -> list[Service]:
        own = [each for each in self.facts.services if each.network_id == self.facts.network.id]
        chosen = [each for each in own if grant.resource_id in (None, str(each.id))]
        return sorted(chosen, key=lambda service: service.id)


def _opens(grant: Grant | HeldGrant, bridge: Bridge, now: datetime) -> bool:
    """Whether `grant` is one that opens services over `bridge`."""
    return (
        (grant.remote, grant.remote_generation) == (bridge.remote, bridge.remote_generation)
        and grant.kind == SERVICE
        and Scope.CONNECT in grant.scopes
        and grant.is_live(now)
    )


def _within(side: tuple[IPNetwork, ...], grant: Grant | HeldGrant, instances: Addresses) -> tuple[IPNetwork, ...]:
    """The part of `side` from which `grant` may be used."""
    found = side
    if grant.instances.mode is AxisMode.LIST:
        found = intersection(found, _hosts(instances, grant.instances.entries))
    if grant.sources.mode is AxisMode.LIST:
        found = intersection(found, grant.sources.entries)
    return found


def _hosts(instances: Addresses, chosen: Iterable[InstanceId]) -> list[IPNetwork]:
    return [host_network(address) for instance in chosen for address in instances.get(instance, ())]


def _to_ingress(
    flow_id: str, sources: tuple[IPNetwork, ...], terms: Terms | None, within: tuple[IPNetwork, ...]
) -> Iterator[Flow]:
    if terms is not None and terms.vip is not None and terms.port is not None:
        yield from _way(flow_id, sources, _Place("tcp", terms.vip, ((terms.port, terms.port),)), within)


@dataclass(frozen=True, slots=True)
class _Place:
    protocol: Literal["tcp", "udp"]
    address: IPAddress
    ports: tuple[tuple[int, int], ...]


def _way(
    flow_id: str, sources: tuple[IPNetwork, ...], to: Service | Offered | _Place, within: tuple[IPNetwork, ...]
) -> Iterator[Flow]:
    """The flow to a place that lies within what was agreed on; none where nobody could use it."""
    usable = tuple(source for source in sources if source.version == to.address.version)
    if usable and to.ports and is_within(to.address, within):
        yield Flow(flow_id, usable, to.address, to.protocol, to.ports)
