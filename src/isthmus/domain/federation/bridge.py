"""A bridge: the agreement with one remote to join a network of ours with one of theirs. Each side has its own state."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork
from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.ids import NetworkId, PublicKey

MOST_PREFIXES = 16
MOST_GATEWAYS = 8
MOST_ENDPOINTS = 4
MOST_INSTANCES = 128
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


class Move(StrEnum):
    """What an operator does with a bridge; an incident's hold is put on and lifted by hand too."""

    ACCEPT = "accept"
    SUSPEND = "suspend"
    RESUME = "resume"
    HOLD = "hold"
    RELEASE = "release"
    REVOKE = "revoke"


MOVES: Mapping[Move, tuple[Action, Hold]] = {
    Move.ACCEPT: (Action.ACCEPT, Hold.OPERATOR),
    Move.SUSPEND: (Action.SUSPEND, Hold.OPERATOR),
    Move.RESUME: (Action.RESUME, Hold.OPERATOR),
    Move.HOLD: (Action.SUSPEND, Hold.INCIDENT),
    Move.RELEASE: (Action.RESUME, Hold.INCIDENT),
    Move.REVOKE: (Action.REVOKE, Hold.OPERATOR),
}

# Of a suspension that is another's: what cannot be done, and how that one is lifted.
NOT_ON: Mapping[Hold, tuple[str, str]] = {
    Hold.OPERATOR: ("be resumed: an incident alone holds it", "isthmus bridge release, once the incident is over"),
    Hold.INCIDENT: ("be released: no incident holds it", "isthmus bridge resume lifts our operator's suspension"),
}


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
    proposed to us and no network was chosen. `offered` is what our operator wants to offer, nothing for the usual.
    `accepted` are those prefixes of theirs that count here: it alone decides what is let in, whatever they say later.
    `revision` is that of our own last statement, which said `ours`.
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
    def name(self) -> str:
        return f"bridge {self.id}"

    @property
    def is_effective(self) -> bool:
        """Whether anything may pass: both sides are active, as far as we know."""
        return self.state is State.ACTIVE and self.theirs is not None and self.theirs.state is State.ACTIVE

    @property
    def statement(self) -> Statement | None:
        """How our side stands, as the other is told. Whoever was asked and has not answered has said nothing yet."""
        if self.proposed_by is Side.THEIRS and self.state is State.PROPOSED:
            return None
        ours = self.ours or Terms("")
        return Statement(self.id, self.generation, self.revision, self.state, ours, self.reason)

    def after(self, action: Action, now: datetime, by: Hold = Hold.OPERATOR, reason: str = "") -> "Bridge":
        """This bridge once `action` has happened on our side; what is not in the table is refused.

        `by` says whose hold a suspension puts on and a resumption lifts: nobody lifts another's.
        """
        state, holds = TRANSITIONS.get((self.state, action)), self.holds
        match action:
            case Action.ACCEPT if self.proposed_by is Side.OURS:
                raise self._cannot("be accepted here: we have proposed it", "the other side's operator accepts it")
            case Action.SUSPEND if self.state is State.SUSPENDED and by not in holds:
                state, holds = self.state, holds | {by}
            case Action.SUSPEND:
                holds = frozenset({by})
            case Action.RESUME if self.state is State.SUSPENDED and by not in holds:
                raise self._cannot(*NOT_ON[by])
            case Action.RESUME:
                holds -= {by}
                state = self.state if holds else state
            case Action.REVOKE:
                holds = frozenset()
        if state is None:
            raise self._cannot(f"{action} while it is {self.state}", self._way_out)
        return self.anew(now, state=state, holds=holds, reason=reason)

    @property
    def moves(self) -> list[Move]:
        """What our operator may do now."""
        return [move for move, (action, by) in MOVES.items() if self._allows(action, by)]

    def _allows(self, action: Action, by: Hold) -> bool:
        try:
            self.after(action, self.changed_at, by)
        except TransitionNotAllowed:
            return False
        return True

    def with_terms(self, ours: Terms, now: datetime) -> "Bridge":
        """This bridge with what we bring in now. The same again is no news, and neither is it on a revoked one."""
        if self.statement is None or self.state is State.REVOKED or ours == self.ours:
            return self
        return self.anew(now, ours=ours)

    def anew(self, now: datetime, **changes: Any) -> "Bridge":
        """This bridge with `changes` of which the other side is to be told."""
        moved = changes.get("state", self.state) is not self.state
        at = now if moved else self.changed_at
        return replace(self, revision=self.revision + 1, version=self.version + 1, changed_at=at, **changes)

    @property
    def _way_out(self) -> str | None:
        if self.state is State.REVOKED:
            return "revoked is final; propose another one: isthmus bridge propose"
        return "isthmus bridge show tells how both sides stand"

    def _cannot(self, what: str, hint: str | None) -> TransitionNotAllowed:
        return TransitionNotAllowed(self.name, f"cannot {what}", hint)
