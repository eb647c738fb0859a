"""A change that is made again and again, each time until the last agent that it concerns has it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.measure import Goal, Row
from bench.mesh import Mesh
from bench.stream import Stream, expect_all

# Further apart than the pause that a stream makes after a message, so that no round waits for the one before.
APART_SECONDS = 0.1


@dataclass(slots=True)
class Rounds:
    """Milliseconds from sending the request to the last arrival, and the frames' bytes to all agents.

    `concerned` counts the agents that a change is told to.
    """

    concerned: int
    times: list[float] = field(default_factory=list)
    kilobytes: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def rows(self, what: str, milliseconds: float, kilobytes: float | None) -> Iterator[Row]:
        """CPU time is that of each agent that was told, the request's own included."""
        operations = len(self.times) * self.concerned
        yield Row.of(what, "ms", self.times, goal=Goal(milliseconds), cpu=self.cpu, operations=operations)
        goal = None if kilobytes is None else Goal(kilobytes)
        yield Row.of("  … sent to all agents", "kB", self.kilobytes, goal=goal)


async def repeated(
    mesh: Mesh,
    streams: Sequence[Stream],
    concerned: Sequence[Stream],
    change: Callable[[int], Awaitable[object]],
    rounds: int,
) -> Rounds:
    """Make the change, which takes one revision, so many times, each time waiting for the last of `concerned`."""
    found = Rounds(len(concerned))
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
