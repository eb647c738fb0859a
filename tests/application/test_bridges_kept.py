"""Bridges over time: with their remotes and networks, after losses, and when two do things at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import Action, State
from isthmus.domain.federation.remote import State as Standing
from isthmus.server.application.bridges import Acceptance, Proposal, Shown
from isthmus.server.application.networks import NetworkService
from isthmus.server.ports import Conflict
from isthmus.server.records import Page
from tests.application.backend import ADA, BOTH_DATABASES, CountedIds, Heard
from tests.application.joining import (
    LAB,
    OFFICE,
    PLANT,
    A,
    B,
    Joined,
    bridge_of,
    by,
    is_effective,
    prepared,
    put_in_state,
    rows,
    told,
    unmoved,
)
from tests.application.pair import Side as Backend
from tests.application.pair import federated
from tests.builders import a_jump, a_key, a_network
from tests.contract.filling import put_network, put_peers

Pair = tuple[Backend, Backend]


@pytest.fixture
async def joined(pair: Pair) -> Joined:
    return await prepared(*pair)


# ── remotes and networks ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("SEED-119")
async def test_the_handshake_proposes_the_bridge_that_both_sides_have_named(pair: Pair) -> None:
    a, b = pair
    joined = await prepared(a, b)
    for side in (a, b):
        await side.services.remotes.remove(ADA, A if side is b else B)
    await joined.settle()
    made = await a.services.invitations.invite(ADA, B, network_id=OFFICE.id)
    await b.services.invitations.accept(ADA, made.text, network_id=PLANT.id)
    code = (await a.remote(B)).short_code
    await a.federation.upkeep.look()
    assert await a.services.bridges.page(Page()) == []
    await a.services.remotes.confirm(ADA, B, code)
    await b.services.remotes.confirm(ADA, A, code)
    await joined.settle()
    await a.federation.upkeep.look()
    await b.federation.upkeep.look()
    await joined.settle()
    (here,), (there,) = await a.services.bridges.page(Page()), await b.services.bridges.page(Page())
    assert here.bridge.id == there.bridge.id
    assert (here.bridge.state, here.bridge.network_id, here.bridge.proposed_by) == ("proposed", OFFICE.id, "ours")
    assert (there.bridge.state, there.bridge.network_id, there.bridge.proposed_by) == ("proposed", PLANT.id, "theirs")
    # The network that was named is the one that is joined, unless another is said.
    await b.services.bridges.accept(ADA, there.bridge.id, Acceptance(), None)
    await joined.settle()
    assert await joined.are_effective(here.bridge.id) == (True, True)
    for side in (a, b):
        async with side.store.reading() as tx:
            assert await tx.bridges.wishes() == []


async def test_a_suspended_remote_has_no_effective_bridge_and_its_bridges_stay_as_they_are(joined: Joined) -> None:
    a = joined.a
    bridge_id = await joined.joined()
    await a.services.remotes.suspend(ADA, B)
    found = await a.services.bridges.get(bridge_id)
    assert (found.bridge.state, found.remote) == (State.ACTIVE, Standing.SUSPENDED)
    assert found.obstacles == ["the remote b.example is not active here"]
    await a.services.remotes.resume(ADA, B)
    assert await is_effective(a, bridge_id)


@pytest.mark.case("BRIDGE-008")
@pytest.mark.parametrize("how", ["revoke", "remove"])
async def test_a_network_with_bridges_stays_and_a_remote_takes_its_bridges_with_it(joined: Joined, how: str) -> None:
    a, b = joined.a, joined.b
    networks = NetworkService(b.store, b.clock, CountedIds(), Heard())
    one = await joined.joined()
    # The second one comes from the other side, of another network.
    two = (await b.services.bridges.propose(ADA, Proposal(A, LAB.id))).bridge.id
    with pytest.raises(TransitionNotAllowed, match=r"has bridges with a\.example"):
        await networks.delete(ADA, PLANT.id, None, force=True)
    await getattr(b.services.remotes, how)(ADA, A)
    ended = await rows(b, "bridge.revoke")
    assert sorted(row.subject for row in ended) == sorted(map(str, (one, two)))
    assert {row.facts["reason"] for row in ended} == {"the remote was revoked"}
    await joined.settle()
    assert (await bridge_of(a, one)).state is State.REVOKED
    assert [row.subject for row in await rows(a, "bridge.revoke")] == [str(one)]
    await networks.delete(ADA, PLANT.id, None, force=True)
    assert (await b.services.bridges.get(one)).network is None


async def test_bridges_of_a_former_entry_are_not_revived_by_a_new_one(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    said = (await bridge_of(b, bridge_id)).statement
    assert said is not None
    await a.services.remotes.revoke(ADA, B)
    await joined.settle()
    await federated(a, b)
    answer = await told(b, a, replace(said, revision=9), generation=2)
    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")
    assert (await bridge_of(a, bridge_id)).state is State.REVOKED


# ── what is said by itself ───────────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_network_brings_in_is_told_when_it_changes(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    second = a_jump(2, OFFICE)
    await put_peers(a.store, [second])
    async with a.store.transaction() as tx:
        await tx.networks.save(replace(await tx.networks.get(OFFICE.id), primary_id=second.id))
    for _ in range(2):
        await a.federation.upkeep.look()
    await joined.settle()
    heard = (await bridge_of(b, bridge_id)).theirs
    assert heard is not None
    assert [each.public_key for each in heard.terms.gateways] == [a_key(2), a_key(1)]
    assert len(await rows(a, "bridge.terms")) == 1
    assert await joined.are_effective(bridge_id) == (True, True)


async def test_a_word_that_was_lost_is_said_again_after_a_heartbeat(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    await a.services.bridges.suspend(ADA, bridge_id, "", None)
    remote = await a.remote(B)
    async with a.store.transaction() as tx:  # the queue is lost
        await tx.outbox.drop_subject(remote.id, f"bridge {bridge_id}")
    await joined.settle()
    assert await is_effective(b, bridge_id)
    await a.beat()
    await joined.settle()
    assert not await is_effective(b, bridge_id)


async def test_a_side_whose_memory_was_set_back_is_heard_again(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    backup = await bridge_of(a, bridge_id)
    for _ in range(2):
        await a.services.bridges.suspend(ADA, bridge_id, "", None)
        await a.services.bridges.resume(ADA, bridge_id, "", None)
    await joined.settle()
    async with a.store.transaction() as tx:
        await tx.bridges.save(backup)
    await a.services.bridges.suspend(ADA, bridge_id, "", None)
    await joined.settle()
    # That number was heard before: it is passed over, until a heartbeat shows it.
    assert await is_effective(b, bridge_id)
    await a.beat()
    await joined.settle()
    assert not await is_effective(b, bridge_id)


async def test_one_subject_that_is_refused_for_ever_does_not_stop_the_others(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    async with b.store.transaction() as tx:  # b knows it as another one's
        await tx.bridges.save(replace(await tx.bridges.get(bridge_id), remote=B))
    await a.services.bridges.suspend(ADA, bridge_id, "", None)
    other = a_network(id=LAB.id, name="attic", cidr_v4=None, cidr_v6=ip_network("fd12:3456:789a:9::/64"))
    await put_network(a.store, other)
    made = (await a.services.bridges.propose(ADA, Proposal(B, other.id))).bridge
    await joined.settle()
    assert (await bridge_of(b, made.id)).state is State.PROPOSED
    assert (await a.services.remotes.details(B)).waiting == []


async def test_a_new_word_takes_the_place_of_the_one_that_waits(joined: Joined) -> None:
    a = joined.a
    bridge_id = await joined.joined()
    a.wire.down.add(B)
    for _ in range(3):
        await a.services.bridges.suspend(ADA, bridge_id, "", None)
        await a.services.bridges.resume(ADA, bridge_id, "", None)
    await a.services.bridges.suspend(ADA, bridge_id, "", None)
    (waiting,) = (await a.services.remotes.details(B)).waiting
    assert (waiting.lane, waiting.subject) == ("trust-revocation", f"bridge {bridge_id}")
    a.wire.down.clear()
    a.clock.turn(timedelta(minutes=5))
    await joined.settle()
    assert not await is_effective(joined.b, bridge_id)


@pytest.mark.case("BRIDGE-007")
@BOTH_DATABASES
async def test_of_two_opposite_actions_one_wins(joined: Joined) -> None:
    a = joined.a
    service = a.services.bridges
    bridge_id = await joined.propose()
    for number in range(50):
        await put_in_state(a, bridge_id, State.ACTIVE if number % 2 else State.SUSPENDED)
        before = await bridge_of(a, bridge_id)
        other = Action.SUSPEND if number % 2 else Action.RESUME
        results = await asyncio.gather(
            by(service, other)(bridge_id), by(service, Action.REVOKE)(bridge_id), return_exceptions=True
        )
        (winner,) = [each for each in results if isinstance(each, Shown)]
        (loser,) = [each for each in results if isinstance(each, Exception)]
        assert isinstance(loser, Conflict | TransitionNotAllowed)
        after = await bridge_of(a, bridge_id)
        assert (after, after.version) == (winner.bridge, before.version + 1)
    # One after the other both are done.
    await put_in_state(a, bridge_id, State.ACTIVE)
    for action in (Action.SUSPEND, Action.REVOKE):
        await by(service, action)(bridge_id)


async def test_a_change_for_another_version_is_refused(joined: Joined) -> None:
    bridge_id = await joined.joined()
    service = joined.a.services.bridges
    version = (await bridge_of(joined.a, bridge_id)).version
    await unmoved(joined.a, service.suspend(ADA, bridge_id, "", version + 1), bridge_id)
    await service.suspend(ADA, bridge_id, "", version)
