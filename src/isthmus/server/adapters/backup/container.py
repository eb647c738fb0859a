"""The sealed file of a backup: a header, then chunks under AES-256-GCM with a key that scrypt makes of a passphrase.

```
header  magic (16) version (2) log2 N, r, p (3) salt (32) check (16) digest (8): SHA-256 of what is before it
chunk   length of what is sealed (4) 1 if it is the last, else 0 (1) sealed bytes and their tag
```
The nonce of a chunk is its number and whether it is the last, and its associated data are the header and its own
first five bytes: no chunk passes for another, and none can be left out. Every chunk but the last is of full size.
"""

import hmac
import os
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from isthmus.server.adapters.backup.unusable import NoBackup, UnknownVersion, WrongPassphrase, cut_short, damaged

MAGIC = b"isthmus backup\r\n"
VERSION = 1
CHUNK = 64 * 1024
TAG = 16
SALT_BYTES, CHECK_BYTES, DIGEST_BYTES = 32, 16, 8
CHECKED = b"isthmus backup: is this the passphrase"

_BEGIN = struct.Struct(f">{len(MAGIC)}sH")
_REST = struct.Struct(f">BBB{SALT_BYTES}s{CHECK_BYTES}s{DIGEST_BYTES}s")
_CHUNK = struct.Struct(">IB")
HEADER_BYTES = _BEGIN.size + _REST.size


@dataclass(frozen=True, slots=True)
class Cost:
    """What scrypt costs: 128 · r · 2^log2_n bytes of memory, p times."""

    log2_n: int = 17
    r: int = 8
    p: int = 1

    @property
    def is_bearable(self) -> bool:
        """A header costs whoever reads it no more than 1 GiB, and as much time."""
        return 1 <= self.log2_n <= 20 and 1 <= self.r <= 8 and 1 <= self.p <= 4


USUAL = Cost()


class SealedWriter:
    """Takes bytes of any length. The backup is whole only after `close`."""

    def __init__(self, file: BinaryIO, passphrase: str, cost: Cost = USUAL) -> None:
        salt = os.urandom(SALT_BYTES)
        key, check = _keys(passphrase, salt, cost)
        begin = _BEGIN.pack(MAGIC, VERSION) + _packed(cost, salt, check)
        header = begin + sha256(begin).digest()[:DIGEST_BYTES]
        self._file = file
        self._chunks = _Chunks(key, header)
        self._waiting = bytearray()
        file.write(header)

    def write(self, data: bytes) -> None:
        self._waiting += data
        # A full chunk waits until there is more: it may be the last.
        while len(self._waiting) > CHUNK:
            self._file.write(self._chunks.sealed(bytes(self._waiting[:CHUNK]), is_last=False))
            del self._waiting[:CHUNK]

    def close(self) -> None:
        self._file.write(self._chunks.sealed(bytes(self._waiting), is_last=True))


class SealedReader:
    """Gives back what was written. Raises `BackupUnusable`, with the reason as its type."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file = file
        self._chunks = _opened(file, passphrase)
        self._ready = bytearray()
        self._parts = self._open_all()

    def read(self, length: int) -> bytes:
        """The next `length` bytes; fewer of them at the end, b"" behind it."""
        while len(self._ready) < length:
            part = next(self._parts, None)
            if part is None:
                break
            self._ready += part
        found = bytes(self._ready[:length])
        del self._ready[:length]
        return found

    def _open_all(self) -> Iterator[bytes]:
        is_last = False
        while not is_last:
            head = self._file.read(_CHUNK.size)
            if len(head) < _CHUNK.size:
                raise cut_short(f"it ends after {self._chunks.number} chunks, and none of them is the last")
            length, mark = _CHUNK.unpack(head)
            is_last = mark == 1
            if mark > 1 or length > CHUNK or (length < CHUNK and not is_last):
                raise damaged(f"chunk {self._chunks.number + 1} does not begin as one")
            sealed = self._file.read(length + TAG)
            if len(sealed) < length + TAG:
                raise cut_short(f"it ends within chunk {self._chunks.number + 1}")
            yield self._chunks.opened(sealed, is_last=is_last)
        if self._file.read(1):
            raise damaged("something follows its last chunk")


class _Chunks:
    """The cipher of one file, and how many chunks it has sealed or opened."""

    def __init__(self, key: bytes, header: bytes) -> None:
        self._cipher = AESGCM(key)
        self._header = header
        self.number = 0

    def sealed(self, data: bytes, *, is_last: bool) -> bytes:
        head = _CHUNK.pack(len(data), is_last)
        sealed = self._cipher.encrypt(self._nonce(is_last=is_last), data, self._header + head)
        self.number += 1
        return head + sealed

    def opened(self, sealed: bytes, *, is_last: bool) -> bytes:
        head = _CHUNK.pack(len(sealed) - TAG, is_last)
        try:
            data = self._cipher.decrypt(self._nonce(is_last=is_last), sealed, self._header + head)
        except InvalidTag:
            raise damaged(f"chunk {self.number + 1} is not what was written there") from None
        self.number += 1
        return data

    def _nonce(self, *, is_last: bool) -> bytes:
        # The salt makes the key another one for every file, so numbers do not repeat under one key.
        return self.number.to_bytes(11) + bytes([is_last])


def _opened(file: BinaryIO, passphrase: str) -> _Chunks:
    begin = file.read(_BEGIN.size)
    if begin[: len(MAGIC)] != MAGIC[: len(begin)] or not begin:
        raise NoBackup("the file is no backup of Isthmus", "name a file that isthmus backup create has written")
    if len(begin) < _BEGIN.size:
        raise cut_short("it ends within its header")
    (_, version) = _BEGIN.unpack(begin)
    if version != VERSION:
        title = f"the backup is of version {version}, and this isthmus reads version {VERSION}"
        raise UnknownVersion(title, "use the isthmus that made it, or a newer one")
    rest = file.read(_REST.size)
    if len(rest) < _REST.size:
        raise cut_short("it ends within its header")
    log2_n, r, p, salt, check, digest = _REST.unpack(rest)
    header, cost = begin + rest, Cost(log2_n, r, p)
    if sha256(header[:-DIGEST_BYTES]).digest()[:DIGEST_BYTES] != digest or not cost.is_bearable:
        raise damaged("its header is not what was written")
    key, own_check = _keys(passphrase, salt, cost)
    if not hmac.compare_digest(check, own_check):
        raise WrongPassphrase("the backup is sealed with another passphrase", "give the one that it was made with")
    return _Chunks(key, header)


def _packed(cost: Cost, salt: bytes, check: bytes) -> bytes:
    return _REST.pack(cost.log2_n, cost.r, cost.p, salt, check, b"")[:-DIGEST_BYTES]


def _keys(passphrase: str, salt: bytes, cost: Cost) -> tuple[bytes, bytes]:
    """The key of the chunks, and what tells whether the passphrase is the right one, from which that key cannot be
    had."""
    # The same text typed on another keyboard may be other bytes.
    secret = unicodedata.normalize("NFC", passphrase).encode()
    made = Scrypt(salt=salt, length=64, n=1 << cost.log2_n, r=cost.r, p=cost.p).derive(secret)
    return made[:32], hmac.digest(made[32:], CHECKED, "sha256")[:CHECK_BYTES]
