"""Waiting for what must not be interrupted."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Awaitable[T]) -> T:
    """The result of `work`, whatever cancels the caller meanwhile: the cancellation comes at the next await.

    A commit that was sent will happen. If its block raised instead of ending, the caller would take the
    transaction for undone and tell nobody of it.
    """
    future = asyncio.ensure_future(work)
    is_cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            is_cancelled = True
    task = asyncio.current_task()
    if is_cancelled and task is not None:
        # Undo and repeat the request, so that whoever counts requests (timeouts, task groups) still counts one.
        task.uncancel()
        task.cancel()
    return future.result()
