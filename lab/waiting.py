"""Waiting for a fact with a deadline, instead of sleeping and hoping."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.01


def wait_until(predicate: Callable[[], T], *, within: float, what: str) -> T:
    """Poll `predicate` until it returns something true, and return that.

    Raises TimeoutError, naming `what`, after `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        if answer := predicate():
            return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {within:g} s for {what}")
        time.sleep(POLL_SECONDS)


def listens(path: Path) -> bool:
    """Whether somebody does at a unix socket. Asked for too early, an HTTP library leaves a socket open."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False
