"""Heartbeats over the stream, each agent sending the next one as soon as the last is acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from bench.measure import Goal, Row, Size
from bench.mesh import Agent, Mesh, connected, random_key
from bench.server import Server, running
from bench.stream import Stream
from isthmus.protocol import agent as wire

STORED_SECONDS = 3.0  # reports are written once a second
PER_HOUR = 3600 / wire.HEARTBEAT_SECONDS
AGENTS_AT_REST = 1_000


class Beats:
    """One agent's heartbeats: the message is made once, and only its nonce changes."""

    def __init__(self, stream: Stream, agent: Agent) -> None:
        self.stream = stream
        self.accepted = 0
        self.frame_bytes = 0
        self._ends = False
        self._before, self._after = _message(agent)
        stream.on_ack = self._accepted

    def start(self) -> None:
        """Send heartbeats without end."""
        self._ends = False
        self._send()

    def once(self) -> None:
        """Send one heartbeat."""
        self._ends = True
        self._send()

    def stop(self) -> None:
        self._ends = True

    def _accepted(self, stream: Stream) -> None:
        self.accepted += 1
        if not self._ends:
            self._send()

    def _send(self) -> None:
        self.frame_bytes = self.stream.send(self._before + self.stream.nonce.encode() + self._after)


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds, seconds = size.pick(20, 500), size.pick(1, 5), size.pick(1, 4)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        await mesh.agents(1, "jump")
        agents = await mesh.agents(count)
        async with connected(server, agents) as streams:
            beats = [Beats(stream, agent) for stream, agent in zip(streams, agents, strict=True)]
            frames = await _one_each(beats)
            with server.spending() as spent:
                for each in beats:
                    each.start()
                rates = [await _rate(beats, seconds) for _ in range(rounds)]
            total = sum(each.accepted for each in beats) - count
            for each in beats:
                each.stop()
            await asyncio.sleep(STORED_SECONDS)
        what = f"heartbeats accepted per second, {count:,} agents"
        yield Row.of(what, "/s", rates, goal=Goal(20_000, at_least=True), cpu=spent.cpu, operations=total)
        yield Row("  … server CPU for each", "µs", spent.cpu / total * 1e6, goal=Goal(27.0))
        lost = count - await _stored(server, agents)
        yield Row("  … agents whose report a kill -9 has lost", "", lost, goal=Goal(0))
    up, down = frames
    hourly = (up + down) * PER_HOUR * AGENTS_AT_REST / 1e6
    note = f"{up} bytes up and {down} down every {wire.HEARTBEAT_SECONDS} s, frames without TLS, TCP and IP"
    yield Row(f"idle traffic of {AGENTS_AT_REST:,} agents per hour", "MB", hourly, goal=Goal(40.0), note=note)


async def _one_each(beats: Sequence[Beats]) -> tuple[int, int]:
    """One heartbeat of each agent; bytes of a heartbeat's frame and of its acknowledgement's."""
    before = sum(each.stream.received for each in beats)
    for each in beats:
        each.once()
    deadline = time.monotonic() + STORED_SECONDS
    while any(each.accepted == 0 for each in beats):
        if time.monotonic() > deadline:
            raise AssertionError("a heartbeat was not acknowledged")
        await asyncio.sleep(0.01)
    down = sum(each.stream.received for each in beats) - before
    return beats[0].frame_bytes, down // len(beats)


async def _rate(beats: Sequence[Beats], seconds: float) -> float:
    before, started = sum(each.accepted for each in beats), time.perf_counter()
    await asyncio.sleep(seconds)
    return (sum(each.accepted for each in beats) - before) / (time.perf_counter() - started)


async def _stored(server: Server, agents: Sequence[Agent]) -> int:
    """How many agents' reports outlived a kill of the server."""
    server.kill()
    await server.start()
    seen, after = set(), ""
    async with server.clients(1) as (client,):
        while True:
            page = await client.call("GET", f"/api/v1/peers?limit=1000{after}")
            seen |= {peer["id"] for peer in page["items"] if peer["status"]["last_seen"] is not None}
            if page["next"] is None:
                return len(seen & {agent.peer_id for agent in agents})
            after = f"&after={page['next']}"


def _message(agent: Agent) -> tuple[bytes, bytes]:
    """What stands before and after the nonce: an agent at rest that reports its one tunnel."""
    beat = wire.Heartbeat(
        nonce="NONCE",
        hostname=agent.name,
        machine_id=agent.peer_id.replace("-", ""),
        boot_id=agent.peer_id,
        agent_version="0.1.0",
        host_uptime=1_000_000,
        agent_uptime=100_000,
        revision=1_000,
        peers=(wire.PeerReport(random_key(), "198.51.100.7:51820", 1_700_000_000, 10_000_000, 10_000_000),),
    )
    before, _, after = wire.encode(beat).partition(b"NONCE")
    return before, after
