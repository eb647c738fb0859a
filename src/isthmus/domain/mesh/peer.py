"""A peer: one WireGuard participant of a network, and whom a change of it concerns."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from isthmus.domain.addresses import (
    DEFAULT_ROUTES,
    Endpoint,
    IPAddress,
    IPNetwork,
    is_hostless,
    overlap,
    parse_label,
    parse_network,
    sort_key,
)
from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.network import Network

MAX_OFFERS = 64
MAX_LABELS = 32
MAX_GROUPS = 32
MAX_CANDIDATES = 8
MAX_TEXT = 120
NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Kind(StrEnum):
    JUMP = "jump"
    DYNAMIC = "dynamic"
    STATIC = "static"

    @property
    def has_agent(self) -> bool:
        return self is not Kind.STATIC


class Audience(StrEnum):
    """Who must hear of a change. The peer itself always does."""

    NOBODY = "nobody"
    JUMPS = "jumps"
    EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Peer:
    """`endpoint` is the declared one, `candidates` are those that its host reports, `observed` is where its jump peer
    sees it: the last two are for direct paths. `blocked` while an open incident keeps it out of every config.
    `rekey_asked_at` is since when an operator waits for its agent to make a new key. `revision` is the network's last
    one that changed what only this peer is told.

    A peer without `public_key` is not enrolled yet and occurs in no config. `server_made_key` marks a static peer
    whose key pair was made here and shown once.
    """

    id: PeerId
    network_id: NetworkId
    name: str
    kind: Kind
    addresses: tuple[IPAddress, ...]
    created_at: datetime
    public_key: PublicKey | None = None
    endpoint: Endpoint | None = None
    isolated: bool = False
    full_encapsulation: bool = False
    additional_allowed_ips: tuple[IPNetwork, ...] = ()
    owner: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    groups: tuple[str, ...] = ()
    candidates: tuple[Endpoint, ...] = ()
    observed: Endpoint | None = None
    blocked: bool = False
    key_changed_at: datetime | None = None
    rekey_asked_at: datetime | None = None
    server_made_key: bool = False
    revision: int = 0
    version: int = 1

    @property
    def is_jump(self) -> bool:
        return self.kind is Kind.JUMP

    @property
    def is_listed(self) -> bool:
        """Whether it stands in configs: it has a key, and no open incident keeps it out."""
        return self.public_key is not None and not self.blocked

    @property
    def has_direct_paths(self) -> bool:
        """Whether others may look for a direct way to it, where its network lets them."""
        return self.kind is Kind.DYNAMIC and not self.isolated and self.is_listed

    @property
    def direct_endpoints(self) -> tuple[Endpoint, ...]:
        """Where a direct way to it may begin: what the outside sees of it last, after its own addresses."""
        seen = () if self.observed is None or self.observed in self.candidates else (self.observed,)
        return (*self.candidates, *seen)

    @property
    def offers(self) -> tuple[IPNetwork, ...]:
        """The ranges that others reach through this peer.

        An isolated peer has none: jump peers take what they list for a source too, so its ranges would be addresses
        under which it gets around its isolation.
        """
        return () if self.isolated else self.additional_allowed_ips


def desired_revision(network: Network, peer: Peer) -> int:
    """The latest revision that changed what `peer` is told."""
    common = network.jump_revision if peer.is_jump else network.shared_revision
    return max(peer.revision, common)


def audience_of(before: Peer | None, after: Peer | None, *, direct: bool = False) -> Audience:
    """Whom the step from `before` to `after` concerns; None stands for a peer that does not exist.

    `direct`: the network has direct paths, so every agent is told of every other one.
    """
    was, now = _said_to(before), _said_to(after)
    if (was.as_jump, was.offers) != (now.as_jump, now.offers):
        return Audience.EVERYONE
    if direct and was.directly != now.directly:
        return Audience.EVERYONE
    return Audience.NOBODY if was.jumps == now.jumps else Audience.JUMPS


@dataclass(frozen=True, slots=True)
class _Said:
    """What others are told of a peer, by who is told. Of most peers only the jump peers are told anything."""

    jumps: object = None
    as_jump: object = None
    directly: object = None
    offers: tuple[IPNetwork, ...] = ()


def _said_to(peer: Peer | None) -> _Said:
    if peer is None or not peer.is_listed:
        return _Said()
    jumps = (
        peer.public_key,
        peer.name,
        peer.addresses,
        peer.isolated,
        peer.full_encapsulation,
    )
    as_jump = (jumps, peer.endpoint) if peer.is_jump else None
    directly = None
    if peer.has_direct_paths:
        directly = (peer.public_key, peer.name, peer.addresses, peer.offers, peer.direct_endpoints)
    return _Said(jumps, as_jump, directly, peer.offers)


def parse_name(text: str) -> str:
    return parse_label(text, "/name")


def check_kind_has_what_it_needs(kind: Kind, endpoint: Endpoint | None, public_key: PublicKey | None) -> None:
    if kind is Kind.JUMP and endpoint is None:
        raise InvalidValue(
            "/endpoint",
            "is needed for a jump peer",
            "host:port where other peers reach it by UDP",
        )
    if kind.has_agent and public_key is not None:
        raise InvalidValue(
            "/public_key",
            "belongs to static peers",
            "the agent makes its own key when it enrolls",
        )


def check_flags(peer: Peer) -> None:
    """Refuse flags that contradict each other: a jump peer forwards for others, an isolated one is reached by none."""
    if peer.is_jump and peer.isolated:
        raise InvalidValue("/isolated", "is not for jump peers, which forward for others")
    if peer.is_jump and peer.full_encapsulation:
        raise InvalidValue("/full_encapsulation", "is not for jump peers, which carry the traffic of others")
    if peer.isolated and peer.additional_allowed_ips:
        problem = "is not for isolated peers, which nobody reaches"
        raise InvalidValue("/additional_allowed_ips", problem, "drop the ranges, or the isolation")


def parse_text(text: str, field_name: str, longest: int = MAX_TEXT) -> str:
    """Free text of one line; it is shown to people and never rendered into a config."""
    if not text or len(text) > longest or not text.isprintable():
        raise InvalidValue(field_name, f"is not one line of 1 to {longest} printable characters")
    return text


def parse_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    if len(labels) > MAX_LABELS:
        raise InvalidValue("/labels", f"has more than {MAX_LABELS} entries")
    parsed = {parse_label(key, "/labels"): parse_text(value, f"/labels/{key}") for key, value in labels.items()}
    return MappingProxyType(parsed)


def parse_groups(names: Iterable[str]) -> tuple[str, ...]:
    """The groups that a peer is in: DNS labels, sorted, each once."""
    listed = list(names)
    if len(listed) > MAX_GROUPS:
        raise InvalidValue("/groups", f"has more than {MAX_GROUPS} entries")
    return tuple(sorted({parse_label(name, f"/groups/{index}") for index, name in enumerate(listed)}))


def parse_offers(texts: Iterable[str], network: Network) -> tuple[IPNetwork, ...]:
    """The ranges behind a peer, sorted: no default route, nothing of the network's own CIDRs, no overlap."""
    offers: list[IPNetwork] = []
    for index, text in enumerate(texts):
        where = f"/additional_allowed_ips/{index}"
        if index >= MAX_OFFERS:
            raise InvalidValue("/additional_allowed_ips", f"has more than {MAX_OFFERS} entries")
        offer = parse_network(text, where)
        if offer in DEFAULT_ROUTES:
            raise InvalidValue(
                where,
                "is the default route",
                "set full_encapsulation on the peers that shall use it",
            )
        if is_hostless(offer):
            raise InvalidValue(where, "is not a range that can be routed to a peer")
        for other in (*network.cidrs, *offers):
            if overlap(offer, other):
                raise InvalidValue(
                    where,
                    f"{offer} overlaps {other}",
                    "offer only ranges outside the network, once",
                )
        offers.append(offer)
    return tuple(sorted(offers, key=sort_key))


def check_offers_are_free(offers: Iterable[IPNetwork], others: Iterable[tuple[str, IPNetwork]]) -> None:
    """Refuse ranges that another peer of the network offers: WireGuard would give them silently to the last."""
    taken = list(others)
    for offer in offers:
        for name, other in taken:
            if overlap(offer, other):
                problem = f"{offer} overlaps {other}, which {name} offers"
                raise InvalidValue("/additional_allowed_ips", problem, "a range has one way in")


def check_may_leave(peer: Peer, *, other_jumps: int, other_peers: int, force: bool) -> None:
    """The last jump peer that others need is not deleted by accident."""
    if peer.is_jump and other_jumps == 0 and other_peers > 0 and not force:
        raise TransitionNotAllowed(
            peer.name,
            f"is the last jump peer and {other_peers} other peers reach each other through it",
            "create another jump peer first, or delete with force",
        )
