"""Incidents: detected misuse of a peer's identity, what was seen of it, and how it ends."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.ids import IncidentId, NetworkId, PeerId

MAX_REASON = 500


class Type(StrEnum):
    """session_conflict: two agents on one session. shared_config: one WireGuard key on two hosts. suspicious_activity:
    more changes of address or port than the network's limits. enrollment_reuse: a spent token with another key."""

    SESSION_CONFLICT = "session_conflict"
    SHARED_CONFIG = "shared_config"
    SUSPICIOUS_ACTIVITY = "suspicious_activity"
    ENROLLMENT_REUSE = "enrollment_reuse"


class State(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


class Action(StrEnum):
    RESOLVE = "resolve"


TRANSITIONS = {(State.OPEN, Action.RESOLVE): State.RESOLVED}


@dataclass(frozen=True, slots=True)
class Process:
    """One run of an agent on one boot of one machine, as it says itself. `started_at` in Unix seconds of its clock."""

    machine_id: str
    boot_id: str
    started_at: int


@dataclass(frozen=True, slots=True)
class Voice:
    """A beat that counted: when, from which address, and which process spoke; None where it did not say."""

    at: datetime
    source: str | None
    process: Process | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where a peer was met, as host:port or as an address alone."""

    at: datetime
    place: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What one observer says: a jump peer, by id and name, or the server itself, which has no `observer`."""

    observer: PeerId | None
    name: str
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class SessionConflict:
    """The voices that took turns, in the order in which they were heard."""

    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True)
class SharedConfig:
    """Who saw the key come back to an address that it had left; `voices` are the agents heard at both, if any."""

    observations: tuple[Observation, ...]
    voices: tuple[Voice, ...] = ()


class Changing(StrEnum):
    """What changed too often."""

    ADDRESS = "address"
    PORT = "port"


@dataclass(frozen=True, slots=True)
class SuspiciousActivity:
    changing: Changing
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class EnrollmentReuse:
    """Who presented a spent token: the key it wanted enrolled beside the one that was, its host name and address."""

    token: str
    enrolled_key: str
    presented_key: str
    hostname: str
    source: str | None


Evidence = SessionConflict | SharedConfig | SuspiciousActivity | EnrollmentReuse

EVIDENCE: dict[Type, type[Evidence]] = {
    Type.SESSION_CONFLICT: SessionConflict,
    Type.SHARED_CONFIG: SharedConfig,
    Type.SUSPICIOUS_ACTIVITY: SuspiciousActivity,
    Type.ENROLLMENT_REUSE: EnrollmentReuse,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detector found, before it is an incident."""

    peer_id: PeerId
    type: Type
    evidence: Evidence
    blocks: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """`blocks`: while it is open the peer is left out of every config. It outlives its peer, whose name it keeps."""

    id: IncidentId
    network_id: NetworkId
    peer_id: PeerId
    peer_name: str
    type: Type
    evidence: Evidence
    blocks: bool
    detected_at: datetime
    state: State = State.OPEN
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    def confirmed_by(self, finding: Finding) -> Self:
        """This incident with what was found of it later: it may come to block, and it never ceases to."""
        if self.blocks or not finding.blocks:
            return self
        return replace(self, blocks=True, evidence=finding.evidence)

    def resolved(self, by: str, reason: str, now: datetime) -> Self:
        """This incident once `by` has resolved it; one that is resolved already is refused."""
        state = TRANSITIONS.get((self.state, Action.RESOLVE))
        if state is None:
            raise TransitionNotAllowed(f"incident {self.id}", f"is {self.state} already")
        return replace(self, state=state, resolved_at=now, resolved_by=by, reason=reason)


def parse_reason(text: str) -> str:
    """Why an incident is resolved, for the record: one line."""
    if not text.strip() or len(text) > MAX_REASON or not text.isprintable():
        raise InvalidValue("/reason", f"is not one line of 1 to {MAX_REASON} printable characters")
    return text.strip()
