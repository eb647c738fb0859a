"""From the proof that an identity is misused, and from a revocation, to the end of it on every connected agent."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from bench.client import Client
from bench.measure import Goal, Row, Size
from bench.mesh import Agent, Mesh, connected
from bench.server import running
from bench.stream import Stream, config_of, expect_all
from isthmus.protocol import agent as wire

CLOSE_SECONDS = 10.0
BLOCKED_MS, REVOKED_MS = 1_000.0, 250.0
REFUSED = 409


async def measured(size: Size) -> AsyncIterator[Row]:
    """Direct paths are on, so that every agent lists every other one and has to be told."""
    count, rounds = size.pick(20, 1_000), size.pick(3, 100)
    async with running() as server:
        mesh = await Mesh.made_on(server, direct_paths="on")
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        copied, revoked = slice(1, 1 + rounds), slice(1 + rounds, 1 + 2 * rounds)
        async with connected(server, agents) as streams:
            with server.spending() as spent:
                victims = zip(agents[copied], streams[copied], strict=True)
                blocked = [await _blocked(mesh, agent, stream, streams) for agent, stream in victims]
            for stream in (streams[0], streams[-1]):
                listed = {neighbour.name for neighbour in config_of(stream).neighbours}
                if listed & {agent.name for agent in agents[copied]} or agents[revoked.start].name not in listed:
                    raise AssertionError("an agent does not list just those that are not blocked")
            victims = zip(agents[revoked], streams[revoked], strict=True)
            ended = [await _revoked(mesh, agent, stream) for agent, stream in victims]
    what = f"incident: the report that proves it → blocked on all of {count:,}"
    goal = Goal(BLOCKED_MS, of_p99=True)
    yield Row.of(what, "ms", blocked, goal=goal, cpu=spent.cpu, operations=rounds * count)
    yield Row.of("a session is revoked → its stream is closed", "ms", ended, goal=Goal(REVOKED_MS, of_p99=True))


async def _blocked(mesh: Mesh, agent: Agent, stream: Stream, streams: Sequence[Stream]) -> float:
    """Milliseconds from the report that proves that two hosts share a session until its stream is closed and every
    other agent has the config without it."""
    others = [each for each in streams if each is not stream and not each.closed.done()]
    async with mesh.server.clients(1) as (client,):
        client.speak_for(agent.session)
        for machine in ("host", "copy"):
            await client.call("POST", "/api/v1/agent/heartbeat", await _beat(client, machine))
        proof = await _beat(client, "host")
        gate = expect_all(others, await mesh.revision() + 1)
        started = time.perf_counter()
        answer = await client.send("POST", "/api/v1/agent/heartbeat", proof)
        ended = max(await gate.opened(), await _closed(stream, wire.CLOSE_BLOCKED))
    if answer.status != REFUSED:
        raise AssertionError(f"the report that proves the conflict was answered {answer.status}")
    return (ended - started) * 1e3


async def _beat(client: Client, machine: str) -> wire.Heartbeat:
    """The next report of the agent's process on `machine`."""
    nonce = (await client.call("GET", "/api/v1/agent/config?revision=0"))["nonce"]
    return wire.Heartbeat(nonce, 0, wire.Host("laptop", machine, "boot", "0.1.0", 1_700_000_000, 1_700_000_060))


async def _revoked(mesh: Mesh, agent: Agent, stream: Stream) -> float:
    """Milliseconds from the request to the end of the stream."""
    started = time.perf_counter()
    await mesh.client.call("DELETE", f"/api/v1/peers/{agent.peer_id}/session")
    return (await _closed(stream, wire.CLOSE_SESSION_ENDED) - started) * 1e3


async def _closed(stream: Stream, code: int) -> float:
    """When the stream was closed, with this code, on the clock of `time.perf_counter`."""
    at = await asyncio.wait_for(stream.closed, CLOSE_SECONDS)
    if stream.close_code != code:
        raise AssertionError(f"the stream was closed with {stream.close_code} in the place of {code}")
    return at
