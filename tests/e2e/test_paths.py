"""Ways between peers that open, die and move, with a server that knows of them: packets and a transfer go on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import Lab, Nat, wait_until
from lab.backend import Backend
from lab.mesh import Member
from tests.e2e.observing import Pinging, Session, reaches, sessions
from tests.e2e.transfer import Transfer

pytestmark = pytest.mark.timeout(240)

# Candidates come with a first heartbeat, and what a jump peer sees with one of its own.
OPEN_SECONDS = 40.0
FAILOVER_SECONDS = 30.0
# As long as TCP may wait for its next try when the way was gone for so long.
RETRY_SECONDS = 60.0
# After three failures a path is tried every five minutes.
LATEST_RETRY_SECONDS = 340.0
PINGS_A_SECOND = 200


@dataclass
class Town:
    backend: Backend
    gw: Member
    gw2: Member
    laptop: Member
    desk: Member
    home: Nat
    cafe: Nat
    keys: dict[str, str]

    def session(self, member: Member, other: Member) -> Session:
        """An empty one while a peer is made anew, to be tried elsewhere."""
        return sessions(member).get(self.keys[other.name], Session(frozenset(), 0, 0, 0))

    def goes_directly(self) -> bool:
        pairs = ((self.laptop, self.desk), (self.desk, self.laptop))
        return all(self.session(one, other).allowed_ips for one, other in pairs)

    def goes_through(self, jump: Member) -> bool:
        """Whether both peers send to all others by this jump peer."""
        return all("10.20.0.0/24" in self.session(each, jump).allowed_ips for each in (self.laptop, self.desk))

    def carried_by(self, jump: Member) -> int:
        """Bytes that the jump peer got from the laptop."""
        return self.session(jump, self.laptop).rx


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with Lab() as lab, Backend(lab) as backend:
        backend.create_network("office", cidr_v4="10.20.0.0/24")
        gw, gw2 = (
            backend.join(lab.host(name, address=f"198.51.100.{number}"), "office", kind="jump")
            for name, number in (("gw", 7), ("gw2", 8))
        )
        home, cafe = lab.nat("home"), lab.nat("cafe")
        laptop = backend.join(lab.host("laptop", behind=home), "office")
        desk = backend.join(lab.host("desk", behind=cafe), "office")
        backend.settle()
        keys = {peer["name"]: peer["public_key"] for peer in backend.peers()}
        yield Town(backend, gw, gw2, laptop, desk, home, cafe, keys)


def shown_way(town: Town, one: Member, other: Member) -> tuple[bool | None, str | None]:
    """What `isthmus peer paths` shows of the way from one to the other."""
    items = town.backend.api.get(f"/peers/{one.id}/paths").raise_for_status().json()["items"]
    path = next(item for item in items if item["other"]["name"] == other.name)
    return path["direct"], path["via"]


@pytest.mark.case("DATA-008")
def test_a_transfer_goes_on_over_a_direct_path_and_two_jump_peers_as_they_come_and_go(town: Town) -> None:
    lab, laptop, desk = town.backend.lab, town.laptop, town.desk
    with Transfer(laptop, desk) as transfer:
        wait_until(town.goes_directly, within=OPEN_SECONDS, what="a direct path")
        before = town.carried_by(town.gw)
        transfer.await_progress(5, blocks=100)
        assert town.carried_by(town.gw) - before < 5_000, "a transfer of 100 kB is not seen by the jump peer"
        wait_until(lambda: shown_way(town, laptop, desk) == (True, None), within=10, what="the server to know")

        lab.part(town.home, town.cafe)
        wait_until(lambda: not town.goes_directly(), within=10, what="the dead path to be left")
        transfer.await_progress(10)
        assert town.goes_through(town.gw)
        assert town.carried_by(town.gw) - before > 20_000

        lab.cut(town.gw.host)
        died = time.monotonic()
        wait_until(lambda: town.goes_through(town.gw2), within=FAILOVER_SECONDS, what="the second jump peer")
        assert time.monotonic() - died > 10, "a break of some seconds is no death"
        transfer.await_progress(RETRY_SECONDS)
        wait_until(lambda: shown_way(town, laptop, desk) == (False, "gw2"), within=20, what="the server to know")

        lab.mend(town.gw.host)
        wait_until(lambda: reaches(laptop.host, town.gw.ipv4), within=30, what="the first jump peer to be back")
        for _ in range(10):
            transfer.await_progress(5)
            assert town.goes_through(town.gw2)


def test_moving_between_a_direct_path_and_the_jump_peer_loses_a_second_of_packets_at_most(town: Town) -> None:
    lab, laptop, desk = town.backend.lab, town.laptop, town.desk
    lab.unite(town.home, town.cafe)
    with Pinging(laptop.host, desk.ipv4) as pinging:
        wait_until(town.goes_directly, within=LATEST_RETRY_SECONDS, what="the path to be tried again")
        time.sleep(2)
    assert pinging.lost <= PINGS_A_SECOND

    with Pinging(laptop.host, desk.ipv4) as pinging:
        time.sleep(3)
        lab.part(town.home, town.cafe)
        wait_until(lambda: reaches(laptop.host, desk.ipv4), within=10, what="the other way")
        time.sleep(1)
    assert not town.goes_directly()
    assert 0 < pinging.lost <= PINGS_A_SECOND


def test_a_killed_agent_leaves_its_direct_path_and_takes_it_over_again(town: Town) -> None:
    lab, laptop, desk = town.backend.lab, town.laptop, town.desk
    lab.unite(town.home, town.cafe)
    for member in (laptop, desk):
        # One that begins anew has no failures behind it, which would make the next try a late one.
        member.agent.stop()
        member.agent.restart()
    wait_until(town.goes_directly, within=OPEN_SECONDS, what="a direct path")
    with Pinging(laptop.host, desk.ipv4) as pinging:
        laptop.agent.kill()
        time.sleep(3)
        laptop.agent.restart()
        laptop.agent.wait_for("connected")
        time.sleep(1)
    assert pinging.lost == 0
    assert town.goes_directly()
    plan = town.backend.type(laptop.host, "isthmus", "agent", "plan", "--dry-run")
    assert plan.strip() == "nothing to do: this host is as it shall be"
    status = town.backend.type(laptop.host, "isthmus", "agent", "status")
    assert any(line.split()[:3] == ["desk", "direct", "direct"] for line in status.splitlines())
