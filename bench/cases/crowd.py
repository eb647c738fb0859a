"""Ten thousand agents on one server: what they take of its memory, how a change reaches all, how they come back."""

import resource
from collections.abc import AsyncIterator

from bench.cases import connect
from bench.changes import repeated
from bench.measure import Goal, Row, Size
from bench.mesh import Mesh, connected
from bench.server import running

MOVED_MS = 500.0
CONNECTED_MS = 8_000.0
CPU_EACH_US = 20.0
EACH_KB = 60.0
OTHER_FILES = 200


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds, returns = size.pick(40, 10_000), size.pick(3, 10), size.pick(1, 2)
    wanted, (limit, _) = count + OTHER_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < wanted:
        yield Row(f"{count:,} agents", "", skipped=f"a process may open {limit} files: ulimit -Hn {wanted}, as root")
        return
    async with running() as server:
        mesh = await Mesh.made_on(server)
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        second = (await mesh.agents(1, "jump"))[0].peer_id
        # What it took to make and enroll them all is not to be counted, nor to make room for what is.
        mesh.client.close()
        server.stop()
        await server.start()
        mesh.client = await server.client()
        await mesh.load(agents[0])
        await server.settle()
        before = server.memory()
        async with connected(server, agents) as streams:
            await server.settle()
            each = (server.memory() - before) / count
            moved = await repeated(mesh, streams, streams, lambda number: mesh.move(second, number), rounds)
        yield Row(f"memory per connected agent, {count:,} agents", "kB", each / 1e3, goal=Goal(EACH_KB))
        what = f"a jump peer's endpoint moves → the last of {count:,} has it"
        for row in moved.rows(what, MOVED_MS, None):
            yield row
        spent = moved.cpu / (rounds * count) * 1e6
        yield Row("  … server CPU for each agent that is told", "µs", spent, goal=Goal(CPU_EACH_US))
        async for row in connect.rows(server, agents, returns, Goal(CONNECTED_MS)):
            yield row
