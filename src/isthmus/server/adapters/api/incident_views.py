"""What the API shows of incidents, each type with evidence of its own."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from isthmus.domain.mesh.incident import MAX_REASON, Changing, State, Type
from isthmus.server.adapters.api.views import Body, PeerName, View


class ResolveBody(Body):
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON, examples=["the copy was a forgotten backup"])]


class ProcessView(View):
    """One run of an agent, as it says itself; `started_at` in Unix seconds of its own clock."""

    machine_id: str
    boot_id: str
    started_at: int


class VoiceView(View):
    """A beat: when, from which address, and which process spoke."""

    at: datetime
    source: str | None
    process: ProcessView | None


class SightingView(View):
    at: datetime
    place: str = Field(examples=["198.51.100.9:40000"])


class ObservationView(View):
    """What one observer says: a jump peer, or the server itself, which has no id."""

    observer: UUID | None
    name: str
    sightings: list[SightingView]


class SessionConflictView(View):
    voices: list[VoiceView]


class SharedConfigView(View):
    observations: list[ObservationView]
    voices: list[VoiceView]


class SuspiciousActivityView(View):
    changing: Changing
    observations: list[ObservationView]


class EnrollmentReuseView(View):
    """`token` is the readable part of the spent one."""

    token: str
    enrolled_key: str
    presented_key: str
    hostname: str
    source: str | None


EvidenceView = SessionConflictView | SharedConfigView | SuspiciousActivityView | EnrollmentReuseView

EVIDENCE_VIEWS: dict[Type, type[EvidenceView]] = {
    Type.SESSION_CONFLICT: SessionConflictView,
    Type.SHARED_CONFIG: SharedConfigView,
    Type.SUSPICIOUS_ACTIVITY: SuspiciousActivityView,
    Type.ENROLLMENT_REUSE: EnrollmentReuseView,
}


class IncidentView(View):
    """`blocks`: while it is open, the peer is left out of every config and its agent is refused."""

    id: UUID
    network: PeerName
    peer: PeerName
    type: Type
    state: State
    blocks: bool
    detected_at: datetime
    evidence: EvidenceView
    resolved_at: datetime | None
    resolved_by: str | None
    reason: str | None
