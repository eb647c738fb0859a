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
# WireGuard makes a new handshake every two minutes: what an agent at rest has to tell of its one tunnel.
BEATS_PER_REPORT = 120 // wire.HEARTBEAT_SECONDS


class Beats:
    """One agent's heartbeats: the messages are made once, and only their nonce changes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.accepted = 0
        self.frame_bytes = 0
        self._ends = False
        self._sent = 0
        self._plain, self._reporting = _message(), _message(_a_report())
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
        before, after = self._plain if self._sent % BEATS_PER_REPORT else self._reporting
        self.frame_bytes += self.stream.send(before + self.stream.nonce.encode() + after)
        self._sent += 1


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds, seconds = size.pick(20, 500), size.pick(1, 5), size.pick(1, 4)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        await mesh.agents(1, "jump")
        agents = await mesh.agents(count)
        async with connected(server, agents) as streams:
            beats = [Beats(stream) for stream in streams]
            frames = await _first_two_minutes(beats)
            with server.spending() as spent:
                for each in beats:
                    each.start()
                rates = [await _rate(beats, seconds) for _ in range(rounds)]
            total = sum(each.accepted for each in beats) - count * BEATS_PER_REPORT
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
    note = f"{up:.0f} bytes up and {down:.0f} down every {wire.HEARTBEAT_SECONDS} s, frames without TLS, TCP and IP"
    yield Row(f"idle traffic of {AGENTS_AT_REST:,} agents per hour", "MB", hourly, goal=Goal(40.0), note=note)


async def _first_two_minutes(beats: Sequence[Beats]) -> tuple[float, float]:
    """As many heartbeats as an agent at rest sends between two handshakes; mean bytes of their frames up and down."""
    before = sum(each.stream.received for each in beats)
    for round_number in range(1, BEATS_PER_REPORT + 1):
        for each in beats:
            each.once()
        deadline = time.monotonic() + STORED_SECONDS
        while any(each.accepted < round_number for each in beats):
            if time.monotonic() > deadline:
                raise AssertionError("a heartbeat was not acknowledged")
            await asyncio.sleep(0.01)
    total = len(beats) * BEATS_PER_REPORT
    down = sum(each.stream.received for each in beats) - before
    return sum(each.frame_bytes for each in beats) / total, down / total


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


def _message(*reports: wire.PeerReport) -> tuple[bytes, bytes]:
    """What stands before and after the nonce in a heartbeat of an agent that the server knows already."""
    beat = wire.Heartbeat("NONCE", revision=1_000, peers=reports)
    before, _, after = wire.encode(beat).partition(b"NONCE")
    return before, after


def _a_report() -> wire.PeerReport:
    return wire.PeerReport(random_key(), "198.51.100.7:51820", 1_700_000_000, 10_000_000, 10_000_000)
