"""A jump peer's agent that never reads, beside others: how soon the others hear of changes, with and without it."""

import asyncio
import time
from collections.abc import AsyncIterator

from bench.measure import Goal, Row, Size, percentile
from bench.mesh import Agent, Mesh, connected
from bench.server import running
from bench.stream import Stream, expect_all

RECEIVE_BUFFER = 4096  # bytes; the smaller, the sooner the server notices
APART_SECONDS = 0.1
SAME_WITHIN = 1.1


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds, phases = size.pick(20, 500), size.pick(3, 25), size.pick(1, 4)
    without: list[float] = []
    beside: list[float] = []
    async with running() as server:
        mesh = await Mesh.made_on(server)
        (stuck,) = await mesh.agents(1, "jump")
        agents = await mesh.agents(count)
        gateway = (await mesh.create(mesh.draft("static")))["peer"]["id"]
        async with connected(server, agents) as streams:
            for _ in range(phases):
                without += await _latencies(mesh, streams, gateway, rounds)
                stalled = await _stalled(mesh, stuck)
                beside += await _latencies(mesh, streams, gateway, rounds)
                stalled.abort()
    what = f"a range is offered → each of {count:,} agents has it"
    yield Row.of(what, "ms", without)
    yield Row.of("  … beside a stalled jump peer", "ms", beside)
    ratio = percentile(beside, 99) / percentile(without, 99)
    yield Row("  … p99 beside it ÷ p99 without", "×", ratio, goal=Goal(SAME_WITHIN))


async def _stalled(mesh: Mesh, agent: Agent) -> Stream:
    """A stream that had its first config and reads no more."""
    stream = Stream(agent.session)
    gate = expect_all([stream], 0)
    await stream.connect(mesh.server.port, RECEIVE_BUFFER)
    await gate.opened()
    stream.pause()
    return stream


async def _latencies(mesh: Mesh, streams: list[Stream], gateway: str, rounds: int) -> list[float]:
    """Milliseconds from each request to each arrival."""
    found: list[float] = []
    revision = await mesh.revision()
    for _ in range(rounds):
        revision += 1
        await asyncio.sleep(APART_SECONDS)
        gate = expect_all(streams, revision)
        started = time.perf_counter()
        await mesh.patch(gateway, additional_allowed_ips=[f"172.{16 + revision // 256 % 16}.{revision % 256}.0/24"])
        await gate.opened()
        found += [(arrival - started) * 1e3 for arrival in gate.arrivals]
    return found
