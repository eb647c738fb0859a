"""What the server does by itself, again and again, beside answering."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from isthmus.server.ports import StoreUnavailable

log = structlog.get_logger()

AFTER_FAILURE = 1.0
"""Seconds until a chore that broke is tried again, at least: what breaks once does so at once the next time."""


@dataclass(frozen=True, slots=True)
class Chore:
    """`work` every so many `seconds`, counted from the end of one turn to the start of the next. `name` is for the
    log."""

    name: str
    seconds: float
    work: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def repeating(*chores: Chore) -> AsyncIterator[None]:
    """Do each of `chores` in a task of its own until the block ends. One that breaks is logged and goes on."""
    tasks = [asyncio.create_task(_repeat(chore)) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(chore: Chore) -> None:
    seconds = chore.seconds
    while True:
        await asyncio.sleep(seconds)
        seconds = max(chore.seconds, AFTER_FAILURE)
        try:
            await chore.work()
            seconds = chore.seconds
        except StoreUnavailable as error:
            log.error("the database did not answer; tried again", chore=chore.name, error=str(error))
        except Exception as error:  # a defect in one turn must not end all later ones
            log.error("a chore broke", chore=chore.name, exc_info=error)
