"""Waiting for a fact with a deadline, instead of sleeping and hoping."""

import time
from collections.abc import Callable
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
