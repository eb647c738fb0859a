"""Secret files: written whole, for this user alone, and pairs of certificate and key that are swapped as one thing.

A pair lies in a folder of its own, `current` beside it is a symlink to the one in use, and the last one stays.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate

from isthmus.x509.authority import Issued
from isthmus.x509.pair import CHAIN, KEY, Pair, PairUnusable, pair_of

CURRENT = "current"
OURS = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]+|\.new-[0-9a-f]{16}", re.ASCII)


def install_pair(link: Path, issued: Issued) -> None:
    """Make `link` lead to a new folder with this pair, and keep the one that it led to. Raises `OSError`."""
    begins = issued.certificate.not_valid_before_utc
    folder = link.parent / f"{begins:%Y%m%dT%H%M%S}-{issued.certificate.serial_number:x}"
    fresh = fresh_folder(folder)
    write_new(fresh / CHAIN, issued.chain)
    write_new(fresh / KEY, issued.key)
    move_in(fresh, folder)
    last = link.readlink().name if link.is_symlink() else None
    turn(link, folder.name)
    remove_others(link.parent, keep={folder.name, last})


def keep_pair(folder: Path, chain: bytes, key: bytes) -> Pair:
    """Put a new pair into `folder`, where `chain.pem` and `key.pem` lead to it. Other files in there stay as they are.
    Raises `PairUnusable` where the halves do not belong together or a file is in the way, and `OSError`."""
    pair = pair_of(folder, chain, key)
    check_room(folder)
    install_pair(folder / CURRENT, Issued(load_pem_x509_certificate(chain), chain, key))
    for name in (CHAIN, KEY):
        turn(folder / name, f"{CURRENT}/{name}")
    return pair


def check_room(folder: Path) -> None:
    """Make `folder`, and see that a pair may go into it. Raises `PairUnusable` and `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (CHAIN, KEY, CURRENT):
        if (folder / name).exists() and not (folder / name).is_symlink():
            raise PairUnusable(folder / name, "in_the_way", "this is not of our making: name another folder")


def make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def fresh_folder(folder: Path) -> Path:
    """An empty folder beside `folder`, to be moved to its place once it is full."""
    fresh = folder.with_name(f".new-{secrets.token_hex(8)}")
    fresh.mkdir(mode=0o700)
    return fresh


def write_new(path: Path, data: bytes) -> None:
    """A new file for this user alone, on the disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """A file that is either not there or whole, whenever the machine stops."""
    fresh = path.with_name(f".new-{secrets.token_hex(8)}")
    write_new(fresh, data)
    fresh.replace(path)
    sync(path.parent)


def move_in(fresh: Path, folder: Path) -> None:
    sync(fresh)
    fresh.replace(folder)
    sync(folder.parent)


def turn(link: Path, target: str) -> None:
    """Make `link` point to `target`, at once for whoever looks."""
    if link.is_symlink() and str(link.readlink()) == target:
        return
    fresh = link.with_name(f".new-{secrets.token_hex(8)}")
    fresh.symlink_to(target)
    fresh.replace(link)
    sync(link.parent)


def sync(folder: Path) -> None:
    """Put a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_others(folder: Path, keep: Iterable[str | None]) -> None:
    """Delete pairs of ours that are neither in use nor the last good one, half-made ones included."""
    kept = {*keep}
    for each in folder.iterdir():
        if OURS.fullmatch(each.name) and each.name not in kept:
            shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink(missing_ok=True)
