"""Tokens: a readable prefix and 256 random bits, of which the store keeps only a digest."""

import hashlib
import secrets
from dataclasses import dataclass, field

from isthmus.domain.ids import Digest

ENROLLMENT, SESSION, API = "isthmus-enroll", "isthmus-session", "isthmus-api"
INVITATION, GRANT = "isthmus-invitation", "isthmus-grant"
SHOWN = 6  # random characters that people may see: 36 of 256 bits, enough to tell tokens apart


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the only moment when its text is known."""

    text: str = field(repr=False)
    digest: Digest
    prefix: str


def new_token(kind: str) -> NewToken:
    text = f"{kind}-{secrets.token_urlsafe(32)}"
    return NewToken(text, digest_of(text), text[: len(kind) + 1 + SHOWN])


def digest_of(text: str) -> Digest:
    """SHA-256 suffices: there is nothing to guess in 256 random bits, and no slow hash to be flooded."""
    return Digest(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def new_nonce() -> str:
    return secrets.token_urlsafe(12)


def new_password() -> str:
    """16 characters of 32 that nobody mixes up: 80 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    groups = ("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))
    return "-".join(groups)
