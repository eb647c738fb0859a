"""What a Federator knows at one moment: this backend, and every remote, laid out for quick questions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Direction, Limits, State, Strategy, Trust
from isthmus.domain.federation.targets import Ground


@dataclass(frozen=True, slots=True)
class Credential:
    """A leaf that speaks for us to one remote instead of our own: chain and key in PEM."""

    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bridged:
    """An effective bridge with a remote: the network of ours that it joins, the prefixes in which the remote is reached
    there, where its ingress listens inside (None where it does not), and our own addresses to call from."""

    network: str
    prefixes: tuple[IPNetwork, ...]
    vip: IPAddress | None = None
    port: int = 0
    sources: tuple[IPAddress, ...] = ()

    def has(self, address: IPAddress) -> bool:
        """Whether the remote is reached there."""
        return any(address in prefix for prefix in self.prefixes)

    def source_for(self, address: IPAddress) -> IPAddress | None:
        """Our own address to call that one from."""
        return next((each for each in self.sources if each.version == address.version), None)


DEFAULT_LIMITS = Limits()
STRANGER_LIMITS = Limits(20, 40, 5, 10, 16)


@dataclass(frozen=True, slots=True)
class Revoked:
    """Leaves of one remote that count no more: by SHA-256 of the DER, by serial, by SHA-256 of the SPKI; and whole
    instances."""

    leaves: frozenset[bytes] = frozenset()
    serials: frozenset[int] = frozenset()
    keys: frozenset[bytes] = frozenset()
    instances: frozenset[InstanceId] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """One remote. `authorities` are DER certificates and hold the shared roots where `trust` is shared; `components`
    None means all, `instances` None every one that the remote certifies. `infra_domains` are the pins, none of them
    where any that DNS names will do. `expires_at` is in Unix seconds. One that is not `listed` may be told of its end,
    and counts for nothing else."""

    domain: BackendDomain
    generation: int
    state: State
    direction: Direction
    trust: Trust
    infra_domains: frozenset[InfraDomain]
    authorities: tuple[bytes, ...]
    message_keys: Mapping[str, bytes] = field(default_factory=dict)
    bundle_sequence: int = 0
    limits: Limits = DEFAULT_LIMITS
    components: frozenset[str] | None = None
    expires_at: float | None = None
    needs_dnssec: bool = False
    needs_tlsa: bool = False
    instances: frozenset[InstanceId] | None = None
    blocked: frozenset[InstanceId] = frozenset()
    revoked: Revoked = Revoked()
    credential: Credential | None = None
    listed: bool = True
    bridges: tuple[Bridged, ...] = ()

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class View:
    """`generation` grows with every change. `own_authorities` (DER) verify our own invitations; `own_revoked` are
    SHA-256 fingerprints of leaves of ours that must not be presented. `denied` are addresses that are never dialled.
    `listeners` are those of the ingress by their ids, each with its network; `overlays` are all ranges of our networks
    and of bridges, in which a remote is reached by its own effective bridge alone."""

    generation: int
    domain: BackendDomain
    infra_domains: tuple[InfraDomain, ...]
    strategy: Strategy
    remotes: Mapping[BackendDomain, Known]
    shared_roots: tuple[bytes, ...] = ()
    own_authorities: tuple[bytes, ...] = ()
    own_revoked: frozenset[bytes] = frozenset()
    versions: tuple[int, ...] = (0,)
    service: str = "isthmus-federator"
    ports: frozenset[int] = frozenset({443})
    bundle_sequence: int = 0
    stranger_limits: Limits = STRANGER_LIMITS
    denied: frozenset[IPAddress] = frozenset()
    listeners: Mapping[str, str] = field(default_factory=dict)
    overlays: tuple[IPNetwork, ...] = ()

    def ground(self, known: Known) -> Ground:
        """By what an address of that remote is judged."""
        bridged = tuple(prefix for bridge in known.bridges for prefix in bridge.prefixes)
        return Ground(bridged, self.overlays, self.denied)

    def find(self, domain: BackendDomain) -> Known | None:
        """The remote of that name as the strategy sees it: `none` knows nobody, and under `all` whoever has no entry is
        known by the shared roots."""
        if self.strategy is Strategy.NONE:
            return None
        entry = self.remotes.get(domain)
        if entry is not None or self.strategy is Strategy.LIST or domain == self.domain:
            return entry
        return Known(
            domain=domain,
            generation=0,
            state=State.ACTIVE,
            direction=Direction.BOTH,
            trust=Trust.SHARED,
            infra_domains=frozenset(),
            authorities=self.shared_roots,
            limits=self.stranger_limits,
        )
