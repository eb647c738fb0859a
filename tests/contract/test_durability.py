"""What was answered survives: a process that dies at any moment loses nothing that it has said."""

from random import Random

import pytest

from isthmus.server.adapters.db import open_store
from tests.contract.committing import a_committing_process

# The store suite: the same on both databases.
pytestmark = pytest.mark.case("SEED-099")

RANDOM = Random(11)


@pytest.mark.parametrize("lines", [RANDOM.randrange(1, 120) for _ in range(4)])
async def test_a_killed_process_loses_nothing_that_it_committed(database_url: str, lines: int) -> None:
    async with a_committing_process(database_url) as committing:
        for _ in range(lines):
            assert await committing.stdout.readline()
        committing.process.kill()
        # It went on meanwhile: what it said until it died counts too.
        rest = (await committing.stdout.read()).split(b"\n")
    said = lines + len(rest) - 1
    store = await open_store(database_url)
    try:
        async with store.reading() as tx:
            rows = await tx.journal.audit_page(100_000)
        # One transaction may have been committed and not yet been told.
        assert said <= len(rows) <= said + 1
        assert [row.entry.subject for row in rows] == [str(number) for number in range(len(rows), 0, -1)]
        await store.check()
    finally:
        await store.close()
