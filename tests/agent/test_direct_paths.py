"""Direct paths between real agents: real wireguard-go, behind real NATs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import Lab, Nat, NatKind, wait_until
from tests.agent.wayside import Wayfarer, await_reach

pytestmark = pytest.mark.timeout(120)

OPEN_SECONDS = 30.0


@dataclass
class Town:
    lab: Lab
    gw: Wayfarer
    hosts: dict[str, Wayfarer]

    def introduce(self, one: Wayfarer, two: Wayfarer) -> None:
        """Give both a way through the jump peer, then tell each of the other."""
        for each in (one, two):
            each.apply(each.through(self.gw))
            await_reach(each.host, self.gw.v4)
        as_one, as_two = one.as_direct(self.gw), two.as_direct(self.gw)
        one.apply(one.through(self.gw, as_two), revision=2)
        two.apply(two.through(self.gw, as_one), revision=2)


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Lab() as lab:
        gw = Wayfarer(lab.host("gw", address="198.51.100.7"), 1)
        others = {"other cone": NatKind.PORT_RESTRICTED, "symmetric too": NatKind.SYMMETRIC}
        hosts = {}
        for number, place in enumerate((*NatKind, "open", *others), start=2):
            behind = None if place == "open" else lab.nat(f"nat-{number}", kind=others.get(place, place))
            hosts[place] = Wayfarer(lab.host(f"host-{number}", behind=behind), number)
        gw.apply(gw.jump_config(*hosts.values()))
        yield Town(lab, gw, hosts)


def test_two_agents_behind_cones_of_their_own_talk_directly(town: Town) -> None:
    one, two = town.hosts[NatKind.PORT_RESTRICTED], town.hosts["other cone"]
    town.introduce(one, two)
    assert one.host.ping(two.v4)
    one.keep()
    two.keep()
    try:
        wait_until(lambda: one.goes_directly_to(two) and two.goes_directly_to(one), within=OPEN_SECONDS, what="a way")
        before = town.gw.shown()
        assert one.host.ping(two.v4, count=100).loss < 5
        assert two.host.ping(one.v6, count=100).loss < 5
        after = town.gw.shown()
        for each in (one, two):
            assert after[each.public_key].rx - before[each.public_key].rx < 1000
    finally:
        one.end()
        two.end()


@pytest.mark.parametrize(
    ("first", "second", "can"),
    [
        (NatKind.FULL_CONE, NatKind.SYMMETRIC, True),
        (NatKind.RESTRICTED, NatKind.SYMMETRIC, True),
        (NatKind.SYMMETRIC, "open", True),
        (NatKind.PORT_RESTRICTED, NatKind.SYMMETRIC, False),
        (NatKind.SYMMETRIC, "symmetric too", False),
    ],
)
def test_who_can_go_directly_does_and_everybody_else_goes_by_the_jump_peer(
    town: Town, first: str, second: str, can: bool
) -> None:
    one, two = town.hosts[first], town.hosts[second]
    town.introduce(one, two)
    # Who cannot is given less time to try: three rounds of a second for each candidate.
    timing = {} if can else {"candidate": 1.0, "least_tries": 1}
    one.keep(timing)
    two.keep(timing)
    try:
        if can:
            wait_until(lambda: one.goes_directly_to(two) and two.goes_directly_to(one), within=OPEN_SECONDS, what="it")
        else:
            wait_until(lambda: not one.tries(two) and not two.tries(one), within=OPEN_SECONDS, what="both to give up")
            assert not one.goes_directly_to(two)
            assert not two.goes_directly_to(one)
        before = town.gw.shown()[one.public_key].rx
        assert one.host.ping(two.v4, count=100).loss < 5
        assert (town.gw.shown()[one.public_key].rx - before < 1000) is can
    finally:
        one.end()
        two.end()


def test_two_hosts_behind_one_nat_find_each_other_without_it(town: Town) -> None:
    one = town.hosts[NatKind.PORT_RESTRICTED]
    home = town.lab.hosts["nat-4"]
    assert isinstance(home, Nat)
    two = Wayfarer(town.lab.host("same", behind=home), 20)
    town.gw.apply(town.gw.jump_config(*town.hosts.values(), two))
    town.introduce(one, two)
    one.keep()
    two.keep()
    try:
        wait_until(lambda: one.goes_directly_to(two) and two.goes_directly_to(one), within=OPEN_SECONDS, what="a way")
        assert one.shown()[two.public_key].endpoint.startswith(str(two.host.ipv4))
        assert one.host.ping(two.v4, count=50).loss < 5
    finally:
        one.end()
        two.end()
