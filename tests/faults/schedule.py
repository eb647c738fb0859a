"""A random schedule of faults while somebody changes things, all decided by one seed but for the time that it takes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.faults.agent import Cursor, SimulatedAgent
from tests.faults.world import World

STEPS = 6
LONGEST_PAUSE = 0.15  # seconds between two faults, and between two changes


async def run(world: World, seed: int) -> list[str]:
    """Do what `seed` says to the world; returns the names of the faults."""
    chance = random.Random(seed)
    world.chance.seed(seed)
    done: list[str] = []
    enough = asyncio.Event()
    changing = asyncio.create_task(_change(world, random.Random(seed), enough))
    try:
        # Every schedule kills something; the rest is drawn.
        drawn = [chance.choice(KILLS), *(chance.choice(FAULTS) for _ in range(STEPS - 1))]
        chance.shuffle(drawn)
        for fault in drawn:
            await asyncio.sleep(chance.random() * LONGEST_PAUSE)
            done.append(fault.__name__)
            await fault(world, chance)
    finally:
        # Not cancelled: a change that nobody waits for any more would be missing from the ledger.
        enough.set()
        await changing
    return done


async def _change(world: World, chance: random.Random, enough: asyncio.Event) -> None:
    while not enough.is_set():
        await world.administrator.step()
        await asyncio.sleep(chance.random() * LONGEST_PAUSE / 3)


def some(world: World, chance: random.Random) -> list[SimulatedAgent]:
    agents = world.living()
    return chance.sample(agents, chance.randint(1, len(agents)))


async def kill_server(world: World, chance: random.Random) -> None:
    await world.kill_server()
    await asyncio.sleep(chance.random() * LONGEST_PAUSE)
    await world.start_server()


async def stop_server(world: World, chance: random.Random) -> None:
    await world.stop_server()
    await world.start_server()


async def kill_agents(world: World, chance: random.Random) -> None:
    for agent in some(world, chance):
        await agent.kill()
    await asyncio.sleep(chance.random() * LONGEST_PAUSE)
    for agent in world.living():
        if chance.random() < 0.8:
            agent.start()


async def kill_agents_over_and_over(world: World, chance: random.Random) -> None:
    victims = some(world, chance)[:3]
    for _ in range(5):
        for agent in victims:
            await agent.kill()
            agent.start()
        await asyncio.sleep(chance.random() * LONGEST_PAUSE / 5)


async def cut(world: World, chance: random.Random) -> None:
    for agent in some(world, chance):
        agent.cut()


async def stall(world: World, chance: random.Random) -> None:
    victims = some(world, chance)
    for agent in victims:
        agent.stall()
    await asyncio.sleep(chance.random() * LONGEST_PAUSE * 2)
    for agent in victims:
        agent.go_on()


async def storm(world: World, chance: random.Random) -> None:
    """Everybody comes back at once, some with a cursor that is not theirs."""
    for agent in world.living():
        agent.next_cursor = chance.choice([Cursor.TRUE, *Cursor])
        agent.cut()


async def change_fast(world: World, chance: random.Random) -> None:
    """Changes back to back, so that they share messages."""
    for _ in range(10):
        await world.administrator.step()


Fault = Callable[[World, random.Random], Awaitable[None]]
# A server takes a second or more to start, agents take nothing: those die more often.
KILLS: list[Fault] = [kill_server, kill_agents, kill_agents_over_and_over]
FAULTS: list[Fault] = [
    *KILLS,
    stop_server,
    *[kill_agents, kill_agents_over_and_over, cut, stall, storm, change_fast] * 2,
]
