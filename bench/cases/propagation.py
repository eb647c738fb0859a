"""From a change to the last connected agent that it concerns: when only jump peers are, and when everyone is."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.measure import Goal, Row, Size
from bench.mesh import Mesh, connected
from bench.server import running
from bench.stream import Stream, config_of, expect_all

# Further apart than the pause that a stream makes after a message, so that no round waits for the one before.
APART_SECONDS = 0.1
OFFER = "172.31.{}.0/24"


@dataclass(slots=True)
class Rounds:
    """Milliseconds from sending the request to the last arrival, and the frames' bytes to all agents."""

    times: list[float] = field(default_factory=list)
    kilobytes: list[float] = field(default_factory=list)
    cpu: float = 0.0


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds = size.pick(30, 1_000), size.pick(4, 30)
    async with running() as server:
        mesh = await Mesh.made_on(server)
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        gateway = (await mesh.create(mesh.draft("static")))["peer"]["id"]
        second = (await mesh.agents(1, "jump"))[0].peer_id
        async with connected(server, agents) as streams:
            jump = streams[:1]
            drafts = iter([mesh.draft("static") for _ in range(rounds)])
            keys: list[str] = []

            async def create(number: int) -> None:
                draft = next(drafts)
                keys.append(draft["public_key"])
                await mesh.create(draft)

            created = await _repeated(mesh, streams, jump, create, rounds)
            listed = {neighbour.public_key for neighbour in config_of(jump[0]).neighbours}
            if not listed.issuperset(keys):
                raise AssertionError("the jump peer lacks a peer that was created")

            async def offer(number: int) -> None:
                await mesh.patch(gateway, additional_allowed_ips=[OFFER.format(number)])

            offered = await _repeated(mesh, streams, streams, offer, rounds)
            if OFFER.format(rounds - 1) not in config_of(streams[-1]).routes:
                raise AssertionError("the last agent lacks the range that was offered")

            async def move(number: int) -> None:
                await mesh.patch(second, endpoint=f"198.51.100.8:{20_000 + number}")

            moved = await _repeated(mesh, streams, streams, move, rounds)
    for row in _rows(f"a static peer is created → its jump peer has it, {count:,} connected", created, 4.0, rounds):
        yield row
    for row in _rows(f"a range is offered → the last of {count:,} has it", offered, 300.0, rounds * count):
        yield row
    for row in _rows(f"a jump peer's endpoint moves → the last of {count:,} has it", moved, 300.0, rounds * count):
        yield row


def _rows(what: str, found: Rounds, kilobytes: float, operations: int) -> list[Row]:
    return [
        Row.of(what, "ms", found.times, goal=Goal(50.0), cpu=found.cpu, operations=operations),
        Row.of("  … sent to all agents", "kB", found.kilobytes, goal=Goal(kilobytes)),
    ]


async def _repeated(
    mesh: Mesh,
    streams: Sequence[Stream],
    concerned: Sequence[Stream],
    change: Callable[[int], Awaitable[None]],
    rounds: int,
) -> Rounds:
    """Make the change again and again, each time waiting for the last of `concerned`."""
    found = Rounds()
    revision = await mesh.revision()
    for number in range(rounds):
        revision += 1
        await asyncio.sleep(APART_SECONDS)
        gate = expect_all(concerned, revision)
        before = sum(stream.received for stream in streams)
        with mesh.server.spending() as spent:
            started = time.perf_counter()
            await change(number)
            found.times.append((await gate.opened() - started) * 1e3)
        found.cpu += spent.cpu
        await asyncio.sleep(APART_SECONDS)
        found.kilobytes.append((sum(stream.received for stream in streams) - before) / 1e3)
    return found
