"""From a change to the last connected agent that it concerns: when only jump peers are, and when everyone is."""

from collections.abc import AsyncIterator

from bench.changes import repeated
from bench.measure import Row, Size
from bench.mesh import Mesh, connected
from bench.server import running
from bench.stream import config_of

OFFER = "172.31.{}.0/24"
WITHIN_MS = 50.0
JUMPS_KB, ALL_KB = 4.0, 300.0


async def measured(size: Size) -> AsyncIterator[Row]:
    count, rounds = size.pick(30, 1_000), size.pick(4, 30)
    async for row in _through_jumps(count, rounds):
        yield row
    async for row in _directly(count, rounds):
        yield row


async def _through_jumps(count: int, rounds: int) -> AsyncIterator[Row]:
    """In a network without direct paths, where most changes are told to jump peers alone."""
    async with running() as server:
        mesh = await Mesh.made_on(server)
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        gateway = (await mesh.create(mesh.draft("static")))["peer"]["id"]
        second = (await mesh.agents(1, "jump"))[0].peer_id
        async with connected(server, agents) as streams:
            jump = streams[:1]
            drafts = [mesh.draft("static") for _ in range(rounds)]
            created = await repeated(mesh, streams, jump, lambda number: mesh.create(drafts[number]), rounds)
            listed = {neighbour.public_key for neighbour in config_of(jump[0]).neighbours}
            if not listed.issuperset(draft["public_key"] for draft in drafts):
                raise AssertionError("the jump peer lacks a peer that was created")

            async def offer(number: int) -> None:
                await mesh.patch(gateway, additional_allowed_ips=[OFFER.format(number)])

            offered = await repeated(mesh, streams, streams, offer, rounds)
            if OFFER.format(rounds - 1) not in config_of(streams[-1]).routes:
                raise AssertionError("the last agent lacks the range that was offered")
            moved = await repeated(mesh, streams, streams, lambda number: mesh.move(second, number), rounds)
    what = f"a static peer is created → its jump peer has it, {count:,} connected"
    for row in created.rows(what, WITHIN_MS, JUMPS_KB):
        yield row
    for row in offered.rows(f"a range is offered → the last of {count:,} has it", WITHIN_MS, ALL_KB):
        yield row
    for row in moved.rows(f"a jump peer's endpoint moves → the last of {count:,} has it", WITHIN_MS, ALL_KB):
        yield row


async def _directly(count: int, rounds: int) -> AsyncIterator[Row]:
    """In a network with direct paths, where every agent is told of every other one."""
    async with running() as server:
        mesh = await Mesh.made_on(server, direct_paths="on")
        agents = [*await mesh.agents(1, "jump"), *await mesh.agents(count - 1)]
        late = await mesh.fill(rounds, "dynamic")
        async with connected(server, agents) as streams, server.clients(1) as (client,):
            enrolled = await repeated(mesh, streams, streams, lambda number: mesh.enroll(client, late[number]), rounds)
            listed = {neighbour.name for neighbour in config_of(streams[-1]).neighbours}
            if not listed.issuperset(created["peer"]["name"] for created in late):
                raise AssertionError("the last agent lacks a peer that has enrolled")
    what = f"a peer enrolls, direct paths on → the last of {count:,} has it"
    for row in enrolled.rows(what, WITHIN_MS, ALL_KB):
        yield row
