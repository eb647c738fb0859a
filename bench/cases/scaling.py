"""What a change of one peer costs the server as the network grows: the goal is the same at any size."""

import math
from collections.abc import AsyncIterator

from bench.measure import Goal, Row, Size
from bench.mesh import Agent, Mesh, connected
from bench.server import running
from bench.stream import expect_all

PERCENT_PER_DECADE = 10.0


async def measured(size: Size) -> AsyncIterator[Row]:
    counts = (50, 100) if not size.full else (1_000, 10_000, 50_000)
    rounds, pushes = size.pick(10, 200), size.pick(3, 20)
    quiet: list[float] = []
    pushed: list[float] = []
    async with running() as server:
        mesh = await Mesh.made_on(server)
        (jump,) = await mesh.agents(1, "jump")
        (peer,) = await mesh.fill(1)
        for count in counts:
            await mesh.fill(count - mesh.made)
            quiet.append(await _quiet(mesh, peer["peer"]["id"], jump, rounds))
            yield Row(f"change of one peer at {count:,} peers, no jump peer connected", "µs", quiet[-1])
            pushed.append(await _pushed(mesh, peer["peer"]["id"], jump, pushes))
            yield Row(f"change of one peer at {count:,} peers, a jump peer is told", "µs", pushed[-1])
    goal, unit = Goal(PERCENT_PER_DECADE), "% more CPU per tenfold"
    yield Row("cost of a change as the network grows", unit, _slope(counts, quiet), goal=goal)
    yield Row("  … with a jump peer that is told", unit, _slope(counts, pushed), goal=goal)


async def _quiet(mesh: Mesh, peer_id: str, jump: Agent, rounds: int) -> float:
    """CPU µs of the server for each change, with the network in its memory."""
    await mesh.load(jump)
    await mesh.server.settle()
    with mesh.server.spending() as spent:
        for number in range(rounds):
            await mesh.patch(peer_id, isolated=number % 2 == 0)
    return spent.cpu / rounds * 1e6


async def _pushed(mesh: Mesh, peer_id: str, jump: Agent, rounds: int) -> float:
    """The same with the jump peer's agent connected, each change told before the next is made."""
    async with connected(mesh.server, [jump]) as streams:
        await mesh.server.settle()
        revision = await mesh.revision()
        with mesh.server.spending() as spent:
            for number in range(rounds):
                revision += 1
                gate = expect_all(streams, revision)
                await mesh.patch(peer_id, isolated=number % 2 == 0)
                await gate.opened()
    return spent.cpu / rounds * 1e6


def _slope(counts: tuple[int, ...], costs: list[float]) -> float:
    """Growth of the cost per decade of peers, in percent, from the first to the last."""
    decades = math.log10(counts[-1] / counts[0])
    return float((max(costs[-1], 1.0) / max(costs[0], 1.0)) ** (1 / decades) - 1) * 100
