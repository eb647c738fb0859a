"""Runs a coroutine in a network namespace of its own, on a thread that ends with it."""

import asyncio
import ctypes
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x4000_0000


def alone(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The result of `work`, which sees no interface but a loopback that is down; so do the programs it starts."""

    def run() -> T:
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"no network namespace: {os.strerror(ctypes.get_errno())}")
        return asyncio.run(work())

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run).result(timeout=50)
