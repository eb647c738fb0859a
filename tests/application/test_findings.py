"""Findings: there while their cause is, cleared when it has gone, and anew when it comes back."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.bridge import Side as BridgeSide
from isthmus.domain.federation.bridge import State as BridgeState
from isthmus.domain.federation.finding import GRANT_AXIS_OPEN, KINDS, QUIET, Cause, Severity, kind_of
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import State
from isthmus.protocol.federator import Report, Suspicion
from isthmus.server.application.findings import FindingService
from isthmus.server.application.looks import Look
from isthmus.server.application.pulse import SILENT
from isthmus.server.certificate_records import Purpose
from isthmus.server.federation_records import RemoteFinding
from isthmus.server.ports import Transaction
from tests.application.backend import ADA, BOTH_DATABASES, CountedIds
from tests.application.pair import Side, federated

A, B = BackendDomain("a.example"), BackendDomain("b.example")
Pair = tuple[Side, Side]


async def kinds(side: Side, *, cleared: bool = False) -> dict[str, RemoteFinding]:
    await side.services.findings.work()
    return {each.kind: each for each in await side.services.findings.page(100, None, cleared=cleared)}


async def told(side: Side, kind: str, **evidence: object) -> None:
    at = side.clock.now().timestamp()
    await side.federation.reports.take(Report(suspicions=[Suspicion(kind, B, at, dict(evidence))]))


@BOTH_DATABASES
@pytest.mark.parametrize(
    "kind", ["foreign_authority", "trust_header_presented", "ingress_drift", "instance_without_san"]
)
async def test_what_is_only_seen_is_cleared_after_a_quiet_day_and_begins_anew(pair: Pair, kind: str) -> None:
    a, b = pair
    await federated(a, b)
    await told(a, kind)
    await told(a, kind)
    first = (await kinds(a))[kind]
    assert first.count == 2
    a.clock.turn(QUIET - timedelta(minutes=1))
    assert kind in await kinds(a)
    a.clock.turn(timedelta(minutes=2))
    assert kind not in await kinds(a)
    cleared = (await kinds(a, cleared=True))[kind]
    assert cleared.cleared_at == a.clock.now()
    a.clock.turn(timedelta(minutes=1))
    await told(a, kind, leaf="other")
    again = (await kinds(a))[kind]
    assert (again.count, again.cleared_at, again.evidence) == (1, None, {"leaf": "other"})
    assert again.first_at == again.last_at > first.first_at


@BOTH_DATABASES
async def test_a_remote_that_does_not_answer_is_found_after_a_while_until_it_does(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    await a.beat()
    a.clock.turn(SILENT - timedelta(seconds=1))
    await a.beat()
    assert "remote_unreachable" not in await kinds(a)
    a.clock.turn(timedelta(seconds=1))
    await a.beat()
    found = (await kinds(a))["remote_unreachable"]
    assert (found.domain, found.evidence["code"]) == (B, "remote_refused")
    a.wire.down.clear()
    await a.beat()
    assert "remote_unreachable" not in await kinds(a)


async def test_what_is_known_of_a_remote_is_over_with_it(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    a.wire.down.add(B)
    for _ in range(2):
        await a.beat()
        a.clock.turn(SILENT)
    await told(a, "infra_domain_changed", discovered=["other.example"], pinned=["infra.b.example"])
    assert {"remote_unreachable", "infra_domain_changed"} <= (await kinds(a)).keys()
    await a.services.remotes.suspend(ADA, B)
    assert (await a.remote(B)).state is State.SUSPENDED
    assert "remote_unreachable" not in await kinds(a)
    await a.services.remotes.revoke(ADA, B)
    assert "infra_domain_changed" not in await kinds(a)


async def test_names_that_dns_does_not_say_any_more_are_forgotten_and_announced_ones_are_not(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    await told(a, "infra_domain_changed", announced=["other.example"])
    a.clock.turn(2 * QUIET)
    assert "infra_domain_changed" in await kinds(a)
    await told(a, "infra_domain_changed", discovered=["other.example"])
    a.clock.turn(QUIET)
    assert "infra_domain_changed" not in await kinds(a)


async def test_a_leaf_that_is_not_renewed_and_a_ca_that_ends_are_found_in_time(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    assert "certificate_expiring" not in await kinds(a)
    async with a.store.transaction() as tx:
        leaves = [each for each in await tx.own_trust.leaves() if each.purpose is Purpose.INGRESS]
        last = max(leaves, key=lambda each: each.issued_at)
        life = last.ends_at - last.issued_at
        late = replace(last, issued_at=a.clock.now() - 0.8 * life, ends_at=a.clock.now() + 0.2 * life)
        await tx.own_trust.put_leaves([late])
    found = (await kinds(a))["certificate_expiring"]
    assert found.domain == A
    assert "leaf of the ingress" in found.evidence["certificates"][0]
    # Looking again counts nothing: the cause is one.
    assert (await kinds(a))["certificate_expiring"].count == 1
    async with a.store.transaction() as tx:
        await tx.own_trust.put_leaves([last])
    assert "certificate_expiring" not in await kinds(a)
    authorities = (await a.remote(B)).authorities
    assert authorities
    a.clock.turn(timedelta(days=3650 - 7))
    domains = {each.domain for each in (await kinds(a)).values() if each.kind == "certificate_expiring"}
    everything = await a.services.findings.page(100, None)
    assert {each.domain for each in everything if each.kind == "certificate_expiring"} == {A, B}, domains


@BOTH_DATABASES
async def test_a_look_says_all_causes_that_there_are_and_no_others(pair: Pair) -> None:
    a, _ = pair
    causes: list[Cause] = []

    async def look(_: Transaction, __: datetime) -> list[Cause]:
        return causes

    service = FindingService(a.store, a.clock, CountedIds(), [Look(frozenset({GRANT_AXIS_OPEN}), look)])

    async def open_ones() -> dict[str, RemoteFinding]:
        await service.work()
        return {each.subject: each for each in await service.page(100, None)}

    causes += [Cause(GRANT_AXIS_OPEN, B, grant, {"axes": ["source"]}) for grant in ("one", "two")]
    begun = await open_ones()
    assert begun.keys() == {"one", "two"}
    a.clock.turn(timedelta(days=400))
    causes[0] = replace(causes[0], evidence={"axes": ["network", "source"]})
    after = await open_ones()
    assert after["one"] == replace(begun["one"], evidence={"axes": ["network", "source"]})
    del causes[1]
    assert (await open_ones()).keys() == {"one"}
    (cleared,) = (each for each in await service.page(100, None, cleared=True) if each.cleared_at is not None)
    assert (cleared.subject, cleared.cleared_at) == ("two", a.clock.now())


def test_every_kind_says_how_bad_it_is_and_what_to_do() -> None:
    assert {kind.severity for kind in KINDS.values()} == set(Severity)
    assert all(kind.mend for kind in (*KINDS.values(), kind_of("something new")))


@pytest.mark.case("SEED-158")
@BOTH_DATABASES
async def test_an_unrestricted_powerful_grant_is_found_until_it_is_restricted_or_ends(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    grant = Grant(
        UUID(int=77), B, 1, "bob@b.example", "ada", "service", "wiki", frozenset({Scope.READ, Scope.ADMIN}),
        a.clock.now(), a.clock.now() + timedelta(days=30),
    )  # fmt: skip
    async with a.store.transaction() as tx:
        await tx.grants.add(grant)
    found = (await kinds(a))["grant_unrestricted_scope"]
    assert (found.domain, found.subject, found.evidence["scopes"]) == (B, str(grant.id), ["admin"])
    listed: Axis[InstanceId] = Axis(AxisMode.LIST, frozenset({InstanceId(UUID(int=1))}))
    changes: list[dict[str, Any]] = [
        {"instances": listed},
        {"scopes": frozenset({Scope.READ})},
        {"revoked_at": a.clock.now()},
        {"expires_at": a.clock.now()},
    ]
    for change in changes:
        async with a.store.transaction() as tx:
            await tx.grants.save(replace(grant, **change))
        assert "grant_unrestricted_scope" not in await kinds(a), change
        async with a.store.transaction() as tx:
            await tx.grants.save(grant)
        assert "grant_unrestricted_scope" in await kinds(a)


@BOTH_DATABASES
async def test_a_bridge_that_nobody_accepts_is_found(pair: Pair) -> None:
    a, b = pair
    await federated(a, b)
    bridge = Bridge(UUID(int=78), B, 1, 1, None, BridgeSide.THEIRS, BridgeState.PROPOSED, a.clock.now(), a.clock.now())
    async with a.store.transaction() as tx:
        await tx.bridges.add(bridge)
    assert "bridge_stale_proposed" not in await kinds(a)
    a.clock.turn(timedelta(days=8))
    assert (await kinds(a))["bridge_stale_proposed"].subject == str(bridge.id)
    async with a.store.transaction() as tx:
        await tx.bridges.save(replace(bridge, state=BridgeState.REVOKED))
    assert "bridge_stale_proposed" not in await kinds(a)
