"""Keys that the server keeps in files: read when they are needed, and anew when the file is another one."""

import hmac
from functools import lru_cache
from pathlib import Path

from isthmus.protocol.ingress import listener_secret
from isthmus.protocol.places import Places

KEY_BYTES = 32


class KeyFile:
    """A key of 32 bytes. A file that is there but is no key does not replace the last good one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._key: bytes | None = None

    def read(self) -> bytes | None:
        """None while there has never been a key."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                key = self._path.read_bytes()
                if len(key) == KEY_BYTES:
                    self._stamp, self._key = stamp, key
        except OSError:
            return self._key
        return self._key


class ListenerKey:
    """The secrets of the ingress's listeners."""

    def __init__(self, places: Places) -> None:
        self._file = KeyFile(places.listener_key)

    def is_right(self, listener: str, secret: str) -> bool:
        key = self._file.read()
        if key is None or not listener:
            return False
        return hmac.compare_digest(_secret_of(key, listener), secret.encode("utf-8", "replace"))


@lru_cache(maxsize=64)
def _secret_of(key: bytes, listener: str) -> bytes:
    return listener_secret(key, listener).encode()
