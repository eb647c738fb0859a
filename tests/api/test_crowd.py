"""Two hundred agents for a minute, among them one that stops reading and one that cannot stop connecting."""

import asyncio
import time

import pytest

from bench.measure import percentile
from bench.mesh import Agent, Mesh, connected
from bench.procfs import resident_bytes
from bench.server import Server, running
from bench.stream import Stream, StreamFailed, expect_all

AGENTS = 200
SECONDS = 60.0
EVERY = 0.25  # seconds between two changes that concern everybody
RECEIVE_BUFFER = 4096
MOST_GROWTH = 150 * 1024 * 1024  # bytes: thousands of new peers included


async def stalled_stream(server: Server, agent: Agent) -> Stream:
    stream = Stream(agent.session)
    gate = expect_all([stream], 0)
    await stream.connect(server.port, RECEIVE_BUFFER)
    await gate.opened()
    stream.pause()
    return stream


async def hurry(server: Server, agent: Agent, until: asyncio.Event) -> None:
    """Connect and hang up, again and again."""
    while not until.is_set():
        stream = Stream(agent.session)
        await stream.connect(server.port)
        await asyncio.sleep(0)
        stream.abort()
        await stream.closed


async def create_back_to_back(mesh: Mesh, until: asyncio.Event) -> None:
    async with mesh.server.clients(1) as (client,):
        while not until.is_set():
            await mesh.create(mesh.draft("static"), client)


async def change_for_all(mesh: Mesh, streams: list[Stream], gateway: str, number: int) -> float:
    """Seconds until the last of `streams` has a change that concerns all."""
    body = {"additional_allowed_ips": [f"172.{16 + number // 256}.{number % 256}.0/24"]}
    started = time.perf_counter()
    changed = await mesh.client.call("PATCH", f"/api/v1/peers/{gateway}", body)
    return await expect_all(streams, changed["desired_revision"]).opened() - started


@pytest.mark.timeout(180)
@pytest.mark.case("MESH-005")
async def test_a_stalled_and_a_hurried_neighbour_disturb_nobody() -> None:
    async with running() as server:
        mesh = await Mesh.made_on(server)
        (stuck,) = await mesh.agents(1, "jump")
        hurried, *agents = await mesh.agents(AGENTS - 1)
        gateway = (await mesh.create(mesh.draft("static")))["peer"]["id"]
        async with connected(server, agents) as streams:
            stalled = await stalled_stream(server, stuck)
            before = resident_bytes(server.pid)
            enough = asyncio.Event()
            noise = [
                asyncio.create_task(hurry(server, hurried, enough)),
                asyncio.create_task(create_back_to_back(mesh, enough)),
            ]
            took: list[float] = []
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                took.append(await change_for_all(mesh, streams, gateway, len(took)))
                await asyncio.sleep(EVERY)
            enough.set()
            await asyncio.gather(*noise)

            assert percentile(took, 99) < 1, sorted(took)[-5:]
            assert resident_bytes(server.pid) - before < MOST_GROWTH
            assert not (await mesh.client.call("GET", f"/api/v1/peers/{stuck.peer_id}"))["status"]["connected"]
            stalled.abort()
            await stalled.closed

            back = Stream(stuck.session)
            present = (await mesh.client.call("GET", f"/api/v1/peers/{stuck.peer_id}"))["desired_revision"]
            gate = expect_all([back], present)
            await back.connect(server.port)
            try:
                await gate.opened(within=10)
            except StreamFailed as failure:
                pytest.fail(f"the stalled agent did not catch up: {failure}")
            back.abort()
            await back.closed
