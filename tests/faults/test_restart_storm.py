"""Hundreds of agents that come back at once after their server was killed: none is sent what it has already."""

import asyncio
from collections.abc import Sequence

import pytest

from bench.mesh import Agent, Mesh, dial, hang_up
from bench.server import running
from bench.stream import Stream, expect_all

AGENTS = 300
CHANGES = 5


async def back(mesh: Mesh, agents: Sequence[Agent], has: int, wanted: int) -> list[Stream]:
    """Streams of all agents, opened at once with revision `has`, as soon as each has been told of `wanted`."""
    streams = [Stream(agent.session, has) for agent in agents]
    gate = expect_all(streams, wanted)
    await dial(mesh.server, streams)
    await gate.opened()
    return streams


def told(streams: Sequence[Stream]) -> set[tuple[int, int, int]]:
    """Which revisions the streams have, and by how many snapshots and deltas."""
    return {(stream.revision, stream.snapshots, len(stream.deltas)) for stream in streams}


@pytest.mark.timeout(180)
async def test_a_known_revision_costs_no_snapshot_and_a_past_one_a_delta() -> None:
    async with running() as server:
        mesh = await Mesh.made_on(server)
        await mesh.agents(1, "jump")
        agents = await mesh.agents(AGENTS)
        gateway = (await mesh.create(mesh.draft("static", additional_allowed_ips=["172.16.0.0/24"])))["peer"]["id"]
        known = (await mesh.client.call("GET", f"/api/v1/peers/{agents[0].peer_id}"))["desired_revision"]

        streams = await back(mesh, agents, known, known)
        server.kill()
        await asyncio.gather(*(stream.closed for stream in streams))
        await server.start()
        mesh.client = await server.client()
        streams = await back(mesh, agents, known, known)
        assert told(streams) == {(known, 0, 0)}
        await hang_up(streams)

        # What happened meanwhile comes as one message, and from the log of the database after another kill.
        for number in range(1, CHANGES + 1):
            await mesh.patch(gateway, additional_allowed_ips=[f"172.16.{number}.0/24"])
        present = (await mesh.client.call("GET", f"/api/v1/peers/{agents[0].peer_id}"))["desired_revision"]
        assert present == known + CHANGES
        server.kill()
        await server.start()
        mesh.client = await server.client()
        streams = await back(mesh, agents, known, present)
        assert told(streams) == {(present, 0, 1)}

        # Who says that it knows nothing, or what nobody knows, gets everything.
        for nonsense in (0, present + 1_000):
            (stranger,) = await back(mesh, agents[:1], nonsense, present)
            assert told([stranger]) == {(present, 1, 0)}
            await hang_up([stranger])
        await hang_up(streams)
