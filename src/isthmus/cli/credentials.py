"""The credentials file: the tokens that `isthmus login` got, one for each server, and which server was last."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isthmus.cli.errors import Misuse


@dataclass(frozen=True, slots=True)
class Login:
    token: str = field(repr=False)
    user: str
    expires_at: str | None = None


@dataclass(slots=True)
class Credentials:
    """`current` is the URL of the server that commands go to unless told otherwise."""

    current: str | None = None
    servers: dict[str, Login] = field(default_factory=dict)


def path_of(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "isthmus" / "credentials.json"


def load(path: Path) -> Credentials:
    """What the file holds; nothing if there is none. One that cannot be read is a `Misuse` that names it."""
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        servers = {url: Login(**login) for url, login in document["servers"].items()}
        return Credentials(document["current"], servers)
    except FileNotFoundError:
        return Credentials()
    except OSError as error:
        raise Misuse(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Misuse(f"{path} is damaged", "delete it and sign in again: isthmus login --server URL") from None


def save(path: Path, credentials: Credentials) -> None:
    """Replace the file at once; nobody but its owner can ever read it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600 from its first moment on.
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(credentials), file, indent=2)
        Path(draft).replace(path)
    except OSError as error:
        raise Misuse(f"cannot write {path}: {error.strerror}") from None
