"""The vault: AES-256-GCM under a key in a file beside the database, never in it."""

import hmac
import os
import secrets
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isthmus.domain.ids import Digest

KEY_BYTES, NONCE_BYTES = 32, 12


class VaultUnusable(Exception):
    """The key file is missing its key or can be read by others."""


class FileVault:
    """Seals a secret for one owner: moved to another row, it does not open."""

    def __init__(self, path: Path) -> None:
        key = _key(path)
        self._cipher = AESGCM(key)
        # A key of its own: what signs must not be what encrypts.
        self._digest_key = hmac.digest(key, b"isthmus: digests of tokens", "sha256")

    def seal(self, secret: bytes, owner: UUID) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, owner.bytes)

    def open(self, sealed: bytes, owner: UUID) -> bytes:
        return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], owner.bytes)

    def digest(self, text: str) -> Digest:
        return Digest(hmac.digest(self._digest_key, text.encode("utf-8", "surrogatepass"), "sha256"))


def _key(path: Path) -> bytes:
    """The key of the file, made on first use."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _existing(path)
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(KEY_BYTES)
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def _existing(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise VaultUnusable(f"{path} can be read by others: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise VaultUnusable(f"{path} does not hold a key of {KEY_BYTES} bytes: restore it from your backup")
    return key
