"""Loading all of a process: much code, of which nothing becomes garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Modules make many objects and no garbage: to look for some takes a fifth of the time of a start, and of each
    later collection. What was loaded stays, and is never looked at again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
