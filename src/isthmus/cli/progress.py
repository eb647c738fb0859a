"""A sign of life on the terminal while a request takes longer than people wait without wondering."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 0.5


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a spinner on standard error if the block takes long; nothing at all where no terminal listens."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    spinner = threading.Thread(target=_spin_until, args=(done, what), daemon=True)
    spinner.start()
    try:
        yield
    finally:
        done.set()
        spinner.join()


def _spin_until(done: threading.Event, what: str) -> None:
    if done.wait(PATIENCE_SECONDS):
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        done.wait()
