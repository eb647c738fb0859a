"""What the server stores of the federation beside the domain's own values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.protocol.federation import DEFAULT_SERVICE
from isthmus.protocol.ingress import Listener

DEFAULT_PORT = 8443
DEFAULT_PORTS = (443, DEFAULT_PORT)


@dataclass(frozen=True, slots=True)
class Federation:
    """What this backend is to others. `ports` are those that SRV records of remotes may name, `shared_roots` DER
    certificates. `generation` grows with every change of anything that the Federator or the ingress goes by."""

    domain: BackendDomain
    infra_domains: tuple[InfraDomain, ...]
    strategy: Strategy
    service: str = DEFAULT_SERVICE
    ports: tuple[int, ...] = DEFAULT_PORTS
    shared_roots: tuple[bytes, ...] = ()
    listeners: tuple[Listener, ...] = ()
    generation: int = 1
    version: int = 1


@dataclass(frozen=True, slots=True)
class OverlayIngress:
    """The host of this peer runs our ingress, which listens inside the network at the peer's own addresses."""

    network_id: NetworkId
    peer_id: PeerId
    port: int = DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An invitation of another backend that we accepted and that has not been confirmed to us by it yet. Secret and key
    are sealed for the remote's entry; `chain` is PEM."""

    remote_id: UUID
    invitation: str
    sealed_secret: bytes
    chain: str
    sealed_key: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RemoteInstance:
    """A process of another backend that has called us, or that an operator has named."""

    domain: BackendDomain
    instance: InstanceId
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    blocked_at: datetime | None = None
    reason: str = ""


class Lane(StrEnum):
    """The order of a remote's messages is kept within a lane; `revocation` and `trust-revocation` go before the others.
    In the lanes of trust a message says how one bridge or grant is, and one that is refused for ever stops no other."""

    REVOCATION = "revocation"
    TRUST_REVOCATION = "trust-revocation"
    HANDSHAKE = "handshake"
    STATE = "state"
    TRUST = "trust"


TRUST_LANES = frozenset({Lane.TRUST, Lane.TRUST_REVOCATION})


@dataclass(frozen=True, slots=True)
class Message:
    """One that must arrive. `parked` says why it is not tried again; its lane waits behind it. In the lanes of trust a
    new message takes the place of an older one on the same `subject`."""

    remote_id: UUID
    lane: Lane
    number: int
    component: str
    rpc: str
    body: Mapping[str, Any]
    created_at: datetime
    next_at: datetime
    attempts: int = 0
    error: str = ""
    parked: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class LaneState:
    """The last numbers of one lane with one remote: given to a message, acknowledged by it, received from it."""

    remote_id: UUID
    lane: Lane
    sent: int = 0
    acknowledged: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class RemoteFinding:
    """Something that an operator should look at; the same of one subject of one domain is one row, however often it is
    seen. `domain` is that of a remote or our own; `subject` as `Cause` has it. `first_at` is when it was seen first
    since it was cleared last; `cleared_at` is there once its cause is gone."""

    id: UUID
    kind: str
    domain: str
    first_at: datetime
    last_at: datetime
    count: int = 1
    evidence: dict[str, Any] = field(default_factory=dict)
    cleared_at: datetime | None = None
    subject: str = ""
