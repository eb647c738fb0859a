"""The files of the data folder that a backup holds, and how they come back into an empty one.

The vault's key and the CA, leaves and keys of the federation belong to it. Sockets, and what is rendered anew at each
start, do not; the database is copied by itself.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isthmus.protocol.places import MOST_REPLICAS, Places
from isthmus.server.adapters.backup.records import File, Link
from isthmus.server.adapters.backup.unusable import BackupUnusable, NotEmpty, damaged
from isthmus.x509.pair_files import sync, write_new

VAULT, FEDERATION = "vault.key", "federation"
KEPT = (VAULT, FEDERATION)
# What a file system of its own has in its root.
NOTHING = frozenset({"lost+found"})
HALF_MADE = ".new-"
OWNER = "run it as the user who runs the server"


def collected(places: Places) -> list[File | Link]:
    """Every file and link that belongs to the backend. Raises `BackupUnusable`."""
    if not (places.data / VAULT).is_file():
        hint = "name the data folder of the server: --data-dir FOLDER, or --config FILE"
        raise BackupUnusable(f"there is no {VAULT} in {places.data}, so it is no data folder of a server", hint)
    try:
        found = [each for name in KEPT for each in _below(places.data / name, places)]
    except OSError as error:
        raise BackupUnusable(f"{error.filename} cannot be read: {error.strerror}", OWNER) from None
    return sorted(found, key=lambda each: each.path)


def _below(path: Path, places: Places) -> Iterator[File | Link]:
    rendered = {each.ingress_config for each in places.of_replicas(MOST_REPLICAS)}
    if path in rendered or path.name.startswith(HALF_MADE):
        return
    name = path.relative_to(places.data).as_posix()
    if path.is_symlink():
        target = str(path.readlink())
        yield Link(name, target, is_outside=not (path.parent / target).resolve().is_relative_to(places.data.resolve()))
    elif path.is_dir():
        for each in path.iterdir():
            yield from _below(each, places)
    elif path.is_file():
        yield File(name, path.read_bytes())


def check_empty(places: Places) -> None:
    """Raises `NotEmpty`."""
    folder = places.data
    if places.restoring.exists():
        hint = f"if no other restore is running, delete all that is in {folder}, and restore again"
        raise NotEmpty(f"a restore into {folder} is under way, or was cut short", hint)
    if folder.exists() and {each.name for each in folder.iterdir()} - NOTHING:
        hint = "restore into another folder: --data-dir FOLDER, or move away what is there"
        raise NotEmpty(f"the folder {folder} is not empty, and nothing is restored over what is there", hint)


@dataclass
class Staging:
    """Files that wait in the data folder until the database is restored too."""

    places: Places

    def take(self, record: File | Link) -> None:
        path = self.places.restoring.joinpath(*_parts(record.path))
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700)
        if isinstance(record, File):
            write_new(path, record.data)
        else:
            path.symlink_to(record.target)
        sync(path.parent)

    def place(self) -> None:
        """Move everything to where the server looks for it; it does not start before `restoring` is gone."""
        for name in KEPT:
            if (self.places.restoring / name).exists():
                (self.places.restoring / name).rename(self.places.data / name)
        sync(self.places.data)

    def undo(self) -> None:
        for path in (*(self.places.data / name for name in KEPT), self.places.restoring):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def staging(places: Places) -> Iterator[Staging]:
    """Whatever ends the block before its end leaves the folder as empty as it was. Raises `BackupUnusable`."""
    try:
        check_empty(places)
        places.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        places.restoring.mkdir(mode=0o700)
    except OSError as error:
        title = f"the data folder {places.data} cannot be written to: {error.strerror}"
        raise BackupUnusable(title, "create it for the user who runs the server, and run this as that user") from None
    staged = Staging(places)
    try:
        yield staged
    except BaseException:
        staged.undo()
        raise
    shutil.rmtree(places.restoring)
    sync(places.data)


def _parts(path: str) -> tuple[str, ...]:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or pure.parts[0] not in KEPT:
        raise damaged(f"{path} does not belong into a data folder")
    return pure.parts
