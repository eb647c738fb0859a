"""A call from one organisation to another: warm, cold, how much each hop costs, at a rate, and beside a loud remote."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence

from bench import postgres
from bench.hops import hops, timed
from bench.measure import Goal, Row, Size, percentile
from bench.organisations import (
    Component,
    Load,
    Outsider,
    accepted,
    at_rate,
    count_connections,
    organisations,
    spent,
    unlimited,
)
from lab.organisation import Organisation
from lab.waiting import wait_until

RATE = 200.0
WARM_MS, WARM_P99_MS, PER_CORE = 5.0, 15.0, 400.0
COMPONENT_MS, COMPONENT_POSTGRES_MS = 1.0, 2.0
CUT_MS, CUT_THERE_MS = 250.0, 2_000.0
DISTURBED = 1.1
GOOD = 200
QUOTA = 20.0
CALL = "directory/get-user-by-handle"
FEW = 5  # lines may still be on their way through the supervisor


async def measured(size: Size) -> AsyncIterator[Row]:
    with organisations("a", "b") as (a, b):
        unlimited(b, a)
        count_connections(b)
        async with Component(a) as component:
            await _warmed(component, b, 20)
            async for row in _warm(component, a, b, size):
                yield row
            yield await _at_rate(component, a, b, size)
            yield await _authorised(component, b, size, "SQLite", Goal(COMPONENT_MS))
            async for row in _by_hops(a, b, size):
                yield row
            yield await _cold(component, a, b, size)
            async for row in _cut(component, a, b, size):
                yield row
    async for row in _on_postgres(size):
        yield row


async def _on_postgres(size: Size) -> AsyncIterator[Row]:
    """What the authorisation costs where the records are in PostgreSQL."""
    try:
        async with postgres.running() as url:
            with organisations("a", "b", settings={"b": {"database_url": url}}) as (a, b):
                unlimited(b, a)
                async with Component(a) as component:
                    await _warmed(component, b, 20)
                    yield await _authorised(component, b, size, "PostgreSQL", Goal(COMPONENT_POSTGRES_MS))
    except postgres.PostgresUnavailable as reason:
        yield Row("PostgreSQL: a call is authorised and answered by its component", "ms", skipped=str(reason))


async def _authorised(component: Component, b: Organisation, size: Size, database: str, goal: Goal) -> Row:
    """From the head of a call to its answer within the server: context, standing, axes and the directory, in one
    transaction."""
    calls = size.pick(50, 1_000)
    before = len(b.log_of("server"))
    await _warmed(component, b, calls)
    lines = [json.loads(line) for line in b.log_of("server")[before:] if "answered a remote" in line]
    times = [each["milliseconds"] for each in lines if each["call"] == CALL]
    if len(times) < calls - FEW:
        raise AssertionError(f"of {calls} calls {len(times)} are in the log")
    return Row.of(f"{database}: a call is authorised and answered by its component", "ms", times, goal=goal)


async def _warmed(component: Component, b: Organisation, calls: int) -> None:
    for _ in range(calls):
        if (status := await component.call(b.domain)) != GOOD:
            raise AssertionError(f"a call was answered {status}")


async def _warm(component: Component, a: Organisation, b: Organisation, size: Size) -> AsyncIterator[Row]:
    """One call after the other, and the CPU time of every process that it passes."""
    calls = size.pick(50, 2_000)
    opened, before = accepted(b), spent([a, b])
    timed = [await component.timed(b.domain) for _ in range(calls)]
    after, connections = spent([a, b]), accepted(b) - opened
    _all_good([status for _, status in timed])
    each = {key: after[key] - before[key] for key in after}
    total = sum(each.values())
    yield Row.of(
        "federated call, warm, one after the other",
        "ms",
        [milliseconds for milliseconds, _ in timed],
        goal=Goal(WARM_MS),
        cpu=total,
        operations=calls,
        note=f"{connections} new connections; CPU in µs a call: {_shares(each, calls)}",
    )
    yield Row("federated call: new connections when warm", "", float(connections), goal=Goal(0.0))
    if total > 0:
        rate = calls / total
        yield Row("federated calls for each second of CPU, all processes of both", "/s", rate, goal=_at_least(PER_CORE))
        share = sum(value for (site, name), value in each.items() if name == "nginx") / total * 100
        yield Row("  of which the ingress", "%", share)
        share = sum(value for (site, name), value in each.items() if name == "federator") / total * 100
        yield Row("  of which both Federators", "%", share)


async def _by_hops(a: Organisation, b: Organisation, size: Size) -> AsyncIterator[Row]:
    """The same call begun nearer and nearer to its answer: the time of each hop is what it adds."""
    async with hops(a, b) as calls:
        await timed(calls, 20)
        times = await timed(calls, size.pick(50, 1_000))
    yield Row.of("the component, with its socket and the sealing of its context", "ms", times["the component"])
    medians = {name: statistics.median(values) for name, values in times.items()}
    for before, (name, median) in zip(medians.values(), list(medians.items())[1:], strict=False):
        yield Row(f"  {name} adds", "ms", median - before)


def _at_least(limit: float) -> Goal:
    return Goal(limit, at_least=True)


def _shares(each: dict[tuple[str, str], float], calls: int) -> str:
    return ", ".join(f"{site} {name} {value / calls * 1e6:.0f}" for (site, name), value in sorted(each.items()))


async def _at_rate(component: Component, a: Organisation, b: Organisation, size: Size) -> Row:
    seconds = size.pick(2, 60)
    before = sum(spent([a, b]).values())
    load = await at_rate(component, b.domain, RATE, seconds)
    used = sum(spent([a, b]).values()) - before
    _no_others(load)
    what = f"federated call at {RATE:.0f} a second for {seconds} s"
    goal = Goal(WARM_P99_MS, of_p99=True)
    return Row.of(what, "ms", load.times, goal=goal, cpu=used, operations=len(load.times))


async def _cold(component: Component, a: Organisation, b: Organisation, size: Size) -> Row:
    """The first call of a Federator that has just been started: discovery, handshake, and an empty cache of leaves."""
    times = []
    for _ in range(size.pick(1, 10)):
        a.restart("federator")
        await asyncio.to_thread(a.await_ingress)
        times.append(await _first_answer(a, b))
    return Row.of("federated call, cold: the caller's Federator was just started", "ms", times)


async def _first_answer(a: Organisation, b: Organisation) -> float:
    """Milliseconds of the first call that is answered, on a connection of its own."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        async with Component(a) as fresh:
            try:
                milliseconds, status = await fresh.timed(b.domain)
            except OSError:
                status = 0
        if status == GOOD:
            return milliseconds
        await asyncio.sleep(0.05)
    raise AssertionError("no call came through after the Federator was started again")


