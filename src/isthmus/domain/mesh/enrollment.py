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
# A fresh token is not replaced while the agent that it was told may be about to present it.
TAKE_OVER = timedelta(hours=1)
# A token is to live for twelve hours at most; the rest is time for an agent that is busy or away for a moment.
ROTATE_AFTER = timedelta(hours=11)


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
    """An enrolled agent's standing, known by the digest of its token. It ends when its peer is deleted, when the peer
    enrolls again, when an operator revokes it, or at `expires_at`.

    `created_at` is when the agent enrolled, `rotated_at` when this token took the place of another. A peer has two
    for a moment: the one before stays good until the new one was presented.
    """

    id: SessionId
    peer_id: PeerId
    digest: Digest
    created_at: datetime
    rotated_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def token_made_at(self) -> datetime:
        return self.rotated_at or self.created_at

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def is_due(self, now: datetime) -> bool:
        """Whether its token has been used for long enough."""
        return now - self.token_made_at >= ROTATE_AFTER

    def rotated(self, id_: SessionId, digest: Digest, now: datetime) -> Self:
        """The same standing under a fresh token."""
        return replace(self, id=id_, digest=digest, rotated_at=now)


def check_lifetime(lifetime: timedelta) -> timedelta:
    if not SHORTEST <= lifetime <= LONGEST:
        raise InvalidValue(
            "/token_lifetime",
            "is not between a minute (60) and 30 days (2592000)",
            "seconds",
        )
    return lifetime
