"""The planner of ways: which NATs it gets through, what it loses on the way, and that no packet is without a way."""

from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.agent.desired import Desired
from isthmus.agent.paths import usable
from isthmus.agent.pulse import Moment
from isthmus.agent.road import Road, State, Timing, slot
from isthmus.agent.ways import Ways, found, overlaid
from isthmus.domain.addresses import Endpoint
from isthmus.protocol.agent import Neighbour
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState
from lab import NatKind
from tests.agent.builders import a_gateway, a_key, desired
from tests.agent.world import JUMP_KEY, Side, World

SYMMETRIC, PORT, FULL = NatKind.SYMMETRIC, NatKind.PORT_RESTRICTED, NatKind.FULL_CONE
# Those that no packet of the one finds a way into the other.
IMPASSABLE = [{SYMMETRIC}, {SYMMETRIC, PORT}]
KINDS = [None, *NatKind]


def is_open(one: Side, other: Side) -> bool:
    return one.paths.roads[other.key].state is State.OPEN


@pytest.mark.parametrize(("first", "second"), list(combinations_with_replacement(KINDS, 2)))
def test_each_pair_of_nats_talks_directly_if_it_can_and_by_the_jump_peer_if_not(
    first: NatKind | None, second: NatKind | None
) -> None:
    world = World(first, second)
    one, two = world.sides
    world.run(40, talk=True)
    can = {first, second} not in IMPASSABLE
    assert (is_open(one, two), is_open(two, one)) == (can, can)
    assert one.carrier(two.v4) == (two.key if can else JUMP_KEY)
    # A tick is a tenth of a second, so this is a second at most.
    assert max(one.lost, two.lost) <= 10


def test_a_way_that_dies_is_left_within_a_second_by_both_and_taken_again_later() -> None:
    world = World(PORT, FULL)
    one, two = world.sides
    world.run(40, talk=True)
    assert is_open(one, two)
    before = one.lost
    world.cut = True
    world.run(30, talk=True)
    assert one.lost - before <= 10 * 1.0 + 2
    assert not is_open(one, two)
    assert not is_open(two, one)
    world.cut = False
    world.run(120, talk=True)
    assert is_open(one, two)
    assert is_open(two, one)
    assert one.lost - before <= 10 * 2


def test_a_way_that_dies_idle_is_left_when_keepalives_are_missing() -> None:
    world = World(PORT, PORT)
    one, two = world.sides
    world.run(20)
    assert is_open(one, two)
    assert is_open(two, one)
    world.cut = True
    world.run(70)
    assert not is_open(one, two)
    assert not is_open(two, one)


def test_who_begins_to_send_on_a_way_that_died_idle_leaves_it_soon() -> None:
    world = World(FULL, FULL)
    one, two = world.sides
    world.run(30)
    world.cut = True
    world.run(5)
    assert is_open(one, two)
    world.run(5, talk=True)
    assert not is_open(one, two)


def test_one_that_was_found_elsewhere_is_tried_there_at_once() -> None:
    world = World(SYMMETRIC, PORT)
    one, two = world.sides
    world.run(25)
    assert one.paths.roads[two.key].state is State.RESTING
    two.nat.kind = None
    two.nat.ports.clear()
    one.config = desired(a_gateway(), two.as_direct(), addresses=(one.v4, "fd00:20::2"))
    one.become(one.paths.follow(one.config, one.interface, world.now, one.key))
    before = one.lost
    world.run(6, talk=True)
    assert is_open(one, two)
    # The other side was at rest and looked two seconds later: packets took the new way only then.
    assert is_open(two, one)
    assert one.lost - before <= 3


def test_an_agent_that_starts_anew_leaves_open_ways_as_they_are() -> None:
    world = World(FULL, FULL)
    one, two = world.sides
    world.run(20)
    before = one.interface
    one.paths = type(one.paths)()
    one.become(one.paths.follow(one.config, one.interface, world.now, one.key))
    assert one.interface == before
    world.run(20)
    assert is_open(one, two)


def test_with_a_key_of_its_own_anew_an_agent_begins_anew_with_all_others() -> None:
    world = World(FULL, FULL)
    one, two = world.sides
    world.run(20)
    assert is_open(one, two)
    one.become(one.paths.follow(one.config, one.interface, world.now, PublicKey.parse(a_key(77))))
    assert one.carrier(two.v4) == JUMP_KEY


@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4), st.data())
@settings(max_examples=25)
def test_at_every_moment_each_address_has_one_way_that_is_open_or_the_jump_peer(
    kinds: list[NatKind | None], data: st.DataObject
) -> None:
    world = World(*kinds)
    for _ in range(data.draw(st.integers(1, 6))):
        world.cut = data.draw(st.booleans())
        talk = data.draw(st.booleans())
        for _ in range(data.draw(st.sampled_from([3, 40, 200]))):
            world.tick(talk=talk)
            for side in world.sides:
                check_ways(side)