async def _cut(component: Component, a: Organisation, b: Organisation, size: Size) -> AsyncIterator[Row]:
    """B suspends A: how soon A's calls end here, and how soon A knows."""
    here, there = [], []
    for _ in range(size.pick(1, 20)):
        await _until(component, b, GOOD)
        started = time.perf_counter()
        answer = asyncio.to_thread(b.api.post, f"/remotes/{a.domain}/suspend", json={})
        (await answer).raise_for_status()
        here.append(await _until(component, b, 0) - started)
        told = await asyncio.to_thread(wait_until, lambda: _knows(a, b, "suspended"), within=30, what="A to know")
        there.append(told - started)
        (await asyncio.to_thread(b.api.post, f"/remotes/{a.domain}/resume", json={})).raise_for_status()
        await asyncio.to_thread(wait_until, lambda: _knows(a, b, "active"), within=30, what="A to know")
    await _until(component, b, GOOD)
    goal = Goal(CUT_MS, of_p99=True)
    yield Row.of("a remote is suspended → its calls are refused", "ms", [each * 1e3 for each in here], goal=goal)
    goal = Goal(CUT_THERE_MS, of_p99=True)
    yield Row.of("a remote is suspended → it knows", "ms", [each * 1e3 for each in there], goal=goal)


def _knows(a: Organisation, b: Organisation, state: str) -> float:
    """The present moment once A knows what B makes of it, else 0."""
    return time.perf_counter() if (a.remote(b) or {}).get("state_there") == state else 0.0


async def _until(component: Component, b: Organisation, wanted: int) -> float:
    """The moment at which a call was first answered with the wanted status; 0 stands for any but 200."""
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        status = await component.call(b.domain)
        if status == wanted or (not wanted and status != GOOD):
            return time.perf_counter()
        await asyncio.sleep(0 if not wanted else 0.05)
    raise AssertionError(f"no call was answered {wanted or 'with a refusal'}")


async def beside_a_loud_one(size: Size) -> AsyncIterator[Row]:
    """C calls B at ten times its quota; what A notices of it."""
    seconds = size.pick(2, 60)
    with organisations("a", "b", "c") as (a, b, c):
        unlimited(b, a)
        unlimited(b, c, a_second=QUOTA)
        async with Component(a) as good, Outsider(c, b) as loud:
            await _warmed(good, b, 20)
            alone = await at_rate(good, b.domain, QUOTA, seconds)
            _no_others(alone)
            both = await asyncio.gather(
                at_rate(good, b.domain, QUOTA, seconds), at_rate(loud, b.domain, 10 * QUOTA, seconds)
            )
            told_to_wait = loud.told_to_wait
    beside, noise = both
    ratio = percentile(beside.times, 99) / percentile(alone.times, 99)
    refused, of_good = sum(noise.others.values()), sum(beside.others.values())
    note = f"the loud one: {len(noise.times)} answered, {refused} refused {noise.others}"
    yield Row.of("federated call beside nobody", "ms", alone.times)
    yield Row.of("federated call beside a remote at ten times its quota", "ms", beside.times, note=note)
    yield Row("  p99 beside it ÷ p99 alone", "", ratio, goal=Goal(DISTURBED))
    yield Row("  calls that it was refused beside it", "", float(of_good), goal=Goal(0.0), note=f"{beside.others}")
    share = told_to_wait / max(refused, 1)
    what = "  share of the loud one's refusals that are 429 `rate_limited` with Retry-After"
    yield Row(what, "", share, goal=_at_least(1.0), note=f"{told_to_wait} of {refused}")


def _no_others(load: Load) -> None:
    if load.others:
        raise AssertionError(f"calls were refused: {load.others}")


def _all_good(statuses: Sequence[int]) -> None:
    if bad := {status for status in statuses if status != GOOD}:
        raise AssertionError(f"calls were answered {bad}")
