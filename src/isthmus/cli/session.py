"""One call of a command: the server that it talks to and the way it answers."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.cli.targets import Target, resolve

if TYPE_CHECKING:
    from isthmus.cli.client import Client

HOME_AND_CLEAR = "\x1b[H\x1b[2J"


@dataclass
class Session:
    """What the options that all commands share came to."""

    server: str | None = None
    socket: Path | None = None
    as_json: bool = False
    watching: bool = False

    @cached_property
    def target(self) -> Target:
        return resolve(self.server, self.socket, os.environ)

    @cached_property
    def api(self) -> "Client":
        # The HTTP library takes longer to import than all the rest; help and completion do without it.
        from isthmus.cli.client import Client

        return Client(self.target)

    def close(self) -> None:
        if "api" in self.__dict__:
            self.api.__exit__(None, None, None)

    @property
    def public_url(self) -> str | None:
        """The URL by which others reach the server too, as far as we know one."""
        return self.target.url if self.target.socket is None else None

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None when standard output is none, which then gets whole lines."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def show(self, data: Any, text: Callable[[Any], str]) -> None:
        """Answer with `data`: as JSON if asked for, else as `text` says it."""
        if self.as_json:
            print(json.dumps(data, indent=None if self.watching else 2), flush=True)
            return
        frame = HOME_AND_CLEAR if self.watching and sys.stdout.isatty() else ""
        print(frame + text(data), flush=True)

    def note(self, text: str) -> None:
        """Say something beside the answer: on standard error, and only to people."""
        if not self.as_json:
            print(text, file=sys.stderr)
