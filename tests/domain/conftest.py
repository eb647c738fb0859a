"""The rules are tested by themselves: without a network, a database or a clock, which fail here when they are asked."""

import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest


class AskedTheWorld(AssertionError):
    """A rule, or its test, wanted something that is not among its arguments."""


def refused(*_: Any, **__: Any) -> Any:
    raise AskedTheWorld("the rules know nothing of the world but their arguments")


def refused_to_us(real: Callable[..., Any]) -> Callable[..., Any]:
    """What pytest and hypothesis need to go on; neither the code nor its tests may have it."""

    def asked(*arguments: Any) -> Any:
        if sys._getframe(1).f_globals["__name__"].partition(".")[0] in {"isthmus", "tests"}:
            refused()
        return real(*arguments)

    return asked


@pytest.fixture(autouse=True, scope="module")
def nothing_but_arguments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for module, name in ((socket, "socket"), (socket, "getaddrinfo"), (sqlite3, "connect")):
            patched.setattr(module, name, refused)
        for name in ("time", "time_ns", "monotonic", "sleep"):
            patched.setattr(time, name, refused_to_us(getattr(time, name)))
        yield
