"""An invitation: single use, for one domain, for a day at most."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.ids import Digest

LIFETIME = timedelta(hours=24)
LONGEST = timedelta(hours=24)
SHORTEST = timedelta(minutes=1)
LEAF_OUTLIVES = timedelta(hours=1)
"""So much longer lives the leaf, so that a late guest is told by the component and not by a broken handshake."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Known by the digest of its secret. `used_at` and `withdrawn_at` end it."""

    id: UUID
    domain: BackendDomain
    digest: Digest
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None = None
    withdrawn_at: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        return self.used_at is None and self.withdrawn_at is None and now < self.expires_at

    def used(self, domain: str, now: datetime) -> Self:
        """This invitation once `domain` has accepted it. Every bad one gets the same answer; the audit gets why."""
        if self.used_at is not None:
            raise Denied("invitation_invalid", "invitation.used")
        if self.withdrawn_at is not None:
            raise Denied("invitation_invalid", "invitation.withdrawn")
        if now >= self.expires_at:
            raise Denied("invitation_invalid", "invitation.expired")
        if domain != self.domain:
            raise Denied("invitation_invalid", "invitation.domain")
        return replace(self, used_at=now)

    def withdrawn(self, now: datetime) -> Self:
        if not self.is_open(now):
            hint = "only an open invitation can be withdrawn; to undo an acceptance, revoke the remote"
            raise TransitionNotAllowed(f"invitation for {self.domain}", "is used, expired or withdrawn", hint)
        return replace(self, withdrawn_at=now)


def check_lifetime(lifetime: timedelta) -> timedelta:
    if not SHORTEST <= lifetime <= LONGEST:
        raise InvalidValue("/lifetime", "is not between a minute (60) and 24 hours (86400)", "seconds")
    return lifetime
