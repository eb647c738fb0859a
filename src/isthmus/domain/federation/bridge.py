"""A bridge: the agreement with one remote to join a network of ours with one of theirs. Each side has its own state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.ids import NetworkId, PublicKey

MOST_PREFIXES = 16
MOST_GATEWAYS = 8
MOST_ENDPOINTS = 4
MOST_INSTANCES = 256
MOST_ADDRESSES = 4
MOST_REASON = 500


class State(StrEnum):
    PROPOSED = "proposed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class Action(StrEnum):
    ACCEPT = "accept"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"


# Keyed by action, not by target state: accepting and resuming both lead to `active`, but only an acceptance may open a
# proposed bridge.
TRANSITIONS: Mapping[tuple[State, Action], State] = {
    (State.PROPOSED, Action.ACCEPT): State.ACTIVE,
    (State.ACTIVE, Action.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Action.RESUME): State.ACTIVE,
    (State.PROPOSED, Action.REVOKE): State.REVOKED,
    (State.ACTIVE, Action.REVOKE): State.REVOKED,
    (State.SUSPENDED, Action.REVOKE): State.REVOKED,
}


class Side(StrEnum):
    OURS = "ours"
    THEIRS = "theirs"


class Hold(StrEnum):
    """Why our side is suspended. Each is lifted by itself; the remote's operator has a state of its own for that."""

    OPERATOR = "operator"
    INCIDENT = "incident"


@dataclass(eq=False)
class StatementRefused(Exception):
    """A statement does not count. `rule` is `unreadable`, `signature`, `domain` or `limits`."""

    rule: str
    detail: str = ""

    def __str__(self) -> str:
        return f"the statement is refused ({self.rule}): {self.detail}"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A jump peer that holds the tunnel of a bridge; `endpoints` are tried in order."""

    public_key: PublicKey
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What one side brings in. `network` is what that side calls its network; `prefixes` lead there, through the first
    of `gateways`; `vip` and `port` are where its ingress listens inside the overlay, None where it does not.
    `instances` have these addresses in the network."""

    network: str
    prefixes: tuple[IPNetwork, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    vip: IPAddress | None = None
    port: int | None = None
    instances: Mapping[InstanceId, tuple[IPAddress, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statement:
    """How one side of a bridge stands, as it says itself. `revision` grows with whatever it says anew."""

    bridge: UUID
    generation: int
    revision: int
    state: State
    terms: Terms
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bridge:
    """Our side, and what the other has said last: `theirs`, and `signed`, the text that proves it.

    `id` is the same on both sides, `remote_generation` that of the remote's entry. `network_id` is None while it is
    proposed to us and no network was chosen. `accepted` are those prefixes of theirs that count here: it alone decides
    what is let in, whatever they say later. `revision` is that of our own last statement, which said `ours`.
    """

    id: UUID
    remote: BackendDomain
    remote_generation: int
    generation: int
    network_id: NetworkId | None
    proposed_by: Side
    state: State
    created_at: datetime
    changed_at: datetime
    holds: frozenset[Hold] = frozenset()
    revision: int = 1
    ours: Terms | None = None
    offered: tuple[IPNetwork, ...] = ()
    accepted: tuple[IPNetwork, ...] = ()
    theirs: Statement | None = None
    signed: str = ""
    reason: str = ""
    version: int = 1

    @property
    def is_effective(self) -> bool:
        """Whether anything may pass: both sides are active, as far as we know."""
        return self.state is State.ACTIVE and self.theirs is not None and self.theirs.state is State.ACTIVE
