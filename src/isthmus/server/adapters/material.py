"""The files of the backend's own CA, leaves and keys: written whole, swapped by turning a symlink, closed to others.

```
federation/ca/<fingerprint>/{ca.pem,ca.key}   one folder a CA; ca.key may be a symlink to a file elsewhere
federation/ca/current → <fingerprint>         and ca.pem, ca.key → current/…
federation/{federator,ingress}/<time>-<serial>/{chain.pem,key.pem}, current → …
federation/keys/message-<id>.pem, message.pem → …; listener.key, context-<component>.key
```
"""

import errno
import secrets
import shutil
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from isthmus.protocol.federation import COMPONENTS
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.places import Places
from isthmus.server.certificate_ports import MaterialUnusable, NoRoom
from isthmus.server.certificate_records import PAIRS, Purpose
from isthmus.x509.authority import Authority, Issued
from isthmus.x509.authority_files import load_authority
from isthmus.x509.pair import Pair, PairUnusable, load_folder
from isthmus.x509.pair_files import (
    CURRENT,
    fresh_folder,
    install_pair,
    make_folder,
    move_in,
    turn,
    write_new,
    write_whole,
)

RANDOM_BYTES = 32
FULL = (errno.ENOSPC, errno.EDQUOT)
RESTORE = "restore the folder `federation` of the data folder from your backup"

P = ParamSpec("P")
R = TypeVar("R")


def telling(work: "Callable[Concatenate[FileMaterial, P], R]") -> "Callable[Concatenate[FileMaterial, P], R]":
    """What the system says of a file becomes `MaterialUnusable`, with the file's name."""

    @wraps(work)
    def told(self: "FileMaterial", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(self, *args, **kwargs)
        except OSError as error:
            kind = NoRoom if error.errno in FULL else MaterialUnusable
            raise kind(f"{error.filename or self.folder}: {error.strerror or error}") from None

    return told


class FileMaterial:
    def __init__(self, places: Places) -> None:
        self._places = places
        self.folder = places.federation
        self._pairs = {Purpose.FEDERATOR: places.federator_pair, Purpose.INGRESS: places.ingress_pair}
        self._keys = places.message_key.parent

    @telling
    def prepare(self) -> None:
        folders = [self.folder, self._places.authority, self._keys, *(self._pairs[each].parent for each in PAIRS)]
        for folder in folders:
            make_folder(folder)
        random = [self._places.listener_key, *(self._places.context_key(each) for each in sorted(COMPONENTS))]
        for path in random:
            if not path.exists():
                write_whole(path, secrets.token_bytes(RANDOM_BYTES))
            elif path.stat().st_size != RANDOM_BYTES:
                raise MaterialUnusable(f"{path} does not hold {RANDOM_BYTES} bytes: {RESTORE}, or delete the file")

    @telling
    def found_authority(self) -> Authority | None:
        link = self._places.authority / CURRENT
        return self._load(self._places.authority / link.readlink()) if link.is_symlink() else None

    @telling
    def authority(self, fingerprint: bytes) -> Authority:
        return self._load(self._of(fingerprint))

    @telling
    def keep_authority(self, authority: Authority, key_file: str | None = None) -> None:
        folder = self._of(authority.fingerprint)
        if folder.exists():
            return
        fresh = fresh_folder(folder)
        write_new(fresh / "ca.pem", authority.pem)
        if key_file is None:
            write_new(fresh / "ca.key", authority.key_pem())
        else:
            (fresh / "ca.key").symlink_to(Path(key_file).absolute())
        move_in(fresh, folder)

    @telling
    def use_authority(self, fingerprint: bytes) -> None:
        if not (self._of(fingerprint) / "ca.pem").exists():
            raise MaterialUnusable(f"{self._of(fingerprint)} is missing, the CA in use: {RESTORE}")
        turn(self._places.authority / CURRENT, self._of(fingerprint).name)
        for name in ("ca.pem", "ca.key"):
            turn(self._places.authority / name, f"{CURRENT}/{name}")

    @telling
    def message_key(self, key_id: str) -> MessageKey:
        return read_message_key(self._key_file(key_id))

    @telling
    def found_message_key(self) -> MessageKey | None:
        return read_message_key(self._places.message_key) if self._places.message_key.exists() else None

    @telling
    def keep_message_key(self, key: MessageKey) -> None:
        if not self._key_file(key.id).exists():
            write_whole(self._key_file(key.id), key.pem())

    @telling
    def use_message_key(self, key_id: str) -> None:
        turn(self._places.message_key, self._key_file(key_id).name)

    @telling
    def forget(self, authorities: Sequence[bytes], keys: Sequence[str]) -> None:
        for fingerprint in authorities:
            shutil.rmtree(self._of(fingerprint), ignore_errors=True)
        for key_id in keys:
            self._key_file(key_id).unlink(missing_ok=True)

    def pair(self, purpose: Purpose) -> Pair | None:
        try:
            return load_folder(self._pairs[purpose])
        except PairUnusable:
            return None

    @telling
    def install(self, purpose: Purpose, issued: Issued) -> None:
        install_pair(self._pairs[purpose], issued)

    def _of(self, fingerprint: bytes) -> Path:
        return self._places.authority / fingerprint.hex()[:32]

    def _key_file(self, key_id: str) -> Path:
        return self._keys / f"message-{key_id}.pem"

    def _load(self, folder: Path) -> Authority:
        try:
            return load_authority(folder / "ca.pem", folder / "ca.key")
        except PairUnusable as unusable:
            raise MaterialUnusable(f"{unusable}: {RESTORE}") from None


def read_message_key(path: Path) -> MessageKey:
    try:
        return MessageKey.from_pem(path.read_bytes())
    except ValueError as error:
        raise MaterialUnusable(f"{path} holds {error}: {RESTORE}") from None
