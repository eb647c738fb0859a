"""A process that commits audit rows one by one, and prints each number once its transaction has ended."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from isthmus.server.adapters.db import open_store
from isthmus.server.records import AuditEntry, Outcome
from tests.builders import NOON


@dataclass(frozen=True)
class Committing:
    process: Process
    stdout: asyncio.StreamReader


@asynccontextmanager
async def a_committing_process(url: str) -> AsyncIterator[Committing]:
    """Killed with SIGKILL at the end of the block, wherever it is."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, url, stdout=PIPE, stderr=PIPE)
    if process.stdout is None:
        raise RuntimeError("asked for the process's output and got none")
    try:
        yield Committing(process, process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def commit_on(url: str) -> None:
    store = await open_store(url)
    number = 0
    while True:
        number += 1
        async with store.transaction() as tx:
            await tx.journal.audit([AuditEntry(NOON, "local", "commit", str(number), Outcome.DONE, "r")])
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(commit_on(sys.argv[1]))
