"""Creating peers in a group over HTTP, committed to disk: static ones with their own key and dynamic ones in turn."""

import time
from collections.abc import AsyncIterator, Sequence

from bench import postgres
from bench.measure import Goal, Row, Size
from bench.mesh import Mesh
from bench.server import Server, running

KINDS = ("static", "dynamic")
MORE = {"groups": ["servers"], "labels": {"site": "north", "team": "network", "owner": "ops"}}


async def on_sqlite(size: Size) -> AsyncIterator[Row]:
    async with running() as server:
        counts = (size.pick(10, 100), size.pick(20, 1_000), size.pick(50, 3_000))
        async for row in _rows(server, counts, size.pick(5, 50), Goal(4.0)):
            yield row


async def on_postgres(size: Size) -> AsyncIterator[Row]:
    counts = (size.pick(20, 400), size.pick(50, 3_000))
    try:
        async with postgres.running() as url, running(url) as server:
            async for row in _rows(server, counts, size.pick(5, 50), Goal(8.0)):
                yield row
    except postgres.PostgresUnavailable as reason:
        yield Row("PostgreSQL: create a peer", "ms", skipped=str(reason))


async def _rows(server: Server, counts: Sequence[int], rounds: int, goal: Goal) -> AsyncIterator[Row]:
    store = "SQLite" if server.database_url is None else "PostgreSQL"
    for count in counts:
        mesh = await Mesh.made_on(server, f"of-{count}", cidr_v4=f"10.{64 + counts.index(count)}.0.0/16")
        await mesh.load((await mesh.agents(1, "jump"))[0])
        await mesh.fill(count - 1)
        for kind, times, cpu in await _timed(mesh, rounds):
            what = f"{store}: create a {kind} peer in a group at {count:,} existing"
            yield Row.of(what, "ms", times, goal=goal, cpu=cpu, operations=rounds)


async def _timed(mesh: Mesh, rounds: int) -> list[tuple[str, list[float], float]]:
    """Kind, milliseconds of each creation, CPU seconds of all, the kinds taking turns."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu = dict.fromkeys(KINDS, 0.0)
    # CPU time comes in steps of 10 ms, so it is read once for several creations.
    for _ in range(5):
        for kind in KINDS:
            with mesh.server.spending() as spent:
                for _ in range(rounds // 5):
                    draft = mesh.draft(kind, **MORE)
                    started = time.perf_counter()
                    await mesh.create(draft)
                    times[kind].append((time.perf_counter() - started) * 1e3)
            cpu[kind] += spent.cpu
    return [(kind, times[kind], cpu[kind]) for kind in KINDS]
