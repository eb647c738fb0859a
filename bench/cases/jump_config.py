"""The whole config of a jump peer over plain HTTP."""

import time
from collections.abc import AsyncIterator

import msgspec

from bench.measure import Goal, Row, Size
from bench.mesh import Mesh
from bench.server import running
from isthmus.protocol.agent import ConfigAnswer


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds = size.pick(50, 3_000), size.pick(5, 100)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        (jump,) = await mesh.agents(1, "jump")
        await mesh.fill(count)
        async with server.clients(1) as (client,):
            client.speak_for(jump.session)
            cold_start = time.perf_counter()
            answer = await client.send("GET", "/api/v1/agent/config")
            cold = (time.perf_counter() - cold_start) * 1e3
            config = msgspec.json.decode(answer.body, type=ConfigAnswer).config
            if config is None or len(config.neighbours) != count:
                raise AssertionError(f"the config does not list the {count} peers")
            times = []
            with server.spending() as spent:
                for _ in range(rounds):
                    started = time.perf_counter()
                    await client.send("GET", "/api/v1/agent/config")
                    times.append((time.perf_counter() - started) * 1e3)
        note = f"{len(answer.body) / 1e3:,.0f} kB; the first one, which loads the network, took {cold:.0f} ms"
        what = f"jump config of {count:,} peers over HTTP"
        yield Row.of(what, "ms", times, goal=Goal(5.0), cpu=spent.cpu, operations=rounds, note=note)
