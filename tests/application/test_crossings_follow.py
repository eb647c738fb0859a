"""The crossings of two backends as the server assembles it: whatever opened them closes them as well."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from isthmus.domain.federation.granting import Draft
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import State, Strategy
from isthmus.domain.mesh.crossing import INGRESSES, Crossing
from isthmus.server.application.bridge_upkeep import LONGEST_WAIT
from isthmus.server.application.federation_facts import Update
from isthmus.server.application.instances import Request
from isthmus.server.application.overlays import overlays_of
from isthmus.server.application.services import Draft as ServiceDraft
from isthmus.server.records import Commit
from isthmus.x509.request import make_request
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.joining import OFFICE, PLANT, A, B, Joined, bridge_of, is_effective, prepared
from tests.application.pair import Side
from tests.builders import a_peer
from tests.contract.filling import put_peers

Pair = tuple[Side, Side]


@pytest.fixture
async def joined(pair: Pair) -> Joined:
    return await prepared(*pair)


async def crossings(side: Side) -> list[Crossing]:
    """What the agents of the side's network were told last."""
    async with side.store.reading() as tx:
        return await tx.crossings.of_network((OFFICE if side.domain == A else PLANT).id)


async def is_dialled(side: Side) -> bool:
    """Whether the side's Federator and ingress may use the bridge."""
    async with side.store.reading() as tx:
        found = await overlays_of(tx)
    assert bool(found.bridges) is bool(found.bridged)
    return bool(found.bridges)


def told(side: Side) -> list[Commit]:
    return [commit for commit in side.heard.commits if commit.event == "bridge.changed"]


@BOTH_DATABASES
async def test_a_backend_that_federates_with_nobody_closes_all_crossings_in_that_transaction(joined: Joined) -> None:
    a = joined.a
    bridge_id = await joined.joined()
    before = await crossings(a)
    assert [each.id for each in before] == [bridge_id]
    a.heard.commits.clear()
    await a.services.facts.update(ADA, Update(strategy=Strategy.NONE), None)
    assert (await crossings(a), await is_dialled(a)) == ([], False)
    assert [commit.crossings for commit in told(a)] == [{bridge_id: None}]
    found = await a.services.bridges.get(bridge_id)
    assert (found.bridge.state, found.obstacles) == (
        "active",
        ["this backend federates with nobody: its strategy is none"],
    )
    # The bridge stayed as it was, and is there again with the strategy.
    await a.services.facts.update(ADA, Update(strategy=Strategy.LIST), None)
    assert (await crossings(a), await is_dialled(a), await is_effective(a, bridge_id)) == (before, True, True)


async def test_facts_that_open_nothing_make_no_revision(joined: Joined) -> None:
    await joined.joined()
    joined.a.heard.commits.clear()
    for update in (Update(strategy=Strategy.ALL), Update(ports=[8443])):
        await joined.a.services.facts.update(ADA, update, None)
    assert told(joined.a) == []
    assert await crossings(joined.a)


async def by_notice(side: Side, other: Side) -> None:
    await other.work()


async def by_heartbeat(side: Side, other: Side) -> None:
    """The notice is lost."""
    other.wire.down.add(side.domain)
    await other.work()
    other.wire.down.clear()
    await side.beat()


@pytest.mark.parametrize("hears", [by_notice, by_heartbeat])
async def test_what_the_other_side_has_shut_is_shut_here(
    joined: Joined, hears: Callable[[Side, Side], Awaitable[None]]
) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    before = await crossings(a)
    await b.services.remotes.suspend(ADA, A)
    await hears(a, b)
    remote = await a.remote(B)
    assert (remote.state, remote.state_there) == (State.ACTIVE, State.SUSPENDED)
    assert (await crossings(a), await crossings(b), await is_dialled(a)) == ([], [], False)
    assert (await a.services.bridges.get(bridge_id)).obstacles == ["the remote b.example has suspended us"]
    await b.services.remotes.resume(ADA, A)
    await hears(a, b)
    assert (await crossings(a), await is_dialled(a)) == (before, True)
    assert await is_effective(a, bridge_id)


async def idle(side: Side, name: str) -> None:
    """Have that chore done until nothing wakes it any more."""
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.5):
                await side.chore(name)


async def woken(side: Side, name: str) -> None:
    """Have it done once more, long before it would look by itself."""
    async with asyncio.timeout(LONGEST_WAIT / 2):
        await side.chore(name)


async def test_an_instance_is_told_and_opened_as_soon_as_it_is_there_and_no_longer(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    host = a_peer(7, OFFICE)
    await put_peers(a.store, [host])

    async def said() -> set[InstanceId]:
        ours = (await bridge_of(a, bridge_id)).ours
        return set() if ours is None else set(ours.instances)

    async def opened() -> set[str]:
        return {flow.id for crossing in await crossings(a) for flow in crossing.flows if flow.id not in INGRESSES}

    await idle(a, "keeping what is said")
    issued = await a.services.instances.issue(ADA, "app", host.id, Request(make_request()[1]))
    instance = issued.standing.id
    await woken(a, "keeping what is said")
    assert await said() == {instance}
    await joined.settle()
    heard = (await bridge_of(b, bridge_id)).theirs
    assert heard is not None
    assert set(heard.terms.instances) == {instance}

    # What B grants to this instance alone is opened at A's own gateway from its addresses, as long as it is one.
    where = ServiceDraft("press", PLANT.id, "tcp", str(PLANT.cidr_v6[9]), ["443"])
    service = await b.services.catalogue.create(ADA, where)
    draft = Draft(f"bob@{A}", "service", str(service.id), ["connect"], instances=[str(instance)])
    grant = (await b.services.grants.create(ADA, draft)).grant
    await joined.settle()
    assert await opened() == {str(grant.id)}
    await idle(a, "closing")
    await a.services.instances.revoke(ADA, instance, "it was sold")
    await woken(a, "closing")
    assert await opened() == set()
    await woken(a, "keeping what is said")
    assert await said() == set()
