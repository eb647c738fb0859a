"""A process that commits audit rows one by one, and prints each number once its transaction has ended."""

import asyncio
import sys

from isthmus.server.adapters.db import open_store
from isthmus.server.records import AuditEntry, Outcome
from tests.builders import NOON


async def commit_on(url: str) -> None:
    store = await open_store(url)
    number = 0
    while True:
        number += 1
        async with store.transaction() as tx:
            await tx.journal.audit([AuditEntry(NOON, "local", "commit", str(number), Outcome.DONE, "r")])
        print(number, flush=True)  # noqa: T201 - the parent process reads it


asyncio.run(commit_on(sys.argv[1]))
