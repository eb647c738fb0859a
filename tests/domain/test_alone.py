"""That nothing of the world is there for the rules and for the tests of this folder."""

import ast
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isthmus.domain
from tests.domain.conftest import AskedTheWorld

READS_A_CLOCK = {f"{prefix}{name}" for prefix in ("datetime.", "datetime.datetime.") for name in ("now", "utcnow")} | {
    f"{name}.today" for name in ("date", "datetime", "datetime.date", "datetime.datetime")
}


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("localhost", 9),
        lambda: sqlite3.connect(":memory:"),
        lambda: time.time() + 1,
    ],
)
def test_whoever_asks_the_world_is_refused(ask: Callable[[], Any]) -> None:
    with pytest.raises(AskedTheWorld):
        ask()


def clocks_read(source: str) -> list[str]:
    """The calls in `source` of what `datetime` and `date` have for the present time, which nothing can take away."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return [ast.unparse(node) for node in found if ast.unparse(node) in READS_A_CLOCK]


def test_no_rule_reads_the_clock_of_datetime() -> None:
    assert clocks_read("datetime.now(UTC)") == ["datetime.now"]
    modules = list(Path(isthmus.domain.__path__[0]).rglob("*.py"))
    assert len(modules) > 20
    assert [module.name for module in modules if clocks_read(module.read_text("utf-8"))] == []
