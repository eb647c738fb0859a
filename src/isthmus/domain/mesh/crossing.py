"""What a network's active bridges mean for its packets: whom the gateway is connected with, and what may pass."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork, collapse
from isthmus.domain.ids import PeerId, PublicKey

LEASE = 60
"""Seconds for which hosts keep what bridges opened while they do not hear from the server."""

INGRESS = "ingress"
REMOTE_INGRESS = "remote-ingress"
INGRESSES = frozenset({INGRESS, REMOTE_INGRESS})
"""The ids of the flows to our ingress and to the other side's on their overlay addresses, which no grant stands behind:
they decide by themselves."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One thing that may pass, its replies included: from `sources` to one address, at one protocol. `ports` are
    ranges, both ends included. `id` is that of its grant, or one of `INGRESSES`."""

    id: str
    sources: tuple[IPNetwork, ...]
    destination: IPAddress
    protocol: Literal["tcp", "udp"]
    ports: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One bridge that is effective. The remote's gateway stands among the neighbours of ours with exactly `prefixes`
    as allowed IPs. Between `prefixes` and `local`, our side of it, pass `flows` and nothing else, and nothing that
    comes from or goes to `barred`, whatever a flow says."""

    id: UUID
    name: str
    public_key: PublicKey
    endpoint: Endpoint | None
    prefixes: tuple[IPNetwork, ...]
    local: tuple[IPNetwork, ...]
    flows: tuple[Flow, ...] = ()
    barred: tuple[IPNetwork, ...] = ()


class Outline(NamedTuple):
    """What a crossing has that no other of its network can have as well, by the id of its bridge and its name."""

    id: UUID
    name: str
    public_key: PublicKey
    prefixes: tuple[IPNetwork, ...]


def outline_of(crossing: Crossing) -> Outline:
    return Outline(crossing.id, crossing.name, crossing.public_key, crossing.prefixes)


@dataclass(frozen=True, slots=True)
class Crossings:
    """All effective bridges of one network, in order of id. `gateway` is the jump peer that holds their tunnels."""

    gateway: PeerId | None = None
    bridges: tuple[Crossing, ...] = ()
    lease: int = LEASE

    def __iter__(self) -> Iterator[Crossing]:
        return iter(self.bridges)

    @property
    def prefixes(self) -> tuple[IPNetwork, ...]:
        """What the network's other peers reach through the gateway."""
        return collapse([prefix for bridge in self.bridges for prefix in bridge.prefixes])


NO_CROSSINGS = Crossings()


@dataclass(frozen=True, slots=True)
class Bridged:
    """What active bridges add to the interface of one peer for as long as `lease` lasts: `prefixes` lead through the
    primary jump peer; there, in the tunnels of `crossings`."""

    prefixes: tuple[IPNetwork, ...]
    crossings: tuple[Crossing, ...] = ()
    lease: int = LEASE
