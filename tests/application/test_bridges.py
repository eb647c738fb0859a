"""Bridges between two backends: who may do what, what each side learns of it, and that nothing refused changes them."""

from dataclasses import replace
from ipaddress import ip_network
from itertools import product
from uuid import UUID, uuid4

import pytest
from httpx2 import Response

from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.federation.bridge import TRANSITIONS, Action, Side, State, Statement, Terms
from isthmus.domain.federation.finding import PREFIX_OVERLAP
from isthmus.domain.federation.remote import Direction
from isthmus.server.application.bridges import Acceptance, Proposal
from isthmus.server.application.remotes import Update
from isthmus.server.records import Outcome, Page
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.joining import (
    OFFICE,
    PLANT,
    PLANT_V4,
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
from tests.builders import a_key

Pair = tuple[Backend, Backend]


@pytest.fixture
async def joined(pair: Pair) -> Joined:
    return await prepared(*pair)


# ── the way of a bridge ──────────────────────────────────────────────────────────────────────────────────────────────


@BOTH_DATABASES
async def test_a_bridge_is_proposed_accepted_and_effective_once_both_have_heard(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.propose(reason="for the wiki")
    ours, theirs = await bridge_of(a, bridge_id), await bridge_of(b, bridge_id)
    assert (ours.state, ours.proposed_by, ours.network_id) == (State.PROPOSED, Side.OURS, OFFICE.id)
    assert (theirs.state, theirs.proposed_by, theirs.network_id) == (State.PROPOSED, Side.THEIRS, None)
    assert theirs.theirs is not None
    assert (theirs.theirs.terms.prefixes, theirs.theirs.terms.network) == ((OFFICE.cidr_v6,), "office")
    assert theirs.theirs.terms.gateways[0].public_key == a_key(1)
    assert theirs.reason == "for the wiki"
    assert await joined.are_effective(bridge_id) == (False, False)

    # Accepted there, and not heard of here yet: nothing passes.
    await b.services.bridges.accept(ADA, bridge_id, Acceptance(PLANT.id), None)
    assert await joined.are_effective(bridge_id) == (False, False)
    await b.work()
    assert await joined.are_effective(bridge_id) == (True, False)
    await a.work()
    assert await joined.are_effective(bridge_id) == (True, True)
    ours, theirs = await bridge_of(a, bridge_id), await bridge_of(b, bridge_id)
    assert (ours.accepted, theirs.accepted) == ((PLANT.cidr_v6,), (OFFICE.cidr_v6,))
    assert theirs.network_id == PLANT.id
    for side, action in ((a, "bridge.propose"), (b, "bridge.proposed-there"), (b, "bridge.accept"), (a, "bridge.told")):
        assert len(await rows(side, action)) == 1, action


@pytest.mark.case("SEED-120")
async def test_there_is_one_live_bridge_of_a_network_with_a_remote(joined: Joined) -> None:
    a = joined.a
    bridge_id = await joined.propose()
    for state in (State.PROPOSED, State.ACTIVE, State.SUSPENDED):
        await put_in_state(a, bridge_id, state)
        await unmoved(a, a.services.bridges.propose(ADA, Proposal(B, OFFICE.id)), bridge_id)
        assert len(await a.services.bridges.page(Page())) == 1
    await a.services.bridges.revoke(ADA, bridge_id, "", None)
    made = (await a.services.bridges.propose(ADA, Proposal(B, OFFICE.id))).bridge
    assert (made.state, made.generation) == (State.PROPOSED, 2)
    assert made.id != bridge_id
    await joined.settle()
    assert (await bridge_of(joined.b, made.id)).generation == 2


async def test_nobody_accepts_his_own_proposal(joined: Joined) -> None:
    bridge_id = await joined.propose()
    own = joined.a.services.bridges.accept(ADA, bridge_id, Acceptance(OFFICE.id), None)
    assert "we have proposed it" in str(await unmoved(joined.a, own, bridge_id))
    await joined.accept(bridge_id)
    assert await joined.are_effective(bridge_id) == (True, True)


@pytest.mark.case("SEED-151")
@pytest.mark.parametrize("has_heard", [True, False])
async def test_what_was_revoked_before_is_accepted_no_more(joined: Joined, has_heard: bool) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.propose()
    await a.services.bridges.revoke(ADA, bridge_id, "changed our mind", None)
    if has_heard:
        await joined.settle()
        late = b.services.bridges.accept(ADA, bridge_id, Acceptance(PLANT.id), None)
        await unmoved(b, late, bridge_id)
    else:
        # Both at the same time: the acceptance meets a bridge that is revoked.
        await b.services.bridges.accept(ADA, bridge_id, Acceptance(PLANT.id), None)
        said = (await bridge_of(b, bridge_id)).statement
        assert said is not None
        denials = len(await a.audit())
        answer = await told(b, a, said)
        assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed")
        assert len(await a.audit()) == denials + 1
        await joined.settle()
    assert await joined.states(bridge_id) == (State.REVOKED, State.REVOKED)
    again = await joined.propose()
    await joined.accept(again)
    assert await joined.are_effective(again) == (True, True)


async def test_suspension_keeps_all_that_the_bridge_is_and_resumption_brings_it_back(joined: Joined) -> None:
    bridge_id = await joined.joined()
    before = await bridge_of(joined.a, bridge_id)
    await joined.a.services.bridges.suspend(ADA, bridge_id, "maintenance", None)
    assert await joined.are_effective(bridge_id) == (False, True)
    await joined.settle()
    assert await joined.are_effective(bridge_id) == (False, False)
    during = await bridge_of(joined.a, bridge_id)
    kept = ("network_id", "offered", "accepted", "ours", "theirs", "generation")
    assert [getattr(during, name) for name in kept] == [getattr(before, name) for name in kept]
    await joined.a.services.bridges.resume(ADA, bridge_id, "", None)
    await joined.settle()
    assert await joined.are_effective(bridge_id) == (True, True)
    history = [row.action for row in await joined.a.audit() if row.subject == str(bridge_id)]
    assert history[-2:] == ["bridge.suspend", "bridge.resume"]


@pytest.mark.case("BRIDGE-003")
async def test_nobody_lifts_the_suspension_of_the_other_side(joined: Joined) -> None:
    a, b = joined.a.services.bridges, joined.b.services.bridges
    bridge_id = await joined.joined()
    await b.suspend(ADA, bridge_id, "", None)
    await joined.settle()
    await unmoved(joined.a, a.resume(ADA, bridge_id, "", None), bridge_id)
    assert await joined.are_effective(bridge_id) == (False, False)
    assert (await a.get(bridge_id)).obstacles == ["suspended by the other side"]
    await a.suspend(ADA, bridge_id, "", None)
    await joined.settle()
    await b.resume(ADA, bridge_id, "", None)
    await joined.settle()
    assert await joined.are_effective(bridge_id) == (False, False)
    await a.resume(ADA, bridge_id, "", None)
    await joined.settle()
    assert await joined.are_effective(bridge_id) == (True, True)


async def test_the_reason_of_a_revocation_is_in_the_audit_of_both_sides(joined: Joined) -> None:
    bridge_id = await joined.joined()
    await joined.a.services.bridges.revoke(ADA, bridge_id, "the contract ended", None)
    await joined.settle()
    assert await joined.states(bridge_id) == (State.REVOKED, State.REVOKED)
    assert [row.facts["reason"] for row in await rows(joined.a, "bridge.revoke")] == ["the contract ended"]
    heard = [row for row in await rows(joined.b, "bridge.told") if row.facts["there"] == "revoked"]
    assert [(row.facts["reason"], row.facts["state"]) for row in heard] == [("the contract ended", "revoked")]
    assert (await bridge_of(joined.b, bridge_id)).reason == "the contract ended"


@pytest.mark.case("SEED-155")
async def test_a_suspended_bridge_is_revoked_for_good(joined: Joined) -> None:
    service = joined.a.services.bridges
    bridge_id = await joined.joined()
    await service.suspend(ADA, bridge_id, "", None)
    await service.revoke(ADA, bridge_id, "", None)
    await unmoved(joined.a, service.resume(ADA, bridge_id, "", None), bridge_id)
    assert (await bridge_of(joined.a, bridge_id)).state is State.REVOKED


@pytest.mark.case("SEED-156")
async def test_revoked_is_final_and_a_new_bridge_is_another_one(joined: Joined) -> None:
    a, b = joined.a.services.bridges, joined.b.services.bridges
    bridge_id = await joined.joined()
    await a.revoke(ADA, bridge_id, "", None)
    await joined.settle()
    for side, service in ((joined.a, a), (joined.b, b)):
        for action in Action:
            await unmoved(side, by(service, action)(bridge_id), bridge_id)
        with pytest.raises(TransitionNotAllowed):
            await service.accept_prefixes(ADA, bridge_id, [], None)
    again = (await a.propose(ADA, Proposal(B, OFFICE.id))).bridge
    assert (again.generation, again.state) == (2, State.PROPOSED)
    assert again.id != bridge_id
    assert (await bridge_of(joined.a, bridge_id)).state is State.REVOKED


async def test_only_the_drawn_moves_are_made(joined: Joined) -> None:
    b = joined.b
    bridge_id = await joined.propose()
    for state, action in product(State, Action):
        await put_in_state(b, bridge_id, state)
        move = by(b.services.bridges, action)
        if (state, action) in TRANSITIONS:
            assert (await move(bridge_id)).bridge.state is TRANSITIONS[state, action]
        else:
            await unmoved(b, move(bridge_id), bridge_id)


# ── what a remote may say ────────────────────────────────────────────────────────────────────────────────────────────


async def refused_and_logged(side: Backend, answer: Response, *codes: str) -> None:
    """One of these refusals, and one row of it."""
    problem = answer.json()
    assert (answer.status_code, problem["code"] in codes) == (404 if problem["code"] == "not_found" else 409, True)
    (row,) = [each for each in await side.audit() if each.request_id == problem["request_id"]]
    assert row.outcome is Outcome.DENIED


@pytest.mark.case("BRIDGE-001")
@pytest.mark.parametrize("state", State)
async def test_the_bridge_of_another_remote_is_unknown(joined: Joined, state: State) -> None:
    bridge_id = await joined.joined()
    async with joined.a.store.transaction() as tx:
        await tx.bridges.save(
            before := replace(await tx.bridges.get(bridge_id), remote=A, network_id=None, state=state)
        )
    said = (await bridge_of(joined.b, bridge_id)).statement
    assert said is not None
    words = [replace(said, state=each, revision=9) for each in State]
    for word in (said, *words, replace(said, bridge=uuid4())):
        await refused_and_logged(joined.a, await told(joined.b, joined.a, word), "not_found")
    async with joined.a.store.reading() as tx:
        assert await tx.bridges.get(bridge_id) == before


@pytest.mark.case("BRIDGE-001")
@pytest.mark.parametrize(("ours", "said"), [*product(State, State)])
async def test_of_what_a_remote_says_its_acceptance_opens_our_proposal_and_a_revocation_ends_it_and_nothing_else_moves(
    joined: Joined, ours: State, said: State
) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    await put_in_state(a, bridge_id, ours)
    before, word = await bridge_of(a, bridge_id), (await bridge_of(b, bridge_id)).statement
    assert word is not None
    answer = await told(b, a, replace(word, state=said, revision=word.revision + 7))
    after = await bridge_of(a, bridge_id)
    if answer.status_code == 200:
        is_answer = ours is State.PROPOSED and said in (State.ACTIVE, State.SUSPENDED)
        kept = State.ACTIVE if is_answer else ours
        assert after.state is (State.REVOKED if State.REVOKED in (ours, said) else kept)
        assert after.theirs is not None
        assert after.theirs.state in (said, word.state)
        assert after.is_effective is (after.state is State.ACTIVE and after.theirs.state is State.ACTIVE)
    else:
        await refused_and_logged(a, answer, "transition_not_allowed", "version_conflict", "not_found")
        assert after == before


@pytest.mark.case("BRIDGE-004")
async def test_a_word_of_an_old_generation_has_no_effect_on_the_new_one(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.propose()
    await joined.accept(bridge_id)
    recorded = (await bridge_of(b, bridge_id)).statement
    assert recorded is not None
    await a.services.bridges.revoke(ADA, bridge_id, "", None)
    await joined.settle()
    again = await joined.propose()
    denials = len(await a.audit())
    answer = await told(b, a, recorded)
    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")
    swapped = await told(b, a, replace(recorded, bridge=again))
    assert (swapped.status_code, swapped.json()["code"]) == (409, "version_conflict")
    assert len(await a.audit()) == denials + 2
    assert (await bridge_of(a, again)).state is State.PROPOSED
    await joined.accept(again)
    assert await joined.are_effective(again) == (True, True)


async def test_a_remote_opens_and_moves_nothing_but_its_own_side(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.propose()
    # B says that it is active before A has accepted anything, and of bridges that nobody has proposed.
    proposal = Statement(uuid4(), 1, 1, State.PROPOSED, Terms("plant", (PLANT.cidr_v6,)))
    assert (await told(b, a, proposal)).status_code == 200
    for state in (State.ACTIVE, State.SUSPENDED):
        invented = replace(proposal, bridge=uuid4(), state=state)
        assert (await told(b, a, invented)).json()["code"] == "not_found"
    assert (await told(b, a, replace(proposal, state=State.ACTIVE, revision=2))).status_code == 200
    made = await bridge_of(a, proposal.bridge)
    assert (made.state, await is_effective(a, made.id)) == (State.PROPOSED, False)
    backwards = await told(b, a, replace(proposal, revision=3))
    assert backwards.json()["code"] == "transition_not_allowed"
    # A's own word, sent back to it, is nobody's.
    own = (await bridge_of(a, bridge_id)).statement
    assert own is not None
    assert (await told(b, a, replace(own, revision=9))).json()["code"] == "transition_not_allowed"


IMPOSSIBLE = ("fd12:3456:789a:1::/64", "10.20.0.0/16", "::/0", "0.0.0.0/0", "ff02::/64", "fe80::/64", "2000::/3")


@pytest.mark.case("BRIDGE-006")
async def test_an_impossible_prefix_is_refused_and_leaves_a_finding(joined: Joined) -> None:
    a, b = joined.a, joined.b
    for number, prefix in enumerate(IMPOSSIBLE, 1):
        said = Statement(uuid4(), 1, 1, State.PROPOSED, Terms("plant", (ip_network(prefix),)))
        denials = len(await a.audit())
        answer = await told(b, a, said)
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert "office" not in answer.text
        found = [each for each in await a.services.findings.page(10, None) if each.kind == PREFIX_OVERLAP]
        assert [(each.domain, each.count) for each in found] == [(B, number)]
        assert len(await a.audit()) == denials + 1
    assert await a.services.bridges.page(Page()) == []
    free = Statement(uuid4(), 1, 1, State.PROPOSED, Terms("plant", (PLANT.cidr_v6,)))
    assert (await told(b, a, free)).status_code == 200


async def test_a_prefix_that_another_remote_was_let_in_with_is_refused_by_containment(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    async with a.store.transaction() as tx:  # as if it were that of another remote
        other = await tx.bridges.get(bridge_id)
        await tx.bridges.save(replace(other, remote=A))
    said = Statement(uuid4(), 1, 1, State.PROPOSED, Terms("plant", (ip_network("fd99:1:2:1:8000::/65"),)))
    answer = await told(b, a, said)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_what_the_other_side_offers_later_waits_for_the_operator_and_what_it_withdraws_goes_at_once(
    joined: Joined,
) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    said = (await bridge_of(b, bridge_id)).statement
    assert said is not None
    more = replace(said, revision=8, terms=replace(said.terms, prefixes=(*said.terms.prefixes, PLANT_V4)))
    assert (await told(b, a, more)).status_code == 200
    assert (await bridge_of(a, bridge_id)).accepted == (PLANT.cidr_v6,)
    with pytest.raises(TransitionNotAllowed, match="is not offered"):
        await a.services.bridges.accept_prefixes(ADA, bridge_id, ["10.97.0.0/24"], None)
    with pytest.raises(InvalidValue):
        await a.services.bridges.accept_prefixes(ADA, bridge_id, ["10.99.0.7/24"], None)
    await a.services.bridges.accept_prefixes(ADA, bridge_id, [], None)
    assert (await bridge_of(a, bridge_id)).accepted == more.terms.prefixes
    fewer = replace(more, revision=9, terms=replace(said.terms, prefixes=(PLANT_V4,)))
    assert (await told(b, a, fewer)).status_code == 200
    assert (await bridge_of(a, bridge_id)).accepted == (PLANT_V4,)
    # What overlaps ours is heard of and never let in.
    odd = replace(fewer, revision=10, terms=replace(said.terms, prefixes=(PLANT_V4, OFFICE.cidr_v6)))
    assert (await told(b, a, odd)).status_code == 200
    with pytest.raises(InvalidValue, match="overlaps"):
        await a.services.bridges.accept_prefixes(ADA, bridge_id, [], None)


async def test_a_remote_has_room_for_so_many_bridges(joined: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.server.application.bridges.MOST_BRIDGES", 2)
    proposal = Statement(UUID(int=1), 1, 1, State.PROPOSED, Terms("plant", (PLANT.cidr_v6,)))
    answers = [await told(joined.b, joined.a, replace(proposal, bridge=uuid4())) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 409]


async def test_a_remote_without_the_component_proposes_nothing_and_still_ends_what_there_is(joined: Joined) -> None:
    a, b = joined.a, joined.b
    bridge_id = await joined.joined()
    await a.services.remotes.update(ADA, B, Update(components=["directory"], direction=Direction.OUT), None)
    proposal = Statement(uuid4(), 1, 1, State.PROPOSED, Terms("plant", (PLANT.cidr_v6,)))
    assert (await told(b, a, proposal)).json()["code"] == "federation_denied"
    await b.services.bridges.revoke(ADA, bridge_id, "", None)
    await joined.settle()
    assert await joined.states(bridge_id) == (State.REVOKED, State.REVOKED)