def check_ways(side: Side) -> None:
    seen = [prefix for peer in side.interface.peers.values() for prefix in peer.allowed_ips]
    assert len(seen) == len(set(seen)), "two neighbours have the same prefix"
    for number in range(2, 9):
        carrier = side.carrier(f"10.20.0.{number}")
        assert carrier == JUMP_KEY or side.paths.roads[carrier].state is State.OPEN


prefixes = st.sampled_from(["10.20.0.2/32", "10.20.0.3/32", "192.168.7.0/24", "192.168.8.0/24", "fd00:20::2/128"])


def a_direct(number: int, takes: tuple[str, ...], **changes: Any) -> Neighbour:
    return Neighbour(f"peer-{number}", a_key(1000 + number), (), "direct", takes=takes, **changes)


def two_jumps(*others: Neighbour, routes: tuple[str, ...] = ("10.20.0.0/16", "192.168.7.0/24")) -> Desired:
    first = a_gateway(("10.20.0.1/32", *routes))
    second = a_gateway(("10.20.0.9/32",), name="gw-2", public_key=a_key(2), role="standby")
    return desired(first, second, *others)


@given(
    st.lists(st.lists(prefixes, unique=True, max_size=3), max_size=4),
    st.sets(st.integers(0, 3)),
    st.booleans(),
    st.sampled_from([("10.20.0.0/16", "192.168.7.0/24", "192.168.8.0/24"), ("0.0.0.0/0", "::/0")]),
)
def test_whatever_is_open_no_prefix_has_two_ways_and_none_has_lost_its_way(
    takes: list[list[str]], opened: set[int], elsewhere: bool, routes: tuple[str, ...]
) -> None:
    config = two_jumps(*(a_direct(number, tuple(each)) for number, each in enumerate(takes)), routes=routes)
    keys = {PublicKey.parse(a_key(1000 + number)) for number in opened if number < len(takes)}
    second = PublicKey.parse(a_key(2))
    shown = overlaid(config, Ways(open=frozenset(keys), jump=second if elsewhere else None))
    everything = [prefix for each in shown.neighbours.values() for prefix in each.allowed_ips]
    assert len(everything) == len(set(everything))
    promised = {prefix for each in config.neighbours.values() for prefix in each.allowed_ips}
    assert promised <= set(everything)
    first = PublicKey.parse(a_key(1))
    kept = {str(prefix) for prefix in shown.neighbours[first].allowed_ips}
    assert kept == {"10.20.0.1/32"} or not elsewhere


def test_what_the_interface_shows_is_taken_for_the_ways_that_are() -> None:
    config = two_jumps(a_direct(3, ("10.20.0.3/32",)), a_direct(4, ("10.20.0.4/32",)))
    three, four, second = (PublicKey.parse(a_key(number)) for number in (1003, 1004, 2))
    ways = Ways(open=frozenset({three, four}), awake=frozenset({three}), jump=second)
    peers = {
        key: PeerState(key, allowed_ips=each.allowed_ips, latest_handshake=1000, keepalive=each.keepalive)
        for key, each in overlaid(config, ways).neighbours.items()
    }
    assert found(config, InterfaceState(None, 0, 0, peers), 1010) == ways
    assert found(config, InterfaceState(None, 0, 0, peers), 1200).open == frozenset()
    assert found(config, None, 1010) == Ways()


def test_a_candidate_inside_the_tunnel_is_none_for_its_packets_would_be_wrapped_for_ever() -> None:
    candidates = ("192.168.7.5:4000", "10.20.0.3:4000", "203.0.113.5:4000", "gw.example.com:4000")
    config = desired(
        a_gateway(), a_direct(3, ("10.20.0.3/32",), candidates=candidates), routes=("10.20.0.0/16", "192.168.7.0/24")
    )
    direct = config.neighbours[PublicKey.parse(a_key(1003))]
    assert usable(direct, config) == (Endpoint("203.0.113.5", 4000),)


@given(st.floats(0, 1e6), st.floats(0, 20), st.sampled_from([30.0, 300.0]))
def test_two_sides_whose_clocks_differ_a_little_try_at_about_the_same_time(
    start: float, apart: float, every: float
) -> None:
    one, two = Moment(5.0, start), Moment(700.0, start + apart)
    waits = slot(one, every, 0) - one.mono, slot(two, every, 0) - two.mono
    distance = abs((waits[0] + one.unix) - (waits[1] + two.unix)) % every
    assert min(distance, every - distance) < 0.001


def test_a_handshake_on_its_way_is_waited_for() -> None:
    timing, key = Timing(), PublicKey.parse(a_key(1))
    places = (Endpoint("203.0.113.5", 1), Endpoint("203.0.113.6", 1))
    road = Road.begun(places, PeerState(key), Moment(0, 0), 0.0).after(PeerState(key), Moment(0.1, 0), timing)
    assert (road.state, road.tried_at, road.anew) == (State.TRYING, places[0], True)
    # Its initiation has come, so its WireGuard waits for what confirms ours.
    came = PeerState(key, rx=148, tx=92)
    road = road.after(came, Moment(2.55, 0), timing)
    road = road.after(came, Moment(2.65, 0), timing)
    assert road.tried_at == places[0]
    road = road.after(came, Moment(5.0, 0), timing)
    assert road.tried_at == places[1]
