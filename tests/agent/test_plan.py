"""The planner: whatever the host was, carrying the plan out makes the config true, and then nothing is left to do."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.agent.desired import Desired
from isthmus.agent.nft import Names
from isthmus.agent.observed import HostState, Route
from isthmus.agent.plan import Plan, plan, plan_of_ways, teardown
from isthmus.agent.routing import slot_of
from isthmus.agent.steps import (
    AddRoute,
    AddRule,
    ConfigureWireGuard,
    DropRules,
    EnableForwarding,
    LinkUp,
    LoadRules,
    RemoveInterface,
    RemoveRoute,
    RestoreForwarding,
)
from isthmus.agent.ways import Ways, overlaid
from isthmus.domain.addresses import Endpoint
from isthmus.protocol.agent import Forwarding, Neighbour
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.keys import PublicKey
from tests.agent.builders import GATEWAY, a_gateway, a_key, a_neighbour, a_target, carried_out, desired

EVERYTHING = ("0.0.0.0/0", "::/0")
numbers = st.integers(1, 12)


@st.composite
def configs(draw: st.DrawFn) -> Desired:
    members = draw(st.sets(numbers, max_size=6))
    apart = draw(st.sets(numbers, max_size=2))
    neighbours = [
        a_neighbour(number, keepalive=draw(st.sampled_from([None, 25])), isolated=number in apart)
        for number in sorted(members)
    ]
    routes = draw(st.sampled_from([("10.20.0.0/16", "fd00:20::/64"), EVERYTHING, ("198.51.0.0/16",), ()]))
    endpoint = draw(st.sampled_from([str(GATEWAY), "198.51.100.8:51820", None]))
    if draw(st.booleans()):
        neighbours.append(a_gateway((), endpoint=endpoint))
    forwarding = Forwarding(
        between_peers=draw(st.booleans()),
        offered=tuple(draw(st.sets(st.sampled_from(["192.168.7.0/24", "fd77::/64"])))),
    )
    return desired(
        *neighbours,
        addresses=tuple(draw(st.sets(st.sampled_from(["10.20.9.9", "10.20.9.8", "fd00:20::99"])))),
        mtu=draw(st.sampled_from([1380, 1420])),
        listen_port=draw(st.sampled_from([None, 51820])),
        routes=routes,
        forwarding=forwarding,
    )


def applied(config: Desired, host: HostState, last: Desired | None = None) -> HostState:
    return carried_out(plan(config, host, a_target(last)).steps, host)


def wireguard_changes(done: Plan) -> list[PeerChange]:
    return [peer for step in done.steps if isinstance(step, ConfigureWireGuard) for peer in step.change.peers]


@given(configs(), configs())
def test_after_a_plan_was_carried_out_nothing_is_left_to_do(first: Desired, second: Desired) -> None:
    host = applied(first, HostState())
    assert plan(first, host, a_target(first)).steps == ()
    host = applied(second, host, first)
    assert plan(second, host, a_target(second)).steps == ()


@given(configs(), configs())
def test_the_way_from_one_config_to_another_ends_where_a_fresh_start_ends(first: Desired, second: Desired) -> None:
    host = applied(second, applied(first, HostState()), first)
    fresh = applied(second, HostState())
    assert host.wireguard is not None
    assert fresh.wireguard is not None
    assert host.link == fresh.link
    assert (host.routes, host.rules, host.digest) == (fresh.routes, fresh.rules, fresh.digest)
    assert host.wireguard.fwmark == fresh.wireguard.fwmark
    assert {key: peer.allowed_ips for key, peer in host.wireguard.peers.items()} == {
        key: peer.allowed_ips for key, peer in fresh.wireguard.peers.items()
    }


@given(configs(), configs(), st.data())
def test_a_plan_that_stopped_anywhere_is_taken_up_again(first: Desired, second: Desired, data: st.DataObject) -> None:
    host = applied(first, HostState())
    steps = plan(second, host, a_target(first)).steps
    stopped = carried_out(steps[: data.draw(st.integers(0, len(steps)))], host)
    assert plan(second, applied(second, stopped, first), a_target(second)).steps == ()


@given(configs(), configs())
def test_peers_that_did_not_change_are_not_mentioned(first: Desired, second: Desired) -> None:
    host = applied(first, HostState())
    mentioned = {change.public_key for change in wireguard_changes(plan(second, host, a_target(first)))}
    same = {key for key, neighbour in second.neighbours.items() if first.neighbours.get(key) == neighbour}
    assert not mentioned & same


def roamed(host: HostState, to: Endpoint) -> HostState:
    assert host.wireguard is not None
    peers = {key: replace(peer, endpoint=to) for key, peer in host.wireguard.peers.items()}
    return replace(host, wireguard=replace(host.wireguard, peers=peers))


def test_an_endpoint_that_roamed_is_kept_until_another_one_is_decided() -> None:
    config = desired(a_gateway())
    host = roamed(applied(config, HostState()), Endpoint("203.0.113.5", 4242))
    assert plan(config, host, a_target(config)).steps == ()
    moved = desired(a_gateway(endpoint="198.51.100.8:51820"))
    (change,) = wireguard_changes(plan(moved, host, a_target(config)))
    assert change == PeerChange(PublicKey.parse(a_key(1)), endpoint=Endpoint("198.51.100.8", 51820))


def test_the_endpoint_is_told_when_nobody_remembers_what_was_decided() -> None:
    config = desired(a_gateway())
    host = roamed(applied(config, HostState()), Endpoint("203.0.113.5", 4242))
    (change,) = wireguard_changes(plan(config, host, a_target()))
    assert change.endpoint == GATEWAY


def test_an_endpoint_without_address_is_remarked_and_everything_else_is_done() -> None:
    config = desired(a_gateway(endpoint="gw.example.com:51820"))
    done = plan(config, HostState(), a_target())
    assert done.remarks == ("no address was found for gw.example.com:51820, the endpoint of gw",)
    assert LinkUp() in done.steps
    found = {Endpoint("gw.example.com", 51820): GATEWAY}
    (change,) = wireguard_changes(plan(config, carried_out(done.steps, HostState()), a_target(config, resolved=found)))
    assert change == PeerChange(PublicKey.parse(a_key(1)), endpoint=GATEWAY)


def test_a_default_route_goes_into_a_table_that_marked_packets_never_see() -> None:
    done = plan(desired(a_gateway(EVERYTHING), routes=EVERYTHING), HostState(), a_target())
    slot = slot_of("ist-office")
    routes = [step.route for step in done.steps if isinstance(step, AddRoute)]
    assert {route.table for route in routes} == {slot.table}
    rules = [step.rule for step in done.steps if isinstance(step, AddRule)]
    assert [(rule.family, rule.unless_mark, rule.suppress_up_to) for rule in rules] == [
        (4, None, 0),
        (4, slot.mark, None),
        (6, None, 0),
        (6, slot.mark, None),
    ]
    marking = next(step for step in done.steps if isinstance(step, ConfigureWireGuard))
    assert marking.change.fwmark == slot.mark
    assert done.steps.index(marking) < min(map(done.steps.index, map(AddRule, rules)))


def test_a_route_that_covers_the_endpoint_does_not_swallow_the_tunnels_own_packets() -> None:
    wide = ("10.20.0.0/16", "198.51.0.0/16")
    done = plan(desired(a_gateway(wide), routes=wide), HostState(), a_target())
    tables = {step.route.destination: step.route.table for step in done.steps if isinstance(step, AddRoute)}
    assert tables == {ip_network("10.20.0.0/16"): None, ip_network("198.51.0.0/16"): slot_of("ist-office").table}
    assert [step.rule.suppress_up_to for step in done.steps if isinstance(step, AddRule)] == [16, None]


def test_only_a_family_that_the_tunnel_carries_is_redirected() -> None:
    done = plan(desired(a_gateway(("0.0.0.0/0",)), routes=("0.0.0.0/0",)), HostState(), a_target())
    assert {step.rule.family for step in done.steps if isinstance(step, AddRule)} == {4}


def test_a_route_of_the_hosts_own_is_left_alone_and_remarked() -> None:
    host = HostState(foreign_routes={ip_network("10.20.0.0/16"): "eth0"})
    done = plan(desired(a_gateway()), host, a_target())
    assert [str(step.route.destination) for step in done.steps if isinstance(step, AddRoute)] == ["fd00:20::/64"]
    assert done.remarks == ("the host has its own route to 10.20.0.0/16 by eth0",)


def test_routes_and_rules_of_another_agent_are_not_touched() -> None:
    config = desired(a_gateway())
    other = applied(desired(a_gateway(EVERYTHING), routes=EVERYTHING), HostState())
    rules = {replace(rule, priority=rule.priority + 5000) for rule in other.rules}
    routes = {Route(ip_network("0.0.0.0/0"), table=99)}
    host = applied(config, HostState(rules=frozenset(rules), routes=frozenset(routes)))
    assert rules <= host.rules
    assert routes <= host.routes
    assert plan(config, host, a_target(config)).steps == ()


def test_a_link_that_was_down_gets_its_routes_again() -> None:
    config = desired(a_gateway())
    host = applied(config, HostState())
    assert host.link is not None
    down = replace(host, link=replace(host.link, is_up=False), routes=frozenset())
    steps = plan(config, down, a_target(config)).steps
    assert [type(step) for step in steps] == [LinkUp, AddRoute, AddRoute]


def test_forwarding_starts_after_its_rules_and_is_put_back_when_nobody_needs_it() -> None:
    jump = desired(a_neighbour(1), forwarding=Forwarding(between_peers=True))
    steps = plan(jump, HostState(), a_target()).steps
    kinds = [type(step) for step in steps]
    assert kinds.index(LoadRules) < kinds.index(EnableForwarding)
    host = carried_out(steps, HostState())
    alone = desired(a_neighbour(1))
    assert RestoreForwarding() in plan(alone, host, a_target(jump, forwarding_changed=True)).steps
    shared = replace(host, table=Names(host.table.chains | {"ist_ist_home__forward"}))
    assert RestoreForwarding() not in plan(alone, shared, a_target(jump, forwarding_changed=True)).steps


def test_a_host_that_forwarded_before_is_not_changed() -> None:
    jump = desired(a_neighbour(1), forwarding=Forwarding(between_peers=True))
    steps = plan(jump, HostState(forwards=frozenset({4, 6})), a_target()).steps
    assert not [step for step in steps if isinstance(step, EnableForwarding)]


@given(configs())
def test_a_teardown_names_nothing_that_is_not_there(config: Desired) -> None:
    host = applied(config, HostState())
    steps = teardown(host, a_target(config)).steps
    kinds = [type(step) for step in steps]
    assert RemoveInterface("ist-office") in steps
    # Nothing may pass without its filter, not even for a moment.
    assert DropRules not in kinds or kinds.index(RemoveInterface) < kinds.index(DropRules)
    assert teardown(HostState(), a_target(config)).steps == ()


def test_addresses_that_are_not_wanted_any_more_are_removed() -> None:
    config = desired(a_gateway())
    host = applied(config, HostState())
    assert host.link is not None
    strayed = replace(host, link=replace(host.link, addresses=frozenset({ip_address("10.99.0.1")})))
    host = applied(config, strayed, config)
    assert host.link is not None
    assert host.link.addresses == config.addresses


@pytest.mark.parametrize("old", ["10.20.0.0/16", "10.21.0.0/16"])
def test_a_renumbered_network_moves_its_routes(old: str) -> None:
    first = desired(a_gateway((old,)), routes=(old,))
    second = desired(a_gateway(("10.30.0.0/16",)), routes=("10.30.0.0/16",))
    steps = plan(second, applied(first, HostState()), a_target(first)).steps
    assert RemoveRoute(Route(ip_network(old))) in steps
    assert AddRoute(Route(ip_network("10.30.0.0/16"))) in steps


def test_no_step_prints_the_private_key() -> None:
    target = a_target()
    for step in plan(desired(a_gateway()), HostState(), target).steps:
        assert target.private_key.reveal() not in f"{step}{step!r}"


def a_direct_one(**changes: Any) -> Neighbour:
    given: dict[str, Any] = {
        "name": "desk",
        "public_key": a_key(1003),
        "allowed_ips": (),
        "role": "direct",
        "keepalive": 25,
        "candidates": ("203.0.113.5:4000", "203.0.113.6:4000"),
        "takes": ("10.20.0.3/32",),
    }
    return Neighbour(**(given | changes))


def test_a_direct_neighbour_is_told_where_to_begin_and_not_moved_from_where_it_was_heard() -> None:
    config, key = desired(a_gateway(), a_direct_one()), PublicKey.parse(a_key(1003))
    first, second = config.neighbours[key].candidates
    host = applied(overlaid(config, Ways(tried={key: first}, awake=frozenset({key}))), HostState())
    assert host.wireguard is not None
    assert host.wireguard.peers[key].endpoint == first
    host = roamed(host, Endpoint("198.51.100.99", 999))
    opened = overlaid(config, Ways(tried={key: second}, awake=frozenset({key}), open=frozenset({key})))
    (change,) = wireguard_changes(plan(opened, host, a_target(config)))
    assert change == PeerChange(key, allowed_ips=tuple(config.neighbours[key].takes))
    assert plan(opened, host, a_target(config)).remarks == ()


def test_a_change_of_ways_is_a_change_of_neighbours_and_nothing_else() -> None:
    config, key = desired(a_gateway(), a_direct_one()), PublicKey.parse(a_key(1003))
    host = applied(overlaid(config, Ways()), HostState())
    assert host.wireguard is not None
    gone = overlaid(config, Ways(absent=frozenset({key})))
    (step,) = plan_of_ways(gone, host.wireguard, a_target(config)).steps
    assert step == ConfigureWireGuard(InterfaceChange(peers=(PeerChange(key, remove=True),)))
    assert plan_of_ways(overlaid(config, Ways()), host.wireguard, a_target(config)).steps == ()
