"""Advice: each rule fires for what it is about, is silent for its benign twin, and says nothing of what has ended."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from itertools import chain, combinations, product
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.federation import finding
from isthmus.domain.federation.advice import EXPIRING, SETTLING, STALE, UNUSED, Facts, of_bridges, of_grants
from isthmus.domain.federation.bridge import Bridge, Side, State, Statement, Terms
from isthmus.domain.federation.finding import KINDS
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.ids import NetworkId
from tests.builders import NOON, OFFICE_ID, OFFICE_V4

B, C = BackendDomain("b.example"), BackendDomain("c.example")
INSTANCE = InstanceId(UUID(int=7))
ELSEWHERE = NetworkId(UUID(int=99))
THERE = IPv6Network("fd00:abcd:1234::/48")
SCOPE_SETS = [frozenset(each) for each in chain.from_iterable(combinations(Scope, n) for n in range(1, 6))]
INSTANCES: Axis[InstanceId] = Axis(AxisMode.LIST, frozenset({INSTANCE}))
NETWORKS: Axis[NetworkId] = Axis(AxisMode.LIST, frozenset({OFFICE_ID}))
SOURCES: Axis[Any] = Axis(AxisMode.LIST, frozenset({IPv6Network("fd00:abcd:1234:5::/64")}))


def a_grant(**fields: Any) -> Grant:
    """One to which nobody has anything to say: one wiki, for reading, three populated axes, just given."""
    plain = Grant(
        UUID(int=3), B, 1, "bob@b.example", "ada", "service", "wiki", frozenset({Scope.READ}), NOON,
        NOON + timedelta(days=30), INSTANCES, NETWORKS, SOURCES,
    )  # fmt: skip
    return replace(plain, **fields)


def a_bridge(**fields: Any) -> Bridge:
    """Effective, with one prefix."""
    terms = Terms("plant", (THERE,))
    theirs = Statement(UUID(int=4), 1, 1, State.ACTIVE, terms)
    plain = Bridge(
        UUID(int=4), B, 1, 1, OFFICE_ID, Side.OURS, State.ACTIVE, NOON, NOON, accepted=(THERE,), theirs=theirs
    )
    return replace(plain, **fields)


FACTS = Facts(NOON, {OFFICE_ID: [OFFICE_V4]}, {B: {INSTANCE}}, (a_bridge(),))


def said(grant: Grant, facts: Facts = FACTS) -> set[str]:
    return {cause.kind for cause in of_grants([grant], facts)}


def said_of(bridge: Bridge, *others: Bridge, days: float = 0) -> set[str]:
    facts = replace(FACTS, bridges=(bridge, *others), now=NOON + timedelta(days=days))
    return {cause.kind for cause in of_bridges(facts) if cause.subject == str(bridge.id)}


def in_days(days: float) -> Facts:
    return replace(FACTS, now=NOON + timedelta(days=days))


@pytest.mark.case("SEED-158")
@pytest.mark.parametrize("ending", ["live", "revoked", "expired"])
def test_unrestricted_powerful_grants_are_flagged_exactly(ending: str) -> None:
    ends: dict[str, Any] = {
        "live": {},
        "revoked": {"revoked_at": NOON},
        "expired": {"expires_at": NOON},
    }[ending]
    flagged = 0
    for scopes, modes in product(SCOPE_SETS, product(AxisMode, repeat=3)):
        instances, networks, sources = (
            Axis() if mode is AxisMode.ANY else listed
            for mode, listed in zip(modes, (INSTANCES, NETWORKS, SOURCES), strict=True)
        )
        grant = a_grant(scopes=scopes, instances=instances, networks=networks, sources=sources, **ends)
        expected = (
            ending == "live" and set(modes) == {AxisMode.ANY} and (Scope.ADMIN in scopes or Scope.MIGRATE in scopes)
        )
        assert (finding.GRANT_UNRESTRICTED_SCOPE in said(grant)) is expected, grant
        assert expected or ending == "live" or not said(grant)
        flagged += expected
    assert flagged == (24 if ending == "live" else 0)


def test_a_narrow_grant_in_use_gives_no_advice() -> None:
    assert said(a_grant()) == set()


def test_each_axis_and_each_scope_less_ends_it() -> None:
    grant = a_grant(scopes=frozenset({Scope.ADMIN}), instances=Axis(), networks=Axis(), sources=Axis())
    assert said(grant) == {finding.GRANT_UNRESTRICTED_SCOPE}
    for change in ({"instances": INSTANCES}, {"networks": NETWORKS}, {"sources": SOURCES}):
        assert said(replace(grant, **change)) == {finding.GRANT_AXIS_OPEN}
    assert said(replace(grant, scopes=frozenset({Scope.READ}))) == set()


@pytest.mark.parametrize(
    ("change", "facts", "kind"),
    [
        ({"instances": Axis(AxisMode.LIST)}, FACTS, finding.GRANT_AXIS_EMPTY),
        ({"resource_id": None, "scopes": frozenset({Scope.WRITE})}, FACTS, finding.BROAD_SCOPE_GRANT),
        ({"scopes": frozenset(Scope)}, FACTS, finding.BROAD_SCOPE_GRANT),
        ({"networks": Axis(AxisMode.LIST, frozenset({ELSEWHERE}))}, FACTS, finding.GRANT_REFERENCES_UNKNOWN),
        ({"remote": C}, FACTS, finding.GRANT_REFERENCES_UNKNOWN),
        (
            {"sources": Axis(AxisMode.LIST, frozenset({IPv4Network("192.0.2.0/24")}))},
            FACTS,
            finding.GRANT_SOURCE_OUTSIDE_PREFIX,
        ),
        ({}, in_days(30 - EXPIRING.days), finding.GRANT_EXPIRING),
        ({"expires_at": NOON + timedelta(days=365)}, in_days(UNUSED.days), finding.GRANT_UNUSED_90D),
    ],
)
def test_what_is_wrong_with_a_grant_is_said_and_only_that(change: dict[str, Any], facts: Facts, kind: str) -> None:
    (cause,) = of_grants([a_grant(**change)], facts)
    assert (cause.kind, cause.subject) == (kind, str(UUID(int=3)))
    assert cause.evidence["grantee"] == "bob@b.example"


def test_what_only_resembles_it_is_not_said() -> None:
    assert said(a_grant(resource_id=None)) == set()
    assert (
        said(a_grant(sources=Axis(AxisMode.LIST, frozenset({IPv4Network("192.0.2.0/24")})), networks=Axis())) == set()
    )
    assert said(a_grant(), in_days(30 - EXPIRING.days - 0.1)) == set()
    day = a_grant(expires_at=NOON + timedelta(days=1))
    assert said(day, in_days(0.7)) == set()
    assert said(day, in_days(0.75)) == {finding.GRANT_EXPIRING}
    used = a_grant(expires_at=NOON + timedelta(days=365), last_used_at=NOON + timedelta(days=1))
    assert said(used, in_days(UNUSED.days)) == set()


@pytest.mark.parametrize("there", [State.PROPOSED, State.SUSPENDED, State.REVOKED, None])
def test_sides_that_differ_are_said_once_they_had_time_to_agree(there: State | None) -> None:
    theirs = None if there is None else Statement(UUID(int=4), 1, 2, there, Terms("plant"))
    bridge = a_bridge(theirs=theirs)
    assert said_of(bridge, days=SETTLING / timedelta(days=1)) == {finding.BRIDGE_STATE_MISMATCH}
    assert said_of(bridge) == set()
    assert said_of(a_bridge(), days=1) == set()


def test_a_proposal_that_nobody_answers_is_said_after_a_week() -> None:
    bridge = a_bridge(state=State.PROPOSED, theirs=None, accepted=())
    assert said_of(bridge, days=STALE.days) == {finding.BRIDGE_STALE_PROPOSED}
    assert said_of(bridge, days=STALE.days - 0.1) == set()


@pytest.mark.parametrize("prefix", [IPv4Network("10.20.0.128/25"), IPv4Network("10.0.0.0/8"), OFFICE_V4])
def test_prefixes_overlap_by_containment(prefix: IPv4Network) -> None:
    assert said_of(a_bridge(accepted=(prefix,))) == {finding.PREFIX_OVERLAP}
    assert said_of(a_bridge(accepted=(IPv4Network("10.20.1.0/24"),))) == set()


def test_prefixes_of_two_remotes_must_not_overlap_and_those_of_one_may() -> None:
    inside = IPv6Network("fd00:abcd:1234:9::/64")
    other = a_bridge(id=UUID(int=5), remote=C, accepted=(inside,))
    assert said_of(a_bridge(), other) == said_of(other, a_bridge()) == {finding.PREFIX_OVERLAP}
    assert said_of(a_bridge(), replace(other, remote=B)) == set()


def test_every_rule_has_its_kind() -> None:
    from isthmus.domain.federation.advice import BRIDGE_RULES, GRANT_RULES

    assert {*GRANT_RULES, *BRIDGE_RULES} <= KINDS.keys()
    assert all(KINDS[kind].quiet is None for kind in (*GRANT_RULES, *BRIDGE_RULES))
