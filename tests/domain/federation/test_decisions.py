"""The decision about a call, beside a naive reading of the rules: nothing passes that the words of the rules deny."""

from collections.abc import Hashable
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.federation.authorization import WAN, Demand, Facts, Question, Wan, decide
from isthmus.domain.federation.bridge import Bridge, Hold, State
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, Scope
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.ids import NetworkId
from tests.builders import NOON
from tests.trusting import B, C, a_bridge, a_statement

INSTANCE, OTHER_INSTANCE = (InstanceId(UUID(int=number)) for number in (1, 2))
NETWORK, OTHER_NETWORK = (NetworkId(UUID(int=number)) for number in (11, 12))
SOURCES: list[IPAddress] = [IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1"), IPv6Address("fd00::1")]
PREFIXES: list[IPNetwork] = [IPv4Network("10.1.0.0/16"), IPv4Network("0.0.0.0/0"), IPv6Network("fd00::/64")]
SECOND = timedelta(seconds=1)
MANY = settings(max_examples=1500)
T = TypeVar("T")
V = TypeVar("V", bound=Hashable)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """Mostly of what fits, so that often one thing alone is wrong, and it alone decides."""

    def one_of(fitting: T, *others: T) -> T:
        return fitting if draw(st.integers(0, 9)) < 8 else draw(st.sampled_from([fitting, *others]))

    def axis(fitting: V, *others: V) -> Axis[V]:
        listed: list[Axis[V]] = [
            Axis(AxisMode.LIST, frozenset(some)) for some in ({fitting}, {fitting, *others}, {*others}, set[V]())
        ]
        return one_of(draw(st.sampled_from([Axis(), *listed[:2]])), *listed[2:])

    grant = Grant(
        UUID(int=1),
        one_of(B, C),
        one_of(1, 2),
        "bob@b.example",
        "user:ada",
        one_of("service", "network"),
        draw(st.sampled_from([None, one_of("r1", "r2")])),
        one_of(frozenset(Scope), frozenset({Scope.READ}), frozenset()),
        NOON - timedelta(days=1),
        one_of(NOON + SECOND, NOON, NOON - SECOND),
        axis(INSTANCE, OTHER_INSTANCE),
        axis(NETWORK, OTHER_NETWORK),
        axis(*draw(st.permutations(PREFIXES))),
        revoked_at=one_of(None, NOON),
    )
    state, there = one_of(State.ACTIVE, *State), one_of(State.ACTIVE, None, *State)
    owner, generation, network = one_of(B, C), one_of(1, 2), one_of(NETWORK, OTHER_NETWORK)
    bridge = a_bridge(remote=owner, remote_generation=generation, network_id=network, state=state)
    bridge = replace(bridge, theirs=None if there is None else a_statement(there))
    if state is State.SUSPENDED:
        bridge = replace(bridge, holds=frozenset([draw(st.sampled_from(Hold))]))
    over: NetworkId | Wan | None = one_of(NETWORK, OTHER_NETWORK, WAN, None)
    source = draw(st.sampled_from(SOURCES))
    demand = Demand(draw(st.sampled_from(Scope)), one_of("service", "network"), one_of("r1", "r2", None))
    return Question(
        facts=Facts(one_of(INSTANCE, OTHER_INSTANCE, None), over, one_of(source, None)),
        now=NOON,
        remote=B,
        generation=1,
        bridge=one_of(bridge, None),
        wan_permitted=draw(st.booleans()),
        demand=one_of(demand, None),
        presented=one_of(True, False),
        grant=one_of(grant, None),
    )


def is_in_list(axis: Axis[T], holds: list[T]) -> bool:
    return axis.mode is AxisMode.ANY or any(each in axis.entries for each in holds)


def holders(source: IPAddress | None) -> list[IPNetwork]:
    return [] if source is None else [each for each in PREFIXES if each.version == source.version and source in each]


def is_open(bridge: Bridge | None, question: Question) -> bool:
    """Whether the way of the call is one at all."""
    if question.facts.network == WAN:
        return question.wan_permitted
    if bridge is None or bridge.theirs is None:
        return False
    of_caller = bridge.remote == question.remote and bridge.remote_generation == question.generation
    both_active = bridge.state is State.ACTIVE and bridge.theirs.state is State.ACTIVE
    return of_caller and both_active and bridge.network_id == question.facts.network


def passes(question: Question) -> bool:
    """The rules as sentences of the design, one after the other."""
    grant, demand, facts = question.grant, question.demand, question.facts
    if not is_open(question.bridge, question):
        return False
    if demand is None:
        return True
    if not question.presented or grant is None:
        return False
    return (
        grant.remote == question.remote
        and grant.remote_generation == question.generation
        and grant.revoked_at is None
        and question.now < grant.expires_at
        and grant.kind == demand.kind
        and (grant.resource_id is None or grant.resource_id == demand.resource_id)
        and demand.scope in grant.scopes
        and is_in_list(grant.instances, [] if facts.instance is None else [facts.instance])
        and (grant.networks.mode is AxisMode.ANY or facts.network in grant.networks.entries)
        and is_in_list(grant.sources, holders(facts.source))
    )


@MANY
@given(questions())
def test_a_call_passes_exactly_when_every_rule_lets_it(question: Question) -> None:
    verdict = decide(question)
    assert (verdict.deciding is None) is passes(question)
    assert bool(verdict.code) is (verdict.deciding is not None)


@given(questions())
def test_without_a_grant_of_the_callers_own_nothing_else_is_told(question: Question) -> None:
    verdict = decide(question)
    if question.demand is not None and verdict.code in {"grant_token_required", "grant_invalid"}:
        assert set(verdict.checks) == {"token"}


@given(questions())
def test_closing_something_more_never_lets_a_call_pass_that_was_denied(question: Question) -> None:
    if question.grant is None or decide(question).deciding is None:
        return
    closed: Axis[InstanceId] = Axis(AxisMode.LIST)
    for grant in (
        replace(question.grant, revoked_at=NOON),
        replace(question.grant, scopes=frozenset()),
        replace(question.grant, instances=closed),
    ):
        assert decide(replace(question, grant=grant)).deciding is not None
    assert decide(replace(question, bridge=None, wan_permitted=False)).deciding is not None
