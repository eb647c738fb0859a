"""Tokens of grants: `isthmus-grant-<public id>.<secret>`. The store keeps the public id and a keyed digest."""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from isthmus.domain.federation.grant import Grant, GrantToken
from isthmus.server.application.secrets import GRANT
from isthmus.server.ports import Transaction, Vault

PUBLIC_BYTES, SECRET_BYTES = 9, 32
SHAPE = re.compile(rf"Bearer {GRANT}-([A-Za-z0-9_-]{{12}})\.([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class NewGrantToken:
    """A token at the only moment when its text is known."""

    text: str = field(repr=False)
    token: GrantToken


class GrantTokens:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def new(self, grant_id: UUID, now: datetime) -> NewGrantToken:
        public = secrets.token_urlsafe(PUBLIC_BYTES)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        token = GrantToken(public, grant_id, self._vault.digest(f"{public}.{secret}"), now)
        return NewGrantToken(f"{GRANT}-{public}.{secret}", token)

    async def grant_of(self, tx: Transaction, authorization: str | None, now: datetime) -> Grant | None:
        """The grant whose token stands in the header `Authorization`, live or not; None for every other text."""
        found = SHAPE.fullmatch(authorization or "")
        if found is None:
            return None
        digest = self._vault.digest(f"{found[1]}.{found[2]}")
        known = await tx.grants.with_token(found[1])
        if known is None:
            return None
        grant, token = known
        if not hmac.compare_digest(token.digest, digest):
            return None
        return None if token.expires_at is not None and now >= token.expires_at else grant
