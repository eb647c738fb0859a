"""Calls that need a grant, from the context that the Federator has proven to the answer and its audit row."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.errors import TransitionNotAllowed
from isthmus.domain.federation.bridge import Hold, State
from isthmus.domain.federation.finding import GRANT_AXIS_EMPTY
from isthmus.domain.federation.grant import AxisMode, Disclose
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import State as Standing
from isthmus.protocol import resources as wire
from tests.application.backend import ADA, BOTH_DATABASES
from tests.application.granting import (
    ASKED,
    LISTS,
    NETWORK,
    OFFICE,
    OTHER_INSTANCE,
    PLANT,
    SOURCE,
    B,
    C,
    Owner,
    a_bridge,
)
from tests.application.pair import INSTANCE

A = "a.example"
BRIDGE = UUID(int=1)
WRONG: dict[str, Any] = {"instances": OTHER_INSTANCE, "networks": str(PLANT.id), "sources": "fd00:abcd:1235::7"}
EVERY_CALL = [
    ("read", wire.GetResource("network", NETWORK)),
    ("write", wire.UpdateResource("network", NETWORK, {"note": "x"})),
    ("migrate", wire.ExportResource("network", NETWORK)),
    ("admin", wire.GetGrants("network", NETWORK)),
]


async def rebridged(owner: Owner, **fields: Any) -> None:
    async with owner.side.store.transaction() as tx:
        for bridge in await tx.bridges.of_network(OFFICE.id):
            if bridge.remote == B:
                await tx.bridges.save(replace(bridge, **fields))


@pytest.mark.case("SEED-141", "SEED-146", "SEED-148")
@BOTH_DATABASES
async def test_an_allowed_call_is_answered_and_its_row_tells_grant_bridge_and_facts(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    answer = await owner.ask(issued.token)
    assert (answer.status_code, answer.json()["owner"], answer.json()["fields"]["name"]) == (200, A, "office")
    (row,) = await owner.rows()
    told = {name: row.facts[name] for name in ("instance", "network", "source", "assurance", "grant", "scope")}
    assert told == {
        "instance": INSTANCE,
        "network": NETWORK,
        "source": SOURCE,
        "assurance": "cryptokey",
        "grant": str(issued.grant.id),
        "scope": "read",
    }
    assert (row.facts["bridge_generation"], row.facts["listener"], "leaf" in row.facts) == (1, "wan", True)


@pytest.mark.case("SEED-118")
async def test_a_grant_without_restrictions_works_with_and_without_the_facts(owner: Owner) -> None:
    old, empty = await owner.grant(), await owner.grant(instances=[], networks=[], sources=[])
    for issued in (old, empty):
        axes = (issued.grant.instances, issued.grant.networks, issued.grant.sources)
        assert [axis.mode for axis in axes] == [AxisMode.ANY] * 3
        await owner.passed(issued.token)
        await owner.passed(issued.token, source="", network="wan")
        await owner.passed(issued.token, instance=OTHER_INSTANCE, source="nonsense")


@pytest.mark.case("SEED-122", "SEED-137", "SEED-138")
async def test_a_call_passes_only_if_every_list_holds_what_it_supplies(owner: Owner) -> None:
    for listed in product((False, True), repeat=3):
        axes = {name: LISTS[name] for name, is_list in zip(LISTS, listed, strict=True) if is_list}
        issued = await owner.grant(**axes, disclose=Disclose.COUNT)
        for wrong in product((False, True), repeat=3):
            facts = {ASKED[name]: WRONG[name] for name, is_wrong in zip(LISTS, wrong, strict=True) if is_wrong}
            missed = [ASKED[name] for name, is_wrong in zip(LISTS, wrong, strict=True) if is_wrong and name in axes]
            if missed:
                problem, row = await owner.denied("axis_denied", issued.token, **facts)
                assert problem["axis"] == missed[0]
                assert [name for name, said in row.facts["checks"].items() if said != "passed"] == missed
            else:
                await owner.passed(issued.token, **facts)


@pytest.mark.case("SEED-136", "SEED-149")
async def test_the_axis_that_is_told_is_instance_then_network_then_source(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    facts = {ASKED[name]: WRONG[name] for name in LISTS}
    for name, detail in (
        ("instances", "calling instance not in grant allowlist"),
        ("networks", "calling network not in grant allowlist"),
        ("sources", "source address not in grant allowlist"),
    ):
        problem, row = await owner.denied("axis_denied", issued.token, **facts)
        assert (problem["axis"], problem["supplied"], problem["allowed"]) == (ASKED[name], WRONG[name], LISTS[name])
        assert (problem["detail"], problem["allowed_total"], row.reason) == (detail, 1, f"axis.{ASKED[name]}")
        failing = [check for check, said in row.facts["checks"].items() if said != "passed"]
        assert failing == list(facts)
        del facts[ASKED[name]]
    await owner.passed(issued.token)


@pytest.mark.case("SEED-139", "SEED-145")
async def test_a_list_is_false_for_a_fact_that_is_missing_blank_or_malformed(owner: Owner) -> None:
    issued = await owner.grant(**LISTS, disclose=Disclose.COUNT)
    for source in ("", " ", "nonsense", "fd00:abcd:1234::7%eth0", "10.0.0.1"):
        problem, _ = await owner.denied("axis_denied", issued.token, source=source)
        assert problem["axis"] == "source"
        assert problem["supplied"] == ("10.0.0.1" if source == "10.0.0.1" else None)
    for network in ("", "nonsense", f"{{{NETWORK}}}"):
        await owner.denied("bridge_not_active", issued.token, network=network)
    # Who has no instance at all comes to no grant.
    answer = await owner.ask(issued.token, instance="")
    assert (answer.status_code, answer.json()["code"]) == (403, "federation_denied")
    await owner.rows()
    await owner.passed(issued.token)


@pytest.mark.case("SEED-140", "SEED-142", "SEED-143", "SEED-144")
async def test_the_sample_grant_allows_its_one_caller_alone(owner: Owner) -> None:
    issued = await owner.grant(**LISTS, scopes=["read", "migrate"])
    grant = issued.grant
    assert grant.expires_at - grant.issued_at == timedelta(days=30)
    assert (grant.kind, grant.resource_id, sorted(grant.scopes)) == ("network", NETWORK, ["migrate", "read"])
    assert grant == await owner.present(grant.id)
    await owner.passed(issued.token)
    for name in LISTS:
        problem, _ = await owner.denied("axis_denied", issued.token, **{ASKED[name]: WRONG[name]})
        assert problem["axis"] == ASKED[name]


@pytest.mark.case("SEED-117")
async def test_the_internet_is_a_network_that_a_remote_may_be_denied(owner: Owner) -> None:
    anywhere, over_office = await owner.grant(), await owner.grant(networks=[NETWORK])
    row = await owner.passed(anywhere.token, network="wan")
    assert row.facts["network"] == "wan"
    problem, _ = await owner.denied("axis_denied", over_office.token, network="wan")
    assert (problem["axis"], problem["supplied"], "allowed" in problem) == ("network", "wan", False)
    async with owner.side.store.transaction() as tx:
        await tx.remotes.save(replace(await tx.remotes.get(B), wan_permitted=False))
    await owner.denied("wan_not_permitted", anywhere.token, network="wan")
    await owner.passed(anywhere.token)


@pytest.mark.case("SEED-132", "SEED-133")
async def test_a_network_counts_by_an_active_bridge_of_the_caller_alone(owner: Owner) -> None:
    issued = await owner.grant()
    await owner.passed(issued.token)
    for state in (State.PROPOSED, State.SUSPENDED):
        await rebridged(owner, state=state)
        await owner.denied("bridge_not_active", issued.token)
    await rebridged(owner, state=State.ACTIVE, theirs=replace(a_bridge().theirs, state=State.SUSPENDED))  # type: ignore[type-var]
    await owner.denied("bridge_not_active", issued.token)
    await rebridged(owner, state=State.SUSPENDED, holds=frozenset({Hold.INCIDENT}), theirs=a_bridge().theirs)
    await owner.denied("incident_block", issued.token)
    await rebridged(owner, state=State.REVOKED)
    async with owner.side.store.transaction() as tx:
        await tx.bridges.add(a_bridge(3, C))
    await owner.denied("bridge_not_active", issued.token)


@pytest.mark.case("GRANT-011")
async def test_an_incident_stops_the_instance_or_the_bridge_that_it_concerns_and_nothing_else(owner: Owner) -> None:
    services = owner.side.services
    issued = await owner.grant()
    ways: list[dict[str, Any]] = [
        {"instance": instance, "network": str(network.id)}
        for instance, network in product((INSTANCE, OTHER_INSTANCE), (OFFICE, PLANT))
    ]

    async def used(code: str = "", **stopped: str) -> None:
        for way in ways:
            if stopped and stopped.items() <= way.items():
                await owner.denied(code, issued.token, **way)
            else:
                await owner.passed(issued.token, **way)

    await used()
    instance = InstanceId(UUID(INSTANCE))
    await services.remotes.block(ADA, B, instance, "it scans")
    await owner.rows()
    await used("instance_blocked", instance=INSTANCE)
    await services.remotes.block(ADA, B, instance, None)
    await owner.rows()
    await used()
    await services.bridges.hold(ADA, BRIDGE, "it scans", None)
    await owner.rows()
    await used("incident_block", network=NETWORK)
    await services.bridges.release(ADA, BRIDGE, "", None)
    await owner.rows()
    await used()


async def test_an_operators_suspension_and_an_incidents_hold_are_lifted_each_by_itself(owner: Owner) -> None:
    bridges, issued = owner.side.services.bridges, await owner.grant()
    for first, second in ((bridges.suspend, bridges.hold), (bridges.hold, bridges.suspend)):
        await first(ADA, BRIDGE, "a test", None)
        await second(ADA, BRIDGE, "a test", None)
        lifts = [bridges.resume, bridges.release] if first == bridges.suspend else [bridges.release, bridges.resume]
        await owner.rows()
        await owner.denied("incident_block", issued.token)
        await lifts[0](ADA, BRIDGE, "", None)
        left = (await bridges.get(BRIDGE)).bridge
        assert left.state is State.SUSPENDED
        # What is off already cannot be lifted again, and lifts nothing else.
        with pytest.raises(TransitionNotAllowed):
            await lifts[0](ADA, BRIDGE, "", None)
        assert (await bridges.get(BRIDGE)).bridge == left
        await owner.rows()
        await owner.denied("incident_block" if Hold.INCIDENT in left.holds else "bridge_not_active", issued.token)
        await lifts[1](ADA, BRIDGE, "", None)
        assert [row.action for row in await owner.rows()] == ["bridge." + lifts[1].__name__]
        await owner.passed(issued.token)


@pytest.mark.case("SEED-147")
async def test_the_bridge_is_asked_before_the_axes_and_all_are_on_record(owner: Owner) -> None:
    issued = await owner.grant(**LISTS)
    await rebridged(owner, state=State.SUSPENDED)
    facts: dict[str, Any] = {"instance": OTHER_INSTANCE, "source": WRONG["sources"]}
    problem, row = await owner.denied("bridge_not_active", issued.token, **facts)
    failing = [check for check, said in row.facts["checks"].items() if said != "passed"]
    assert (row.reason, failing) == ("bridge_not_active", ["way", "instance", "source"])
    assert not {"axis", "supplied", "allowed"} & problem.keys()
    await rebridged(owner, state=State.ACTIVE)
    await owner.passed(issued.token)


@pytest.mark.case("GRANT-001")
async def test_missing_unknown_and_foreign_tokens_reveal_nothing(owner: Owner) -> None:
    own, foreign = await owner.grant(), await owner.grant(subject=f"carol@{C}")
    await owner.denied("grant_token_required", None)
    public, _, secret = own.token.partition(".")
    others = [
        foreign.token,
        f"isthmus-grant-{'A' * 12}.{'B' * 43}",
        f"{public}.{'B' * 43}",
        f"{public}.{secret[:-1]}",
        f"fg-{own.grant.id}",
        "Basic Ym9iOmJvYg==",
        "",
    ]
    bodies = [await owner.denied("grant_invalid", token) for token in others]
    shown = [
        {name: value for name, value in body.items() if name not in {"request_id", "instance"}} for body, _ in bodies
    ]
    assert all(each == shown[0] for each in shown)
    await owner.passed(own.token)


@pytest.mark.case("GRANT-002")
async def test_the_owner_of_a_dead_grant_learns_why_and_nobody_else(owner: Owner) -> None:
    expired = await owner.grant(expires_at=owner.side.clock.now() + timedelta(minutes=5))
    revoked, live = await owner.grant(), await owner.grant()
    await owner.side.services.grants.revoke(ADA, revoked.grant.id, "over")
    await owner.rows()
    await owner.denied("grant_revoked", revoked.token)
    await owner.denied("grant_invalid", revoked.token, remote=C)
    owner.side.clock.turn(timedelta(minutes=5))
    await owner.denied("grant_expired", expired.token)
    await owner.denied("grant_invalid", expired.token, remote=C)
    await owner.passed(live.token)


@pytest.mark.case("GRANT-003", "SEED-029")
async def test_kind_id_and_scope_are_checked_before_the_axes(owner: Owner) -> None:
    issued = await owner.grant(sources=["192.0.2.0/24"])
    await owner.denied("grant_kind_mismatch", issued.token, wire.GetResource("peer", NETWORK))
    there, _ = await owner.denied("grant_resource_mismatch", issued.token, wire.GetResource("network", str(PLANT.id)))
    not_there, _ = await owner.denied(
        "grant_resource_mismatch", issued.token, wire.GetResource("network", OTHER_INSTANCE)
    )
    for body in (there, not_there):
        del body["request_id"], body["instance"]
    assert there == not_there
    await owner.denied("grant_resource_mismatch", issued.token, wire.ListResources("network"))
    for scope, asked in EVERY_CALL:
        if scope != "read":
            await owner.denied("grant_scope_missing", issued.token, asked)
    await owner.passed(issued.token, source="192.0.2.5")


@pytest.mark.case("GRANT-004")
async def test_removing_the_last_entry_does_not_open_an_axis(owner: Owner) -> None:
    issued, grants = await owner.grant(instances=[INSTANCE]), owner.side.services.grants
    await owner.passed(issued.token)
    closed = await grants.update(ADA, issued.grant.id, {"instances": []}, None)
    assert (closed.instances.mode, closed.instances.entries) == (AxisMode.LIST, frozenset())
    await owner.rows()
    problem, _ = await owner.denied("axis_denied", issued.token)
    assert (problem["axis"], problem["allowed"], problem["allowed_total"]) == ("instance", [], 0)
    assert await kinds_found(owner) >= {GRANT_AXIS_EMPTY}
    await grants.update(ADA, issued.grant.id, {"instances": None}, None)
    await owner.rows()
    await owner.passed(issued.token)
    assert GRANT_AXIS_EMPTY not in await kinds_found(owner)


async def kinds_found(owner: Owner) -> set[str]:
    """The findings that stand, once the server has looked."""
    await owner.side.chore("clearing findings")
    return {each.kind for each in await owner.side.services.findings.page(100, None)}


@pytest.mark.case("GRANT-006")
async def test_mapped_addresses_are_normalised_on_both_sides(owner: Owner) -> None:
    for cidr in ("10.1.0.0/16", "::ffff:10.1.0.0/112"):
        issued = await owner.grant(sources=[cidr])
        for source in ("10.1.2.3", "::ffff:10.1.2.3"):
            await owner.passed(issued.token, source=source)
    everything = await owner.grant(sources=["0.0.0.0/0"])
    await owner.denied("axis_denied", everything.token, source="2001:db8::1")
    await owner.denied("axis_denied", (await owner.grant(sources=["::/0"])).token, source="10.1.2.3")


@pytest.mark.case("GRANT-008")
async def test_the_contents_of_a_denial_are_for_the_owner_of_the_grant_alone(owner: Owner) -> None:
    listed = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(40)]
    issued = await owner.grant(instances=listed)
    problem, _ = await owner.denied("axis_denied", issued.token)
    assert (problem["allowed"], problem["allowed_total"]) == (listed[:16], 40)
    stolen, _ = await owner.denied("grant_invalid", issued.token, remote=C)
    early, _ = await owner.denied("grant_scope_missing", issued.token, wire.ExportResource("network", NETWORK))
    for body in (stolen, early):
        assert not {"axis", "supplied", "allowed", "allowed_total"} & body.keys()
    secret = issued.token.partition(".")[2]
    for body in (problem, stolen, early):
        text = str(body)
        assert not any(word in text for word in (secret, str(issued.grant.id), C, "bob"))


async def test_lists_are_told_no_more_to_whoever_keeps_trying(owner: Owner) -> None:
    issued = await owner.grant(instances=[OTHER_INSTANCE])
    told = ["allowed" in (await owner.denied("axis_denied", issued.token))[0] for _ in range(7)]
    assert told == [True] * 5 + [False] * 2
    owner.side.clock.turn(timedelta(minutes=10))
    assert "allowed" in (await owner.denied("axis_denied", issued.token))[0]
    silent = await owner.grant(instances=[OTHER_INSTANCE], disclose=Disclose.NONE)
    problem, row = await owner.denied("axis_denied", silent.token)
    assert not {"axis", "supplied", "allowed", "allowed_total"} & problem.keys()
    assert row.reason == "axis.instance"


@pytest.mark.case("GRANT-010")
async def test_a_grant_expires_at_its_moment_and_not_before(owner: Owner) -> None:
    end = owner.side.clock.now() + timedelta(minutes=5)
    issued = await owner.grant(expires_at=end)
    owner.side.clock.turn(timedelta(minutes=5) - timedelta(milliseconds=1))
    await owner.passed(issued.token)
    for step in (1, 1):
        owner.side.clock.turn(timedelta(milliseconds=step))
        await owner.denied("grant_expired", issued.token)


@pytest.mark.case("GRANT-012")
async def test_tokens_are_replaced_one_by_one_and_kept_nowhere(owner: Owner, database_url: str) -> None:
    grants = owner.side.services.grants
    first, other = await owner.grant(), await owner.grant()
    second = await grants.rotate(ADA, first.grant.id, timedelta(hours=1))
    assert second.token != first.token
    await owner.rows()
    for token in (first.token, second.token, other.token):
        await owner.passed(token)
    everything = str(await owner.state()) + str(await owner.side.audit()) + repr(await grants.get(first.grant.id))
    for token in (first.token, second.token):
        assert token.partition(".")[2] not in everything
    owner.side.clock.turn(timedelta(hours=1))
    await owner.denied("grant_invalid", first.token)
    await owner.passed(second.token)
    third = await grants.rotate(ADA, first.grant.id, timedelta())
    await owner.rows()
    await owner.denied("grant_invalid", second.token)
    await grants.drop_token(ADA, first.grant.id, third.token.partition(".")[0].removeprefix("isthmus-grant-"))
    await owner.rows()
    await owner.denied("grant_invalid", third.token)
    await owner.passed(other.token)
    await grants.revoke(ADA, first.grant.id, "over")
    again = await owner.grant()
    await owner.passed(again.token)


async def test_the_last_use_of_a_grant_is_noted_a_little_later(owner: Owner) -> None:
    issued = await owner.grant()
    await owner.passed(issued.token)
    assert (await owner.present(issued.grant.id)).last_used_at is None
    for chore in owner.side.federation.chores:
        if chore.name.startswith("noting when grants"):
            await chore.work()
    assert (await owner.present(issued.grant.id)).last_used_at == owner.side.clock.now()


@pytest.mark.case("ADM-007")
async def test_a_remote_that_ends_takes_its_grants_with_it(owner: Owner) -> None:
    first, second = await owner.grant(), await owner.grant(kind="directory", resource_id=None)
    foreign = await owner.grant(subject=f"carol@{C}")
    await owner.side.services.remotes.revoke(ADA, B)
    revoked = [row for row in await owner.rows() if row.action == "grant.revoke"]
    assert {row.subject for row in revoked} == {str(first.grant.id), str(second.grant.id)}
    for issued in (first, second):
        assert (await owner.present(issued.grant.id)).revoked_at is not None
    assert (await owner.present(foreign.grant.id)).revoked_at is None
    async with owner.side.store.transaction() as tx:
        await tx.remotes.add(replace(await tx.remotes.get(B), id=OFFICE.id, generation=2, state=Standing.ACTIVE))
    answer = await owner.ask(first.token, network="wan", generation=2)
    assert answer.json()["code"] == "grant_invalid"


async def test_each_call_does_what_its_scope_says(owner: Owner) -> None:
    issued = await owner.grant(scopes=["read", "write", "migrate", "admin"], resource_id=None)
    found = (await owner.ask(issued.token, wire.ListResources("network"))).json()["resources"]
    assert [each["fields"]["name"] for each in found] == ["office", "plant"]
    page = (await owner.ask(issued.token, wire.ListResources("network", 1, found[0]["id"]))).json()["resources"]
    assert page == found[1:]
    document = (await owner.ask(issued.token, wire.ExportResource("network", NETWORK))).json()["document"]
    assert (document["name"], document["mtu"], document["peers"]) == ("office", OFFICE.mtu, [])
    entries = (await owner.ask(issued.token, wire.GetGrants("network"))).json()["grants"]
    assert [each["id"] for each in entries] == [str(issued.grant.id)]
    refused = await owner.ask(issued.token, EVERY_CALL[1][1])
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/changes/note")
    missing = await owner.ask(issued.token, wire.GetResource("network", OTHER_INSTANCE))
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
