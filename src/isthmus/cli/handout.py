"""What the owner of a new peer is handed, once: an enrollment token with the next commands, or a wg-quick config."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from isthmus.cli.errors import Failure, Misuse
from isthmus.cli.session import Session
from isthmus.cli.text import minute

QUIET_ZONE = 2


def token_text(enrollment: dict[str, Any], server: str | None) -> str:
    """The token alone on its line, to be copied, and what to type on the host."""
    return (
        f"Enrollment token, valid until {minute(enrollment['expires_at'])}, shown only now:\n\n"
        f"{enrollment['token']}\n\n"
        "On the host, as root (the first command asks for the token):\n\n"
        f"  isthmus agent enroll --server {server or 'URL'}\n"
        "  isthmus agent run"
        + ("" if server else "\n\nURL is where hosts reach this server, for example https://isthmus.example.com.")
    )


@dataclass(frozen=True, slots=True)
class Handout:
    """Where a config goes: into `file`, else alone to standard output. Words about it go to standard error."""

    file: TextIO | None
    qr: bool

    def give(self, session: Session, config: dict[str, Any]) -> None:
        text = config["text"]
        if "[Peer]" not in text:
            session.note("It reaches nobody yet: enroll a jump peer, then make another with isthmus peer regenerate.")
        if self.file is not None:
            self.file.write(text)
        elif not session.as_json:
            print(text.rstrip("\n"), flush=True)
        if not session.as_json and (self.qr or sys.stderr.isatty()):
            print_qr(text)


@contextmanager
def handout(path: Path | None, *, force: bool, qr: bool) -> Iterator[Handout]:
    """Opens the file before the server is asked for what is shown once; it gets its name when all went well.

    One that is there already is refused without `force`.
    """
    if path is None:
        yield Handout(None, qr)
        return
    if path.exists() and not force:
        raise Misuse(f"{path} exists already", "name another file, or replace it with --force")
    try:
        # mkstemp makes the file 0600 from its first moment on.
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Misuse(f"cannot write to {path.parent}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield Handout(file, qr)
        Path(draft).replace(path)
    except OSError as error:
        hint = "isthmus peer regenerate makes another config"
        raise Failure(f"cannot write {path}: {error.strerror}", hint) from None
    finally:
        Path(draft).unlink(missing_ok=True)


def print_qr(text: str) -> None:
    """A QR code for the camera of a phone; a config of up to 450 bytes stays within 80 columns."""
    import segno

    code = segno.make(text, error="l", micro=False, boost_error=False)
    # Half blocks halve the size, but only where the terminal knows them.
    compact = (sys.stderr.encoding or "").lower().startswith("utf")
    code.terminal(out=sys.stderr, border=QUIET_ZONE, compact=compact)
