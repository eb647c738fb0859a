"""Signing mutations with the message key that the server keeps in a file."""

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from isthmus.federator.calling import Unsigned
from isthmus.protocol.federation import API_VERSION, IDEMPOTENCY_KEY, ORIGIN
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.signatures import Message, sign

NONCE_BYTES = 18


def utc_now() -> datetime:
    return datetime.now(UTC)


class FileSigner:
    """`isthmus.federator.calling.Signer` with the key in `path`, read anew whenever the file is another one. A file
    that holds no key does not replace the last good one."""

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        self._path, self._now = path, now
        self._stamp: tuple[int, int, int] | None = None
        self._key: MessageKey | None = None

    def sign(self, path: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        message = Message("POST", path, headers[ORIGIN], headers[API_VERSION], headers[IDEMPOTENCY_KEY], body)
        try:
            return sign(message, self._current(), now=self._now(), nonce=secrets.token_urlsafe(NONCE_BYTES))
        except ValueError as error:
            raise Unsigned(f"the call cannot be signed: {error}") from None

    def _current(self) -> MessageKey:
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._key = MessageKey.from_pem(self._path.read_bytes())
                self._stamp = stamp
        except (OSError, ValueError) as error:
            if self._key is None:
                raise Unsigned(f"there is no message key in {self._path.name}: {error}") from None
        if self._key is None:
            raise Unsigned("there is no message key")
        return self._key
