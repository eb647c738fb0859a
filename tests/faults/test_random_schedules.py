"""Whatever is killed, cut or stalled, and whenever: in the end every agent has what the database says, and every
answer was true.

`ISTHMUS_SCHEDULES=200` runs so many schedules; `ISTHMUS_SEED=N` one of them again.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import schedule
from tests.faults.world import a_world
from tests.stores import PostgresServer

SCHEDULES = int(os.environ.get("ISTHMUS_SCHEDULES", "12"))
SEED = os.environ.get("ISTHMUS_SEED")
WORLDS = 2 if SCHEDULES < 50 else 4  # each with its own share of the schedules
EACH = 60.0  # seconds that a schedule may take on a machine that does other things too

pytestmark = pytest.mark.timeout(60 + EACH * SCHEDULES)


def seeds_of(world: int) -> list[int]:
    return [int(SEED)] if SEED else list(range(world, SCHEDULES, WORLDS))


@pytest.fixture(params=range(1 if SEED else WORLDS))
def world(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def settings(world: int, request: pytest.FixtureRequest) -> dict[str, str]:
    """The last world's server has its data on PostgreSQL."""
    if world != WORLDS - 1:
        return {}
    database: PostgresServer = request.getfixturevalue("postgres")
    return {"database_url": database.create("faults")}


async def test_after_any_faults_every_agent_has_what_the_database_says(
    world: int, settings: dict[str, str], tmp_path: Path
) -> None:
    happened: Counter[str] = Counter()
    async with a_world(tmp_path, world, **settings) as under_test:
        for seed in seeds_of(world):
            done = await schedule.run(under_test, seed)
            told = f"ISTHMUS_SEED={seed}, {', '.join(done)}"
            try:
                await under_test.settled()
            except AssertionError as late:
                pytest.fail(f"{told}: {late}")
            happened.update(done)
            faults = await under_test.faults()
            assert not faults, f"{told}: {faults}"
        seen = under_test.seen
        answered = len(under_test.administrator.ledger.peers)
    sys.stdout.write(f"{len(seeds_of(world))} schedules: {dict(happened)}; {dict(seen)}; {answered} peers were made\n")
    assert seen["Delta"] > 10 * len(seeds_of(world)), "too few deltas were sent to prove anything"
    assert seen["Snapshot"] > 0
