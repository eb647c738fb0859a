"""What bridges add to an interface: read or refused as a whole, apart from all else, no way ever without its filter."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.agent import bridging
from isthmus.agent.bridging import NOTHING
from isthmus.agent.desired import Desired, Role, read
from isthmus.agent.errors import InvalidConfig
from isthmus.agent.observed import HostState
from isthmus.agent.plan import plan
from isthmus.agent.steps import DropRules, LoadRules, Step
from isthmus.agent.ways import Ways, overlaid
from isthmus.domain.addresses import IPNetwork, overlap
from isthmus.protocol.agent import Bridged, Crossing, Forwarding, Neighbour
from isthmus.wireguard.keys import PublicKey
from tests.agent.bridges import LOCAL, OTHER, REMOTE, a_crossing, a_flow, an_id, any_bridged, bridged
from tests.agent.builders import a_config, a_gateway, a_key, a_neighbour, a_target, carried_out, desired

FAR, PRIMARY, STANDBY = (PublicKey.parse(a_key(number)) for number in (30, 1, 2))
HOSTILE = "10.30.0.0/24 }; flush ruleset"


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(map(ip_network, texts))


def gateway(*crossings: Crossing, members: tuple[Neighbour, ...] = (a_neighbour(1), a_neighbour(2))) -> Desired:
    return desired(
        *members,
        listen_port=51820,
        forwarding=Forwarding(between_peers=True),
        bridged=bridged(*crossings) if crossings else None,
    )


def test_on_the_gateway_each_bridge_is_a_neighbour_with_exactly_its_prefixes() -> None:
    config = gateway(a_crossing(a_flow()))
    far = config.neighbours[FAR]
    assert (far.role, far.allowed_ips, far.keepalive) == (Role.REMOTE, networks(*REMOTE), 25)
    assert set(config.routes) == networks(*LOCAL, *REMOTE)
    assert set(config.inside) == networks(*LOCAL)


def test_elsewhere_bridges_lead_through_the_primary_and_stay_there_when_another_jump_peer_serves() -> None:
    own = ("10.20.0.1/32",)
    primary = a_gateway((*own, *LOCAL))
    standby = a_gateway(("10.20.0.2/32",), name="gw-2", public_key=a_key(2), role="standby")
    config = desired(primary, standby, bridged=Bridged(60, REMOTE))
    assert config.neighbours[PRIMARY].allowed_ips == networks(*own, *LOCAL, *REMOTE)
    assert set(config.routes) == networks(*LOCAL, *REMOTE)
    moved = overlaid(config, Ways(jump=STANDBY)).neighbours
    assert moved[PRIMARY].allowed_ips == networks(*own, *REMOTE)
    assert moved[STANDBY].allowed_ips == networks("10.20.0.2/32", *LOCAL)


def test_another_jump_peer_than_the_gateway_has_no_way_over_bridges() -> None:
    config = desired(a_neighbour(1), forwarding=Forwarding(between_peers=True), bridged=Bridged(60, REMOTE))
    assert config == desired(a_neighbour(1), forwarding=Forwarding(between_peers=True))


def test_a_peer_whose_whole_traffic_enters_the_tunnel_has_bridges_in_it() -> None:
    everything = ("0.0.0.0/0", "::/0")
    config = desired(a_gateway(everything), routes=everything, bridged=Bridged(60, REMOTE))
    assert config.neighbours[PRIMARY].allowed_ips == networks(*everything, *REMOTE)


@pytest.mark.parametrize(
    "value",
    [
        bridged(a_crossing(), lease=0),
        bridged(a_crossing(id="b-1")),
        bridged(a_crossing(name="b example")),
        bridged(a_crossing(public_key="A" * 44)),
        bridged(a_crossing(prefixes=(HOSTILE,))),
        bridged(a_crossing(prefixes=("10.30.0.1/24",))),
        bridged(a_crossing(prefixes=("0.0.0.0/0",))),
        bridged(a_crossing(prefixes=("224.0.0.0/8",))),
        bridged(a_crossing(local=(HOSTILE,))),
        bridged(a_crossing(local=REMOTE)),
        bridged(a_crossing(endpoint="far\nx:1")),
        bridged(a_crossing(keepalive=-1)),
        bridged(a_crossing(barred=(HOSTILE,))),
        bridged(a_crossing(a_flow(id='x" accept'))),
        bridged(a_crossing(a_flow(sources=(HOSTILE,)))),
        bridged(a_crossing(a_flow(destination="10.20.0.3/32"))),
        *(
            bridged(a_crossing(a_flow(ports=(text,))))
            for text in ("0", "65536", "90-80", "80-", "http", "80 accept", "")
        ),
        bridged(a_crossing(), a_crossing()),
        bridged(a_crossing(), a_crossing(id=an_id(2), prefixes=OTHER)),
        bridged(a_crossing(), a_crossing(id=an_id(2), public_key=a_key(31), prefixes=("10.30.0.128/25",))),
        Bridged(60, (HOSTILE,)),
        Bridged(60, ("0.0.0.0/0",)),
    ],
)
def test_a_value_that_is_none_refuses_the_config(value: Bridged) -> None:
    with pytest.raises(InvalidConfig):
        read(a_config(a_gateway(), bridged=value))


@pytest.mark.parametrize(
    "changes",
    [
        {"neighbours": (a_neighbour(1, allowed_ips=("10.20.0.1/32", "10.30.0.64/26")),)},
        {"neighbours": (a_neighbour(1, allowed_ips=("10.20.0.1/32", "10.0.0.0/8")),)},
        {"neighbours": (a_neighbour(1, public_key=a_key(30)),)},
        {"neighbours": (a_gateway(("10.20.0.1/32",)), a_neighbour(4, role="direct", allowed_ips=(), takes=REMOTE[:1]))},
        {"addresses": ("10.30.0.9",)},
        {"routes": ("10.0.0.0/8",)},
        {"forwarding": Forwarding(offered=("10.30.0.0/16",))},
        {"public_key": a_key(30)},
    ],
)
def test_what_bridges_lead_to_has_no_other_place_in_the_network(changes: dict[str, Any]) -> None:
    value = bridged(a_crossing(local=()))
    with pytest.raises(InvalidConfig, match=r"overlaps|public key"):
        read(a_config(**({"neighbours": ()} | changes), bridged=value))
    read(a_config(a_neighbour(1), bridged=value))


@given(
    any_bridged(), st.sets(st.integers(1, 12), max_size=6), st.sets(st.sampled_from([*REMOTE, *OTHER, "10.9.0.0/16"]))
)
def test_no_prefix_is_given_to_two_neighbours(value: Bridged, numbers: set[int], offered: set[str]) -> None:
    members = [a_neighbour(number) for number in sorted(numbers)]
    if members and offered:
        host = members[0].allowed_ips
        members[0] = a_neighbour(min(numbers), allowed_ips=(*host, *sorted(offered)))
    led_to = networks(*(prefix for crossing in value.crossings for prefix in crossing.prefixes))
    taken = networks(*offered) if members else frozenset()
    if any(overlap(one, other) for one in taken for other in led_to):
        with pytest.raises(InvalidConfig, match="overlaps"):
            read(a_config(*members, bridged=value))
        return
    config = read(a_config(*members, bridged=value))
    wireguard = carried_out(plan(config, HostState(), a_target()).steps, HostState()).wireguard
    # A prefix that is given to another peer leaves the one before: so none was.
    assert wireguard is not None
    assert {key: peer.allowed_ips for key, peer in wireguard.peers.items()} == {
        key: each.allowed_ips for key, each in config.neighbours.items()
    }


def test_a_bridge_that_overlaps_a_route_of_the_host_stays_shut_there_and_the_others_open() -> None:
    other = a_crossing(id=an_id(2), public_key=a_key(31), prefixes=OTHER)
    config = a_config(a_neighbour(1), bridged=bridged(a_crossing(), other))
    left, remarks = bridging.without_taken(
        config, {ip_network("10.30.0.0/16"): "lan0", ip_network("10.77.0.0/16"): "eth0"}
    )
    assert remarks == (
        "a bridge stays shut on this host: 10.30.0.0/24 overlaps the host's own route to 10.30.0.0/16 by lan0",
    )
    assert left == a_config(a_neighbour(1), bridged=bridged(other))
    alone = a_config(a_neighbour(1), bridged=bridged(a_crossing()))
    left, _ = bridging.without_taken(alone, {ip_network("10.30.0.128/25"): "lan0"})
    assert read(left).bridged is NOTHING
    member = a_config(a_gateway(), bridged=Bridged(60, (*REMOTE, *OTHER)))
    left, _ = bridging.without_taken(member, {ip_network("10.30.0.128/25"): "lan0"})
    assert set(read(left).bridged.prefixes) == networks(REMOTE[1], *OTHER)
    assert bridging.without_taken(member, {ip_network("10.77.0.0/16"): "eth0"}) == (member, ())


def test_a_flow_has_the_sources_of_the_other_side_alone() -> None:
    flow = a_flow(sources=("10.0.0.0/8", "::/0"))
    (crossing,) = gateway(a_crossing(flow, a_flow(destination="10.30.0.5", sources=("10.0.0.0/8",)))).bridged.crossings
    assert [set(each.sources) for each in crossing.flows] == [networks(REMOTE[0]), networks(LOCAL[0])]


@st.composite
def gateways(draw: st.DrawFn) -> Desired:
    value = draw(st.one_of(st.none(), any_bridged()))
    members = [a_neighbour(number, isolated=number == 3) for number in sorted(draw(st.sets(st.integers(1, 4))))]
    return desired(
        *members,
        listen_port=draw(st.sampled_from([None, 51820])),
        forwarding=Forwarding(between_peers=draw(st.booleans())),
        bridged=value,
    )


def scripts(steps: tuple[Step, ...], before: str) -> Iterator[str]:
    """The rules that stand after each step."""
    for step in steps:
        match step:
            case LoadRules(script):
                before = script
            case DropRules():
                before = ""
        yield before


def filtered(rules: str) -> frozenset[IPNetwork]:
    """The prefixes whose packets the rules keep from the mesh."""
    found = re.findall(r"set \S+__remotes[46] \{[^}]*elements = \{ ([^}]*) \}", rules)
    return networks(*(text for listed in found for text in listed.split(", ")))


@pytest.mark.case("DATA-003")
@given(gateways(), gateways())
def test_there_is_no_moment_with_a_way_and_without_its_filter(first: Desired, second: Desired) -> None:
    host, rules = HostState(), ""
    remotes = {key for each in (first, second) for key, other in each.neighbours.items() if other.role is Role.REMOTE}
    for wanted, last in ((first, None), (second, first), (first, second)):
        steps = plan(wanted, host, a_target(last)).steps
        for step, present in zip(steps, scripts(steps, rules), strict=True):
            host, rules = carried_out((step,), host), present
            peers = host.wireguard.peers if host.wireguard else {}
            for key in remotes & peers.keys():
                assert not unfiltered(peers[key].allowed_ips, rules)
        assert plan(wanted, host, a_target(wanted)).steps == ()


def unfiltered(prefixes: Iterable[IPNetwork], rules: str) -> set[IPNetwork]:
    """Those that have an address of which the rules know nothing: `filtered` ones are whole prefixes of bridges."""
    kept = filtered(rules)
    return {prefix for prefix in prefixes if not any(overlap(prefix, each) for each in kept)}


@pytest.mark.case("DATA-003")
def test_one_revision_takes_allowed_ips_routes_and_rules() -> None:
    opened, shut = gateway(a_crossing(a_flow())), gateway()
    host = carried_out(plan(opened, HostState(), a_target()).steps, HostState())
    steps = plan(shut, host, a_target(opened)).steps
    assert [type(step).__name__ for step in steps] == ["ConfigureWireGuard", "LoadRules", "RemoveRoute", "RemoveRoute"]
    host = carried_out(steps, host)
    assert host.wireguard is not None
    assert FAR not in host.wireguard.peers
    assert not [
        name for name in (*host.table.chains, *host.table.sets, *host.table.counters) if an_id(0xB1)[-4:] in name
    ]
    assert replace(host, foreign_routes={}) == carried_out(plan(shut, HostState(), a_target()).steps, HostState())
