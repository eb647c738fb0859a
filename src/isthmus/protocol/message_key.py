"""Ed25519 message keys: what a backend signs its bundles and mutations with. A key is named by its thumbprint."""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

PUBLIC_BYTES = 32
LONGEST_PEM = 4096


class MessageKey:
    """A private message key. It prints as its id."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = key_id(self.public)

    @classmethod
    def generate(cls) -> "MessageKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> "MessageKey":
        """Raises `ValueError`."""
        try:
            private = load_pem_private_key(pem[:LONGEST_PEM], password=None)
        except (ValueError, TypeError) as error:
            raise ValueError(f"no private key: {error}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("a private key that is not Ed25519")
        return cls(private)

    def pem(self) -> bytes:
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)

    def __repr__(self) -> str:
        return f"MessageKey({self.id})"


def key_id(public: bytes) -> str:
    """The thumbprint (RFC 7638: SHA-256, base64url) of a raw public key."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": encoded(public)}
    return encoded(sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def is_signed(signature: bytes, data: bytes, public: bytes) -> bool:
    """Whether the raw public key `public` vouches for `data`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
