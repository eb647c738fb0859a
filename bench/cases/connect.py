"""All agents connect at once, as after a restart: with nothing, and with the revision that they have."""

import time
from collections.abc import AsyncIterator, Sequence

from bench.measure import Goal, Row, Size
from bench.mesh import Agent, Mesh, dial, hang_up
from bench.server import Server, running
from bench.stream import Stream, expect_all


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds = size.pick(30, 1_000), size.pick(2, 7)
    fresh: list[float] = []
    again: list[float] = []
    cpu = [0.0, 0.0]
    snapshots = 0
    async with running() as server:
        mesh = await Mesh.made_on(server)
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        revision = dict.fromkeys((agent.peer_id for agent in agents), -1)
        for _ in range(rounds):
            streams, took, spent = await _connected(server, agents, [None] * count)
            fresh.append(took)
            cpu[0] += spent
            for agent, stream in zip(agents, streams, strict=True):
                revision[agent.peer_id] = stream.revision
            streams, took, spent = await _connected(server, agents, [revision[agent.peer_id] for agent in agents])
            again.append(took)
            cpu[1] += spent
            snapshots += sum(stream.snapshots for stream in streams)
    operations = rounds * count
    limit = Goal(600.0)
    what = f"{count:,} agents connect, each has its config"
    yield Row.of(what, "ms", fresh, goal=limit, cpu=cpu[0], operations=operations)
    what = f"{count:,} agents connect with a valid revision"
    yield Row.of(what, "ms", again, goal=limit, cpu=cpu[1], operations=operations)
    yield Row("snapshots sent to agents with a valid revision", "", snapshots, goal=Goal(0))


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
