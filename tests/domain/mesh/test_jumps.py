"""When a jump peer counts as dead, and who takes its place."""

from collections.abc import Set
from dataclasses import replace
from itertools import permutations

import pytest

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.jumps import Witness, heir, is_dead, jumps_in_order
from tests.builders import a_jump, a_network, a_peer

GW, SECOND, THIRD = a_jump(1), a_jump(2), a_jump(3)
FRESH, QUIET, LOST, NEVER = Witness(10), Witness(100), Witness(200), Witness()
LEFT = Witness(60, SECOND.id)
STAYED = Witness(60, GW.id)


@pytest.mark.parametrize(
    ("silence", "witnesses", "dead"),
    [
        pytest.param(29, [LOST, LEFT, NEVER], False, id="its own agent was heard a moment ago"),
        pytest.param(40, [], False, id="nobody sends through it"),
        pytest.param(40, [FRESH, FRESH], False, id="cut off from the server, and forwarding"),
        pytest.param(40, [QUIET, STAYED], False, id="no handshake was due since"),
        pytest.param(40, [LEFT], True, id="who sends has left it"),
        pytest.param(40, [LEFT, QUIET, QUIET], True, id="one who sends has left it, the others are idle"),
        pytest.param(float("inf"), [LEFT], True, id="its agent was never heard"),
        pytest.param(200, [LOST, LOST], True, id="every session with it has ended"),
        pytest.param(40, [NEVER], True, id="a new peer has had no answer"),
        pytest.param(40, [LEFT, FRESH, FRESH], False, id="one host behind a broken link moves nobody"),
        pytest.param(40, [FRESH, LEFT, LEFT], True, id="one that lies keeps nobody"),
        pytest.param(40, [replace(LEFT, handshake_age=5)], False, id="it left, and yet is answered"),
    ],
)
def test_a_jump_peer_is_dead_when_it_is_silent_and_those_who_send_through_it_say_so(
    silence: float, witnesses: list[Witness], dead: bool
) -> None:
    for order in permutations(witnesses):
        assert is_dead(GW.id, silence, order) is dead


@pytest.mark.parametrize(
    ("live", "used", "deposed", "expected"),
    [
        pytest.param({2, 3}, set(), set(), 2, id="the next one"),
        pytest.param({3}, set(), set(), 3, id="the next one that is alive"),
        pytest.param({2, 3}, set(), {2}, 3, id="not one that lost the place of late"),
        pytest.param({2}, set(), {2}, 2, id="unless it is the only one"),
        pytest.param({3}, {2}, set(), 3, id="one that the server hears before one that only agents use"),
        pytest.param(set(), {3}, set(), 3, id="one that agents have found by themselves"),
        pytest.param(set(), set(), set(), None, id="nobody"),
    ],
)
def test_the_place_goes_to(live: Set[int], used: Set[int], deposed: Set[int], expected: int | None) -> None:
    by_number = {jump.id.int: jump.id for jump in (SECOND, THIRD)}

    def ids(numbers: Set[int]) -> set[PeerId]:
        return {by_number[number] for number in numbers}

    found = heir([SECOND, THIRD], ids(live), ids(used), ids(deposed))
    assert (None if found is None else found.id.int) == expected


def test_the_primary_comes_first_and_those_who_cannot_forward_not_at_all() -> None:
    network = a_network(primary_id=THIRD.id)
    waiting, blocked = a_jump(4, public_key=None), replace(a_jump(5), blocked=True)
    peers = [SECOND, blocked, a_peer(9), GW, waiting, THIRD]
    assert jumps_in_order(network, peers) == [THIRD, GW, SECOND]
    assert jumps_in_order(network, [SECOND, replace(THIRD, blocked=True), GW]) == [GW, SECOND]
