"""The running agent's note for `status`: when it last spoke with the server. Kept where a reboot forgets it."""

import contextlib
from pathlib import Path

import msgspec


class Contact(msgspec.Struct, frozen=True):
    """`last` in Unix seconds, None for never; `by` is stream or https; `pid` is the running agent's,
    `incident` is the one that blocks this host."""

    pid: int
    reachable: bool = False
    by: str | None = None
    last: int | None = None
    desired_revision: int = 0
    error: str | None = None
    incident: str | None = None


def write(folder: Path, interface: str, contact: Contact) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = folder / f".{interface}.new"
    draft.write_bytes(msgspec.json.encode(contact))
    draft.replace(folder / f"{interface}.json")


def read(folder: Path, interface: str) -> Contact | None:
    """The note of an agent that still runs."""
    try:
        contact = msgspec.json.decode((folder / f"{interface}.json").read_bytes(), type=Contact)
    except FileNotFoundError:
        return None
    return contact if Path(f"/proc/{contact.pid}").exists() else None


def remove(folder: Path, interface: str) -> None:
    """Remove the note, and the folder unless another agent's note is in it."""
    (folder / f"{interface}.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
