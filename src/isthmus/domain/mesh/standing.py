"""The one word about a peer that matters most."""

from datetime import datetime
from enum import StrEnum

from isthmus.domain.mesh.enrollment import EnrollmentToken
from isthmus.domain.mesh.liveness import State
from isthmus.domain.mesh.peer import Peer


class Standing(StrEnum):
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


def standing_of(
    peer: Peer, heard: State, token: EnrollmentToken | None, now: datetime, *, has_failed: bool
) -> Standing:
    """What is broken before what is missing before what is fine. `token` is the peer's last one, None for none."""
    if peer.blocked:
        return Standing.BLOCKED
    if has_failed:
        return Standing.FAILED
    if peer.kind.has_agent:
        if token is not None and token.used_at is None:
            return Standing.EXPIRED if now >= token.expires_at else Standing.PENDING
        if peer.public_key is None:
            return Standing.EXPIRED
    return Standing(heard.value)
