"""Memory of the server per peer that it knows and per agent that is connected."""

from collections.abc import AsyncIterator

from bench.measure import Goal, Row, Size
from bench.mesh import Mesh, connected
from bench.server import running

WARM_UP = 200  # agents that come first, so that what is loaded once is not counted for each
WARM_UP_PEERS = 1_000  # and peers, for the room that many take while they are created with one call


async def measured(size: Size) -> AsyncIterator[Row]:
    count, warm_up = size.pick(50, 3_000), size.pick(10, WARM_UP)
    connections = size.pick(30, 1_000)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        (jump,) = await mesh.agents(1, "jump")
        warm = await mesh.agents(warm_up)
        await mesh.fill(size.pick(10, WARM_UP_PEERS))
        async with connected(server, [jump, *warm]):
            await server.settle()
            before = server.memory()
            await mesh.fill(count)
            await server.settle()
            per_peer = (server.memory() - before) / count
        agents = await mesh.agents(connections)
        await server.settle()
        before = server.memory()
        async with connected(server, agents):
            await server.settle()
            per_agent = (server.memory() - before) / connections
    note = "SQLite's own cache, at most 64 MB, included"
    yield Row(f"memory per peer, {count:,} peers", "kB", per_peer / 1e3, goal=Goal(4.0), note=note)
    yield Row(f"memory per connected agent, {connections:,} agents", "kB", per_agent / 1e3, goal=Goal(60.0))
