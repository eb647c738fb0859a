"""The one word about a peer that matters most."""

from datetime import datetime
from enum import StrEnum

from isthmus.domain.mesh.enrollment import EnrollmentToken
from isthmus.domain.mesh.liveness import State
from isthmus.domain.mesh.peer import Peer


class PeerState(StrEnum):
    """FAILED: its agent could not make the last config true. PENDING, EXPIRED: it waits for a host to enroll, with a
    token that is good, or no longer is."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    FAILED = "failed"
    PENDING = "pending"
    EXPIRED = "expired"


def state_of(peer: Peer, heard: State, token: EnrollmentToken | None, now: datetime, *, has_failed: bool) -> PeerState:
    """What is broken before what is missing before what is fine. `token` is the peer's last one, None for none."""
    if peer.blocked:
        return PeerState.BLOCKED
    if has_failed:
        return PeerState.FAILED
    if peer.kind.has_agent:
        if token is not None and token.used_at is None:
            return PeerState.EXPIRED if now >= token.expires_at else PeerState.PENDING
        if peer.public_key is None:
            return PeerState.EXPIRED
    return PeerState(heard.value)
