"""All agents connect at once, as after a restart: with nothing, and with the revision that they have."""

import time
from collections.abc import AsyncIterator, Sequence

from bench.measure import Goal, Row, Size
from bench.mesh import Agent, Mesh, dial, hang_up
from bench.server import Server, running
from bench.stream import Stream, expect_all


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds = size.pick(30, 1_000), size.pick(2, 7)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        async for row in rows(server, agents, rounds, Goal(600.0)):
            yield row


async def rows(server: Server, agents: Sequence[Agent], rounds: int, goal: Goal) -> AsyncIterator[Row]:
    """All of `agents` connect in each round, with nothing and then with what they got; `goal` in milliseconds."""
    count = len(agents)
    fresh: list[float] = []
    again: list[float] = []
    cpu = [0.0, 0.0]
    snapshots = 0
    for _ in range(rounds):
        streams, took, spent = await _connected(server, agents, [None] * count)
        fresh.append(took)
        cpu[0] += spent
        streams, took, spent = await _connected(server, agents, [stream.revision for stream in streams])
        again.append(took)
        cpu[1] += spent
        snapshots += sum(stream.snapshots for stream in streams)
    operations = rounds * count
    what = f"{count:,} agents connect, each has its config"
    yield Row.of(what, "ms", fresh, goal=goal, cpu=cpu[0], operations=operations)
    what = f"{count:,} agents connect with a valid revision"
    yield Row.of(what, "ms", again, goal=goal, cpu=cpu[1], operations=operations)
    yield Row("  … snapshots sent to them", "", snapshots, goal=Goal(0))


async def _connected(
    server: Server, agents: Sequence[Agent], revisions: Sequence[int | None]
) -> tuple[list[Stream], float, float]:
    """The closed streams, milliseconds until the last had its config, CPU seconds of the server."""
    streams = [Stream(agent.session, has) for agent, has in zip(agents, revisions, strict=True)]
    gate = expect_all(streams, 0)
    await server.settle()
    with server.spending() as spent:
        started = time.perf_counter()
        await dial(server, streams)
        ended = await gate.opened()
    await hang_up(streams)
    return streams, (ended - started) * 1e3, spent.cpu
