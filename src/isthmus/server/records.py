"""What the server stores beside the domain's own values: statuses, holdings, log rows, accounts, pages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from isthmus.domain.accounts import Role
from isthmus.domain.addresses import IPAddress
from isthmus.domain.ids import ApiTokenId, Digest, IncidentId, NetworkId, PeerId, PublicKey, UserId
from isthmus.domain.mesh.crossing import Crossing
from isthmus.domain.mesh.incident import Incident, State, Type
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Audience, Kind, Peer


@dataclass(frozen=True, slots=True)
class Page:
    """A cursor page: rows in order of their immutable ids, `after` excluded, so no row is lost or seen twice."""

    limit: int = 100
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class PeerFilter:
    """None means "any". `search` is a part of the name; `labels` must all be there with these values; `within` are the
    networks that whoever asks may know of."""

    network_id: NetworkId | None = None
    kind: Kind | None = None
    name: str | None = None
    search: str | None = None
    enrolled: bool | None = None
    group: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    blocked: bool | None = None
    within: frozenset[NetworkId] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group of one network and how many peers are in it; it is there as long as a peer is."""

    network_id: NetworkId
    name: str
    peers: int


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """None means "any"."""

    network_id: NetworkId | None = None
    peer_id: PeerId | None = None
    state: State | None = None
    type: Type | None = None
    within: frozenset[NetworkId] | None = None


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer's host last reported and what jump peers observe of it. Counters in bytes."""

    peer_id: PeerId
    last_seen: datetime | None = None
    hostname: str | None = None
    agent_version: str | None = None
    applied_revision: int | None = None
    applied_error: str | None = None
    endpoint: str | None = None
    latest_handshake: datetime | None = None
    rx: int = 0
    tx: int = 0

    def seen(self, at: datetime, revision: int | None) -> "PeerStatus":
        """Heard of once more. Spelt out: `replace` takes three times as long, and every heartbeat comes here."""
        return PeerStatus(
            self.peer_id,
            at,
            self.hostname,
            self.agent_version,
            revision,
            self.applied_error,
            self.endpoint,
            self.latest_handshake,
            self.rx,
            self.tx,
        )


class Held(StrEnum):
    """Why an address is not free."""

    PEER = "peer"
    RESERVED = "reserved"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Holding:
    """One address that is not free. `until` ends a quarantine; `note` says what a reservation is for."""

    network_id: NetworkId
    address: IPAddress
    held: Held
    peer_id: PeerId | None = None
    until: datetime | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a network's revision log: what happened at `revision`, and whom it concerns.

    `keys` are the public keys, before and after, of the peer that changed; `state` is the subject after the change,
    as far as configs depend on it, None once it is gone.
    """

    network_id: NetworkId
    revision: int
    event: str
    subject: UUID
    audience: Audience
    at: datetime
    keys: tuple[PublicKey, ...] = ()
    state: dict[str, Any] | None = None


class Outcome(StrEnum):
    DONE = "done"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to what. `facts` holds no secret and no body."""

    at: datetime
    actor: str
    action: str
    subject: str
    outcome: Outcome
    request_id: str
    reason: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry as stored: `number` grows by commit order."""

    number: int
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class User:
    """An account. `password_hash` is an Argon2 encoded hash; `networks` are those of a role that is for some.
    `awaits_setup`: it is the one of the first start, and nobody has made it their own yet. Who signs in with an
    identity provider has no password, and is known by `issuer` and `subject`."""

    id: UserId
    name: str
    password_hash: str
    created_at: datetime
    role: Role = Role.OWNER
    networks: frozenset[NetworkId] = frozenset()
    disabled_at: datetime | None = None
    awaits_setup: bool = False
    version: int = 1
    issuer: str | None = None
    subject: str | None = None

    @property
    def reach(self) -> frozenset[NetworkId] | None:
        """The networks that it may know of, None for all."""
        return self.networks if self.role.is_of_networks else None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A hashed bearer token of a user, which may do what is in `scopes` and in its user's role. `prefix` is what
    people may see of it."""

    id: ApiTokenId
    user_id: UserId
    name: str
    digest: Digest
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A static peer's private key that the operator asked to keep, sealed by the vault for this peer alone."""

    peer_id: PeerId
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction did to one network: its present fields, and the peers that changed or went.

    `network` None means that it was deleted. `reload` asks to forget all memory of it. `ended` lists peers
    whose sessions are over, `blocked` those whose agents are sent away by an incident that is open now. `incidents`
    are those that were opened, confirmed or resolved. `first` is the jump peer whose agent shall have applied this
    before the peer that changed is told, if it is connected; where it is the peer that changed, the others wait for it.
    `crossings` are the network's that are others now, by bridge, None for one that is no more.
    `event` and `subject` are what people's screens are told of it: `peer.changed` and the peer's id.
    """

    network_id: NetworkId
    network: Network | None
    changed: tuple[Peer, ...] = ()
    removed: tuple[PeerId, ...] = ()
    audience: Audience = Audience.NOBODY
    ended: tuple[PeerId, ...] = ()
    blocked: Mapping[PeerId, IncidentId] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    first: PeerId | None = None
    crossings: Mapping[UUID, Crossing | None] = field(default_factory=dict)
    reload: bool = False
    event: str = ""
    subject: UUID | None = None

    @property
    def at(self) -> Network:
        """The network, where it cannot have been deleted."""
        if self.network is None:
            raise ValueError(f"network {self.network_id} was deleted by this commit")
        return self.network
