"""What signing in with an identity provider needs: one browser's sign-in, and who the provider says somebody is."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is by the word of `issuer`, until `until`. `names` are what the account may be called, the best
    first; `groups` the values of the claim that roles are given by."""

    issuer: str
    subject: str
    names: tuple[str, ...]
    groups: frozenset[str]
    until: datetime


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in of one browser. Everything in it is made of one secret that this browser alone keeps, so nothing of
    it is kept here, and nobody else can end what it has begun."""

    secret: str = field(repr=False)
    redirect_uri: str

    @property
    def state(self) -> str:
        return self._part(b"state")

    @property
    def nonce(self) -> str:
        return self._part(b"nonce")

    @property
    def verifier(self) -> str:
        return self._part(b"verifier")

    @property
    def challenge(self) -> str:
        """RFC 7636, S256."""
        return _encoded(hashlib.sha256(self.verifier.encode()).digest())

    def _part(self, name: bytes) -> str:
        secret = self.secret.encode("utf-8", "surrogatepass")
        return _encoded(hmac.digest(secret, b"isthmus oidc 1 " + name, hashlib.sha256))


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class IdentityProvider(Protocol):
    """Each call raises `Unauthenticated` for what the provider does not vouch for, and `ProviderUnavailable`."""

    async def address(self, flow: Flow) -> str:
        """Where the browser goes to sign in."""

    async def exchanged(self, flow: Flow, code: str) -> Identity:
        """Who the browser has come back as."""

    async def vouched(self, token: str) -> Identity:
        """Who calls with a token of the provider's."""


@dataclass(eq=False)
class ProviderUnavailable(Exception):
    """The identity provider does not answer, or not as one does; `reason` is for the log."""

    reason: str

    def __str__(self) -> str:
        return self.reason
