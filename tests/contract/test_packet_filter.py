"""One suite for whoever carries out nft transactions: the host's own nft, and the stand-in of the agent's tests."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from isthmus.agent import rules
from isthmus.agent.adapters.net import LinuxNet
from isthmus.agent.bridging import read
from isthmus.agent.desired import Forwarding
from isthmus.agent.nft import NO_NAMES
from isthmus.agent.observed import HostState
from isthmus.agent.ports import Net
from isthmus.agent.rules import Rules
from tests.adapters.agent.network import alone
from tests.agent.bridges import a_crossing, a_flow, bridged
from tests.agent.test_lease import Gateway

INTERFACE = "ist-a"
ONE = Rules(Forwarding(between_peers=True), crossings=read(bridged(a_crossing(a_flow()))).crossings)
OTHER = Rules(mark=1)

Run = Callable[[Callable[[Net], Coroutine[Any, Any, HostState]]], HostState]


@pytest.fixture(params=[LinuxNet, Gateway])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs work on a host that has no rules, and returns what is observed in the end."""

    def run(work: Callable[[Net], Coroutine[Any, Any, HostState]]) -> HostState:
        net = request.param()
        return asyncio.run(work(net)) if request.param is Gateway else alone(lambda: work(net))

    return run


def test_a_host_without_our_table_has_no_names(run: Run) -> None:
    async def work(net: Net) -> HostState:
        return await net.observe(INTERFACE)

    seen = run(work)
    assert (seen.table, seen.digest) == (NO_NAMES, None)


def test_what_was_loaded_is_observed_and_its_counters_count(run: Run) -> None:
    async def work(net: Net) -> HostState:
        await net.load(rules.load_script(INTERFACE, ONE))
        seen = await net.observe(INTERFACE)
        assert net.counters().keys() == seen.table.counters != set()
        return seen

    seen = run(work)
    assert seen.digest == rules.digest(INTERFACE, ONE)
    assert seen.table.chains


def test_others_rules_take_the_place_of_those_before(run: Run) -> None:
    async def work(net: Net) -> HostState:
        await net.load(rules.load_script(INTERFACE, ONE))
        before = (await net.observe(INTERFACE)).table
        await net.load(rules.load_script(INTERFACE, OTHER, before))
        return await net.observe(INTERFACE)

    seen = run(work)
    assert (seen.digest, seen.table.counters) == (rules.digest(INTERFACE, OTHER), frozenset())


def test_dropped_rules_leave_nothing(run: Run) -> None:
    async def work(net: Net) -> HostState:
        await net.load(rules.load_script(INTERFACE, ONE))
        await net.load(rules.drop_script(INTERFACE, (await net.observe(INTERFACE)).table))
        return await net.observe(INTERFACE)

    seen = run(work)
    assert (seen.table, seen.digest) == (NO_NAMES, None)
