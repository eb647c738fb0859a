"""Chores: they go on whatever breaks, beside each other, and end with the server."""

import asyncio

import pytest
from structlog.testing import capture_logs

from isthmus.server import background
from isthmus.server.background import Chore, repeating
from isthmus.server.ports import StoreUnavailable


async def test_a_chore_that_breaks_goes_on_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AFTER_FAILURE", 0.01)
    turns, others = 0, 0
    enough = asyncio.Event()

    async def breaks() -> None:
        nonlocal turns
        turns += 1
        if turns >= 3 and others >= 3:
            enough.set()
        raise StoreUnavailable("away") if turns % 2 else RuntimeError("a defect")

    async def works() -> None:
        nonlocal others
        others += 1

    with capture_logs() as said:
        async with repeating(Chore("breaking", 0.001, breaks), Chore("working", 0.001, works)):
            async with asyncio.timeout(10):
                await enough.wait()
    assert {"the database did not answer; tried again", "a chore broke"} == {entry["event"] for entry in said}
    seen = turns, others
    await asyncio.sleep(0.02)
    assert (turns, others) == seen


async def test_a_chore_that_breaks_at_once_does_not_break_as_fast_as_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "AFTER_FAILURE", 0.05)
    turns = 0

    async def breaks() -> None:
        nonlocal turns
        turns += 1
        raise RuntimeError("a defect")

    with capture_logs():
        async with repeating(Chore("breaking", 0.001, breaks)):
            await asyncio.sleep(0.2)
    assert 2 <= turns <= 5


async def test_a_chore_is_not_begun_anew_while_it_is_at_work() -> None:
    running, most = 0, 0

    async def slow() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async with repeating(Chore("slow", 0.001, slow)):
        await asyncio.sleep(0.06)
    assert most == 1
