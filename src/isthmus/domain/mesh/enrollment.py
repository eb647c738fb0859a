"""Enrollment tokens and the sessions that they buy."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from isthmus.domain.errors import EnrollmentTokenInvalid, InvalidValue
from isthmus.domain.ids import Digest, PeerId, PublicKey, SessionId

LIFETIME = timedelta(hours=24)
LONGEST = timedelta(days=30)
SHORTEST = timedelta(minutes=1)
REPEAT_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class EnrollmentToken:
    """The one-time secret of a peer, known by its digest; `prefix` is what people may see of it."""

    peer_id: PeerId
    digest: Digest
    prefix: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    used_by: PublicKey | None = None

    def claimed(self, key: PublicKey, now: datetime) -> Self:
        """This token once `key` has enrolled with it.

        The same key may repeat for ten minutes, for its answer may have been lost; any other key is refused.
        """
        if self.used_at is None:
            if now >= self.expires_at:
                raise EnrollmentTokenInvalid
            return replace(self, used_at=now, used_by=key)
        if self.used_by != key or now - self.used_at >= REPEAT_WINDOW:
            raise EnrollmentTokenInvalid
        return self


@dataclass(frozen=True, slots=True)
class Session:
    """An enrolled agent's standing. It ends when its peer is deleted or enrolls again, or at `expires_at`.

    A peer has two for a moment, while its agent takes over a fresh token for the one before.
    """

    id: SessionId
    peer_id: PeerId
    digest: Digest
    created_at: datetime
    expires_at: datetime | None = None


def check_lifetime(lifetime: timedelta) -> timedelta:
    if not SHORTEST <= lifetime <= LONGEST:
        raise InvalidValue(
            "/token_lifetime",
            "is not between a minute (60) and 30 days (2592000)",
            "seconds",
        )
    return lifetime
