"""A remote: what we know of another backend, what it may do, and how its standing changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId


class Strategy(StrEnum):
    """Whom this backend federates with at all."""

    NONE = "none"
    LIST = "list"
    ALL = "all"


class Direction(StrEnum):
    IN = "in"
    OUT = "out"
    BOTH = "both"

    def has(self, other: "Direction") -> bool:
        return self in (Direction.BOTH, other)


class Trust(StrEnum):
    """What verifies a remote's leaves: the bundle pinned at the handshake, or the roots that the backend shares."""

    PINNED = "pinned"
    SHARED = "shared"


class State(StrEnum):
    """`pending`: both sides know each other's bundle, and not both operators have confirmed the short code yet."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class Action(StrEnum):
    CONFIRM = "confirm"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"


# Keyed by action, not by target state: confirming and resuming both lead to `active`, but only the confirmations of
# both operators may open a pending remote.
TRANSITIONS: Mapping[tuple[State, Action], State] = {
    (State.PENDING, Action.CONFIRM): State.ACTIVE,
    (State.ACTIVE, Action.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Action.RESUME): State.ACTIVE,
    (State.PENDING, Action.REVOKE): State.REVOKED,
    (State.ACTIVE, Action.REVOKE): State.REVOKED,
    (State.SUSPENDED, Action.REVOKE): State.REVOKED,
}


SHUT = frozenset({State.SUSPENDED, State.REVOKED})
"""Where nothing passes between two backends, whichever of them says so."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one remote may use of us: requests and mutations a second with their bursts, and requests at a time."""

    requests: float = 50.0
    requests_burst: int = 100
    mutations: float = 10.0
    mutations_burst: int = 20
    parallel: int = 32


@dataclass(frozen=True, slots=True)
class Remote:
    """An entry of the allow list.

    `generation` tells two entries of one domain apart that were made one after the other: what belonged to the
    earlier one is not revived. `authorities` are DER certificates of its CA, `message_keys` raw Ed25519 public keys by
    key id. `components` None means all. `confirmed_here` and `confirmed_there` are the operators' words.
    `state_there` is what the other side last said that it makes of us; `bundle_digest` is the SHA-256 of the bundle
    that the operators compared. `known_instances_only` refuses those that have neither called before nor been admitted.
    `wan_permitted` False lets it call over bridges alone, but for what keeps the federation itself.
    `removed_at`: revoked and off the allow list; it is kept for the audit, and until its end has been told.
    """

    id: UUID
    domain: BackendDomain
    generation: int
    state: State
    changed_at: datetime
    infra_domains: tuple[InfraDomain, ...]
    trust: Trust = Trust.PINNED
    authorities: tuple[bytes, ...] = ()
    message_keys: Mapping[str, bytes] = field(default_factory=dict)
    bundle_sequence: int = 0
    direction: Direction = Direction.BOTH
    components: frozenset[str] | None = None
    limits: Limits = Limits()
    expires_at: datetime | None = None
    needs_dnssec: bool = False
    needs_tlsa: bool = False
    known_instances_only: bool = False
    wan_permitted: bool = True
    confirmed_here: bool = False
    confirmed_there: bool = False
    short_code: str = ""
    bundle_digest: bytes = b""
    state_there: State | None = None
    contact: str = ""
    notes: str = ""
    removed_at: datetime | None = None
    version: int = 1

    def after(self, action: Action, now: datetime) -> "Remote":
        """This remote once `action` has happened; a move that the table lacks is refused."""
        state = TRANSITIONS.get((self.state, action))
        if state is None:
            raise TransitionNotAllowed(f"remote {self.domain}", f"cannot {action} a {self.state} remote")
        return replace(self, state=state, changed_at=now, version=self.version + 1)

    def removed(self, now: datetime) -> "Remote":
        """This remote off the list; one that was live is revoked with that."""
        ended = self if self.state is State.REVOKED else self.after(Action.REVOKE, now)
        return replace(ended, removed_at=now, version=self.version + 1)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def is_shut_there(self) -> bool:
        """Whether the other side has said that it lets nothing of ours pass."""
        return self.state_there in SHUT

    def carries_packets(self, now: datetime) -> bool:
        """Whether anything may pass over its bridges. What the other side has shut is shut here too: it would drop all
        that we send, and what it sends in spite of its own word is nothing that we have to let in."""
        is_active = self.state is State.ACTIVE and self.removed_at is None
        return is_active and not self.is_expired(now) and not self.is_shut_there


@dataclass(frozen=True, slots=True)
class Revocation:
    """A leaf (`fingerprint`: SHA-256 of its DER, or `serial`, or `key`: SHA-256 of its SPKI) or an instance of a remote
    that counts no more."""

    domain: BackendDomain
    at: datetime
    reason: str
    fingerprint: bytes | None = None
    serial: int | None = None
    key: bytes | None = None
    instance: InstanceId | None = None
