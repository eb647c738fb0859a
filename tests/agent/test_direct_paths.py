"""Direct paths between real agents: real wireguard-go, behind real NATs."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import Lab, NatKind, wait_until
from tests.agent.wayside import Wayfarer, await_reach

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("agent-direct")]

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
        places = [*NatKind, "open"]
        hosts = {}
        for number, place in enumerate((*places, "other cone"), start=2):
            kind = NatKind.PORT_RESTRICTED if place == "other cone" else place
            behind = None if place == "open" else lab.nat(f"nat-{number}", kind=kind)
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
        assert one.host.ping(two.v4, count=100).loss == 0
        assert two.host.ping(one.v6, count=100).loss == 0
        after = town.gw.shown()
        for each in (one, two):
            assert after[each.public_key].rx - before[each.public_key].rx < 1000
    finally:
        one.end()
        two.end()
