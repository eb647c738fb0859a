"""What bridges and grants let through, against an oracle that asks each packet alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.addresses import Endpoint, IPAddress, IPNetwork, intersection, overlap
from isthmus.domain.federation.bridge import Bridge, Gateway, Hold, State, Statement, Terms
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, HeldGrant, Offered, Scope
from isthmus.domain.federation.joining import MOST_FLOWS, Facts, crossings_of
from isthmus.domain.federation.names import InstanceId
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.federation.remote import Strategy
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import INGRESS, INGRESSES, REMOTE_INGRESS, Crossing, Flow
from tests.builders import NOON, a_key, a_network
from tests.domain.strategies import few
from tests.trusting import B, C, a_bridge, an_active_remote

HOUR = timedelta(hours=1)
# Sixteen addresses on each side, and a few of the other family: small enough to try every packet.
OURS, THEIRS = IPv4Network("10.20.0.0/28"), IPv4Network("10.99.0.0/28")
OURS_V6, THEIRS_V6 = IPv6Network("fd12:3456:789a:1::/126"), IPv6Network("fd99::/126")
OFFICE = a_network(cidr_v4=OURS)
ELSEWHERE = NetworkId(UUID(int=2))
INSTANCES = [InstanceId(UUID(int=number)) for number in range(4)]
THEIR_INSTANCES = {
    INSTANCES[0]: (THEIRS[1], THEIRS_V6[1]),
    INSTANCES[1]: (THEIRS[2],),
    INSTANCES[2]: (THEIRS[9], IPv4Address("192.0.2.1")),
}
OUR_INSTANCES = {INSTANCES[0]: (OURS[1], OURS_V6[1]), INSTANCES[3]: (OURS[12],)}
WEB = Service(UUID(int=21), "web", OFFICE.id, "tcp", OURS[5], ((80, 80), (443, 444)), NOON)
DNS = Service(UUID(int=22), "dns", OFFICE.id, "udp", OURS_V6[2], ((53, 53),), NOON)
FAR = Service(UUID(int=23), "far", ELSEWHERE, "tcp", OURS[6], ((80, 80),), NOON)
SILENT = Service(UUID(int=24), "silent", OFFICE.id, "tcp", OURS[7], (), NOON)
SERVICES = (WEB, DNS, FAR, SILENT)
WIKI = Offered("wiki", "plant", "tcp", THEIRS[6], ((440, 450),))
LOST = Offered("lost", "attic", "tcp", THEIRS[7], ((444, 444),))

Packet = tuple[IPAddress, IPAddress, str, int]
HOSTS: list[IPAddress] = [*OURS, *THEIRS, *OURS_V6, *THEIRS_V6, ip_address("192.0.2.1")]
# From everywhere to wherever something is, and to one address beside it.
PLACES = [each.address for each in SERVICES] + [OURS[14], OURS[4], THEIRS[6], THEIRS[7], THEIRS[14], THEIRS_V6[2]]
PACKETS: list[Packet] = [
    (source, destination, protocol, port)
    for source, destination in product(HOSTS, PLACES)
    if source.version == destination.version
    for protocol, port in [("tcp", 80), ("tcp", 444), ("tcp", 8443), ("udp", 53)]
]


def an_open_bridge(number: int = 1, offered: Sequence[IPNetwork] = (OURS, OURS_V6), **fields: Any) -> Bridge:
    """Bridge 1 of "office" with B, which both sides have made active. `offered` is what our side says that it is."""
    gateways = (Gateway(a_key(90 + number), (Endpoint("203.0.113.1", 51_820),)),)
    terms = Terms("plant", (THEIRS, THEIRS_V6), gateways, THEIRS[14], 8443, THEIR_INSTANCES)
    statement = Statement(UUID(int=number), 1, 1, State.ACTIVE, terms)
    ours = Terms("office", tuple(offered), vip=OURS[14], port=8443, instances=OUR_INSTANCES)
    given = {"accepted": (THEIRS, THEIRS_V6), "theirs": statement, "ours": ours}
    return a_bridge(number, **{"state": State.ACTIVE, **given} | fields)


def a_grant(number: int = 31, **fields: Any) -> Grant:
    """Grant 31: bob of B may connect with the service "web", for an hour."""
    scopes = frozenset({Scope.CONNECT})
    grant = Grant(UUID(int=number), B, 1, "bob@b.example", "ada", "service", str(WEB.id), scopes, NOON, NOON + HOUR)
    return replace(grant, **fields)


def a_held_grant(number: int = 41, **fields: Any) -> HeldGrant:
    """Grant 41, which B has given: ours may connect with "wiki", for an hour."""
    scopes = frozenset({Scope.CONNECT})
    grant = HeldGrant(UUID(int=number), B, 1, "ada@a.example", "service", "wiki", scopes, NOON, NOON + HOUR)
    return replace(grant, **{"services": (WIKI,)} | fields)


def some_facts(**fields: Any) -> Facts:
    given: dict[str, Any] = {"bridges": [an_open_bridge()], "remotes": {B: an_active_remote()}, "services": SERVICES}
    return Facts(**{"network": OFFICE, "instances": OUR_INSTANCES, **given} | fields)


def only(facts: Facts) -> Crossing:
    (crossing,) = crossings_of(facts, NOON)
    return crossing


def opened(facts: Facts) -> set[Packet]:
    return {packet for crossing in crossings_of(facts, NOON) for packet in PACKETS if passes(crossing, packet)}


def passes(crossing: Crossing, packet: Packet) -> bool:
    source, destination = packet[:2]
    if any(end in network for network in crossing.barred for end in (source, destination)):
        return False
    return any(flow_admits(flow, packet) for flow in crossing.flows)


def flow_admits(flow: Flow, packet: Packet) -> bool:
    source, destination, protocol, port = packet
    return (
        any(source in network for network in flow.sources)
        and (destination, protocol) == (flow.destination, flow.protocol)
        and any(low <= port <= high for low, high in flow.ports)
    )


def a_list(*entries: Any) -> Axis[Any]:
    return Axis(AxisMode.LIST, frozenset(entries))


def oracle(facts: Facts, packet: Packet) -> bool:
    """Whether a packet may pass the one bridge of `facts`: what the rulings say, word by word."""
    (bridge,) = facts.bridges
    remote = facts.remotes.get(bridge.remote)
    if bridge.state is not State.ACTIVE or bridge.theirs is None or bridge.theirs.state is not State.ACTIVE:
        return False
    if remote is None or remote.state is not Standing.ACTIVE or remote.is_expired(NOON):
        return False
    terms = bridge.theirs.terms
    barred = {a for i in facts.blocked.get(B, ()) for a in terms.instances.get(i, ()) if within(a, bridge.accepted)}
    if barred & set(packet[:2]):
        return False
    offered = () if bridge.ours is None else bridge.ours.prefixes
    inward = within(packet[0], bridge.accepted) and within(packet[1], offered)
    outward = within(packet[0], offered) and within(packet[1], bridge.accepted)
    if packet[2:] == ("tcp", 8443):
        return (inward and packet[1] == OURS[14]) or (outward and packet[1] == THEIRS[14])
    return (inward and any(granted(facts, grant, packet) for grant in facts.grants)) or (
        outward and any(held(facts, grant, packet) for grant in facts.held)
    )


def within(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address in network for network in networks)


def granted(facts: Facts, grant: Grant, packet: Packet) -> bool:
    networks = grant.networks.mode is AxisMode.ANY or facts.network.id in grant.networks.entries
    reached = [each for each in SERVICES if each.network_id == OFFICE.id and grant.resource_id in (None, str(each.id))]
    return networks and usable(grant, packet, THEIR_INSTANCES) and any(leads_to(each, packet) for each in reached)


def held(facts: Facts, grant: HeldGrant, packet: Packet) -> bool:
    reached = [each for each in grant.services if each.network == "plant"]
    return usable(grant, packet, OUR_INSTANCES) and any(leads_to(each, packet) for each in reached)


def usable(grant: Grant | HeldGrant, packet: Packet, instances: dict[InstanceId, tuple[IPAddress, ...]]) -> bool:
    source = packet[0]
    is_theirs = any(source in instances.get(each, ()) for each in grant.instances.entries)
    if grant.instances.mode is AxisMode.LIST and not is_theirs:
        return False
    if grant.sources.mode is AxisMode.LIST and not within(source, tuple(grant.sources.entries)):
        return False
    return grant.kind == "service" and Scope.CONNECT in grant.scopes and grant.is_live(NOON) and grant.remote == B


def leads_to(place: Service | Offered, packet: Packet) -> bool:
    if (place.address, place.protocol) != packet[1:3]:
        return False
    return any(low <= packet[3] <= high for low, high in place.ports)


def subnets(*spaces: IPNetwork) -> st.SearchStrategy[IPNetwork]:
    return st.sampled_from([part for space in spaces for part in parts(space)])


def parts(space: IPNetwork) -> Iterator[IPNetwork]:
    for length in range(space.prefixlen, space.max_prefixlen + 1):
        yield from space.subnets(new_prefix=length)


def axes(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[Axis[Any]]:
    lists = st.frozensets(entries, max_size=3).map(lambda found: Axis(AxisMode.LIST, found))
    return st.just(Axis()) | lists


AROUND = [IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"), IPv4Network("0.0.0.0/0")]
SHARED = {
    "scopes": st.sampled_from([{Scope.CONNECT}, {Scope.CONNECT, Scope.READ}, {Scope.ADMIN}]).map(frozenset),
    "expires_at": st.sampled_from([NOON - HOUR, NOON, NOON + HOUR]),
    "instances": axes(st.sampled_from(INSTANCES)),
    "remote": st.sampled_from([B, B, B, C]),
}
GRANTS = st.builds(
    a_grant,
    number=st.integers(31, 40),
    resource_id=st.sampled_from([None, *(str(each.id) for each in SERVICES)]),
    kind=st.sampled_from(["service", "service", "skill"]),
    networks=axes(st.sampled_from([OFFICE.id, ELSEWHERE])),
    sources=axes(subnets(THEIRS, THEIRS_V6) | st.sampled_from(AROUND)),
    **SHARED,
)
HELD = st.builds(
    a_held_grant,
    number=st.integers(41, 50),
    services=st.sampled_from([(), (WIKI,), (LOST,), (LOST, WIKI)]),
    sources=axes(subnets(OURS, OURS_V6) | st.sampled_from(AROUND)),
    **SHARED,
)
FACTS = st.builds(
    some_facts,
    bridges=st.builds(
        an_open_bridge,
        offered=st.lists(subnets(OURS, OURS_V6), max_size=2).map(tuple),
        accepted=st.lists(subnets(THEIRS, THEIRS_V6), max_size=2).map(tuple),
    ).map(lambda bridge: [bridge]),
    grants=st.lists(GRANTS, max_size=3, unique_by=lambda grant: grant.id),
    held=st.lists(HELD, max_size=2, unique_by=lambda grant: grant.id),
    blocked=st.frozensets(st.sampled_from(INSTANCES), max_size=2).map(lambda found: {B: found}),
)


@few
@given(FACTS)
def test_exactly_the_packets_pass_that_the_rulings_name(facts: Facts) -> None:
    assert opened(facts) == {packet for packet in PACKETS if oracle(facts, packet)}


CHOICES: dict[str, list[Any]] = {
    "instances": INSTANCES,
    "networks": [OFFICE.id, ELSEWHERE],
    "sources": [THEIRS, *AROUND],
}


@few
@given(FACTS, st.data())
def test_a_restriction_never_adds_a_packet(facts: Facts, data: st.DataObject) -> None:
    kept: list[Grant] = []
    for grant in facts.grants:
        axis = data.draw(st.sampled_from(["instances", "networks", "sources"]))
        before: Axis[Any] = getattr(grant, axis)
        if before.mode is AxisMode.ANY:
            after = a_list(*data.draw(st.lists(st.sampled_from(CHOICES[axis]), max_size=3)))
        else:
            after = a_list(
                *data.draw(st.sets(st.sampled_from(sorted(before.entries, key=str)))) if before.entries else ()
            )
        restricted: dict[str, Any] = {axis: after}
        kept.append(replace(grant, **restricted))
    assert opened(replace(facts, grants=kept)) <= opened(facts)


@few
@given(FACTS, st.randoms())
def test_the_order_of_facts_changes_nothing(facts: Facts, random: Any) -> None:
    def shuffled(items: Any) -> list[Any]:
        return list(random.sample(list(items), len(items)))

    other = replace(facts, grants=shuffled(facts.grants), held=shuffled(facts.held), services=shuffled(facts.services))
    assert crossings_of(other, NOON) == crossings_of(facts, NOON)


NETWORKS = st.lists(subnets(OURS, OURS_V6, IPv4Network("10.20.0.8/29")), max_size=5)


@few
@given(NETWORKS, NETWORKS)
def test_an_intersection_has_exactly_the_common_addresses_in_the_fewest_prefixes(
    one: list[IPNetwork], other: list[IPNetwork]
) -> None:
    found = intersection(one, other)
    common = [address for address in HOSTS if within(address, tuple(one)) and within(address, tuple(other))]
    assert [address for address in HOSTS if within(address, found)] == common
    assert not any(overlap(a, b) for a, b in product(found, found) if a is not b)
    assert not any(a != b and a.version == b.version and a.supernet() == b.supernet() for a, b in product(found, found))


def test_the_gateway_of_the_remote_gets_exactly_the_accepted_prefixes() -> None:
    accepted = (IPv4Network("10.99.0.0/29"), IPv4Network("10.99.0.8/29"), THEIRS_V6)
    crossing = only(some_facts(bridges=[an_open_bridge(accepted=accepted)]))
    assert (crossing.public_key, crossing.endpoint) == (a_key(91), Endpoint("203.0.113.1", 51_820))
    assert crossing.prefixes == (THEIRS, THEIRS_V6)
    assert crossing.local == (OURS, OFFICE.cidr_v6)
    assert [flow.id for flow in crossing.flows] == [INGRESS, REMOTE_INGRESS]


NOT_OPEN = [{"bridges": [an_open_bridge(state=state)]} for state in State if state is not State.ACTIVE] + [
    {"bridges": [an_open_bridge(theirs=None)]},
    {"bridges": [an_open_bridge(state=State.SUSPENDED, holds=frozenset({Hold.INCIDENT}))]},
    {"bridges": [an_open_bridge(remote_generation=2)]},
    {"bridges": [an_open_bridge(accepted=())]},
    {"remotes": {}},
    {"remotes": {B: an_active_remote(state=Standing.SUSPENDED)}},
    {"remotes": {B: an_active_remote(expires_at=NOON)}},
    {"remotes": {B: an_active_remote(removed_at=NOON)}},
    {"remotes": {B: an_active_remote(state_there=Standing.SUSPENDED)}},
    {"remotes": {B: an_active_remote(state_there=Standing.REVOKED)}},
    {"strategy": Strategy.NONE},
]


@pytest.mark.parametrize("fields", NOT_OPEN)
def test_what_is_not_effective_on_both_sides_has_no_crossing(fields: dict[str, Any]) -> None:
    assert crossings_of(some_facts(grants=[a_grant()]), NOON)
    assert crossings_of(some_facts(grants=[a_grant()], **fields), NOON) == ()


@pytest.mark.parametrize("there", [None, Standing.PENDING, Standing.ACTIVE])
def test_a_remote_that_has_not_heard_yet_that_it_is_confirmed_is_not_in_the_way(there: Standing | None) -> None:
    assert crossings_of(some_facts(remotes={B: an_active_remote(state_there=there)}), NOON)


@pytest.mark.parametrize(("ours", "theirs"), list(product(State, State)))
def test_of_the_sixteen_pairs_of_states_one_lets_packets_pass(ours: State, theirs: State) -> None:
    bridge = an_open_bridge(state=ours)
    assert bridge.theirs is not None
    bridge = replace(bridge, theirs=replace(bridge.theirs, state=theirs))
    packets = opened(some_facts(bridges=[bridge], grants=[a_grant()]))
    assert bool(packets) is (ours is State.ACTIVE and theirs is State.ACTIVE)


@pytest.mark.case("DATA-007")
@pytest.mark.parametrize(
    "prefix", ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.20.0.0/30", "224.0.0.0/8", "192.168.50.128/25"]
)
def test_a_prefix_that_is_taken_or_impossible_is_never_given_to_a_remote(prefix: str) -> None:
    network = IPv6Network(prefix) if ":" in prefix else IPv4Network(prefix)
    bridge = an_open_bridge(accepted=(THEIRS, network))
    crossing = only(some_facts(bridges=[bridge], ranges=(IPv4Network("192.168.50.0/24"),)))
    assert crossing.prefixes == (THEIRS,)


@pytest.mark.case("DATA-007")
def test_what_two_bridges_want_is_that_of_the_lower_id() -> None:
    free, wide = IPv4Network("10.50.0.0/16"), IPv4Network("10.99.0.0/24")
    other = an_open_bridge(2, remote=C, accepted=(free, wide, THEIRS_V6))
    remotes = {B: an_active_remote(), C: an_active_remote(C)}
    first, second = crossings_of(some_facts(bridges=[other, an_open_bridge()], remotes=remotes), NOON)
    assert (first.prefixes, second.prefixes) == ((THEIRS, THEIRS_V6), (free,))


@pytest.mark.parametrize("taken", [True, False])
def test_a_remote_that_names_the_key_of_one_of_our_peers_gets_no_tunnel(*, taken: bool) -> None:
    keys = frozenset({a_key(91)}) if taken else frozenset()
    assert bool(crossings_of(some_facts(keys=keys), NOON)) is not taken


def test_more_grants_than_a_host_can_load_open_nothing_further() -> None:
    many = [a_grant(number) for number in range(100, 100 + MOST_FLOWS + 5)]
    flows = [flow.id for flow in only(some_facts(grants=many)).flows if flow.id not in INGRESSES]
    assert flows == [str(UUID(int=number)) for number in range(100, 100 + MOST_FLOWS)]
