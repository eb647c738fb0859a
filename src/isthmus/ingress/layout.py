"""Where an nginx of ours runs: its sockets and folders, and what it must know that is no fact of the federation."""

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isthmus.ingress.refused import FactsRefused
from isthmus.protocol.ingress import listener_secret
from isthmus.protocol.places import MOST_REPLICAS, Places

KEY_BYTES = 32
HIDDEN = "*" * 8


def no_secret(listener: str) -> str:
    """In the place of a listener's secret where somebody only looks at the configuration."""
    return HIDDEN


@dataclass(frozen=True, slots=True)
class Layout:
    """Absolute paths. `inward` are the sockets of all Federators that there may be. `pairs` holds a folder for each
    certificate and key; `mark` is a symlink to an empty folder that is called like the one to serve with. `source` is
    where the server keeps the present pair. `user` is who the workers run as; None where the master is no root and
    cannot choose."""

    inward: tuple[Path, ...]
    refusals: Path
    status: Path
    pid: Path
    temp: Path
    pairs: Path
    mark: Path
    source: Path
    user: str | None
    secret: Callable[[str], str]

    @classmethod
    def of(cls, places: Places, secret: Callable[[str], str]) -> "Layout":
        return cls(
            inward=tuple(each.inward.absolute() for each in places.of_replicas(MOST_REPLICAS)),
            refusals=places.refusals.absolute(),
            status=places.ingress_status.absolute(),
            pid=places.ingress_pid.absolute(),
            temp=places.ingress_config.absolute() / "temp",
            pairs=places.ingress_config.absolute() / "pairs",
            mark=places.ingress_config.absolute() / "mark",
            source=places.ingress_pair.absolute(),
            user=pwd.getpwuid(0).pw_name if os.geteuid() == 0 else None,
            secret=secret,
        )


def secrets_of(places: Places) -> Callable[[str], str]:
    """The secrets of listeners, by the key that the server made. Raises `FactsRefused` if it is not there."""
    path = places.listener_key
    try:
        key = path.read_bytes()
    except OSError as error:
        why = f"the listener key {path} cannot be read ({error.strerror})"
        raise FactsRefused(why, "make it: isthmus federation init") from None
    if len(key) != KEY_BYTES:
        raise FactsRefused(
            f"the listener key {path} does not have {KEY_BYTES} bytes", "make it: isthmus federation init"
        )
    return lambda listener: listener_secret(key, listener)
