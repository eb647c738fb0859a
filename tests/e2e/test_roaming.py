"""A laptop that is carried elsewhere and a host whose clock is set: tunnels go on, and nothing looks like misuse."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from lab import wait_until
from lab.backend import Backend
from lab.mesh import Member
from tests.e2e.conftest import Office
from tests.e2e.observing import PING_SECONDS, Pinging, await_reach, reaches

pytestmark = pytest.mark.timeout(180)

DAY = 86_400
GAP_SECONDS = 3.0  # of a ping while a laptop changes networks
FOLLOW_SECONDS = 20.0  # for the server to hear of a new endpoint
RETURN_SECONDS = 10.0  # for an agent to find that its old connection leads nowhere, and to open another


def seen_at(backend: Backend, name: str) -> str:
    """The address at which jump peers see a peer, as `isthmus peer show` tells it."""
    lines = backend.cli("peer", "show", name).splitlines()
    found = [line.split("seen at")[1].strip() for line in lines if "seen at" in line]
    return found[0].rpartition(":")[0] if found else ""


def last_seen(backend: Backend, member: Member) -> datetime:
    return datetime.fromisoformat(str(backend.peer(member.name)["status"]["last_seen"]))


def test_a_laptop_that_moves_to_another_nat_goes_on_where_it_was(office: Office) -> None:
    backend, laptop, desk = office.backend, office.laptop, office.desk
    hotel = office.lab.nat("hotel")
    await_reach(laptop.host, desk.ipv4)
    wait_until(lambda: seen_at(backend, "laptop"), within=FOLLOW_SECONDS, what="the first endpoint")
    audit = backend.api.get("/audit").json()["items"]
    with Pinging(laptop.host, desk.ipv4) as pinging:
        office.lab.move(laptop.host, behind=hotel)
        wait_until(lambda: reaches(laptop.host, desk.ipv4), within=GAP_SECONDS, what="the way through the hotel")
        wait_until(
            lambda: seen_at(backend, "laptop") == str(hotel.ipv4), within=FOLLOW_SECONDS, what="the new endpoint"
        )
    assert pinging.lost * PING_SECONDS < GAP_SECONDS
    assert reaches(desk.host, laptop.ipv6), "who was reached before is reached again"

    # The session is the same: the agent comes back by itself, nobody enrolled, nobody was refused.
    backend.change("laptop", full_encapsulation=True)
    backend.settle(within=RETURN_SECONDS)
    assert backend.peer("laptop")["status"]["state"] == "online"
    news = [row for row in backend.api.get("/audit").json()["items"] if row not in audit]
    assert [row["action"] for row in news] == ["peer.update"]


def test_a_clock_that_jumps_by_a_day_and_back_disturbs_nothing(office: Office) -> None:
    backend, lab, desk = office.backend, office.lab, office.desk
    kiosk = backend.join(lab.host("kiosk", behind=lab.nat("station"), own_clock=True), "office")
    backend.settle()
    await_reach(desk.host, kiosk.ipv4)
    audit = backend.api.get("/audit").json()["items"]
    with Pinging(desk.host, kiosk.ipv4) as pinging:
        for ahead, mtu in ((DAY, 1380), (0, 1400)):
            before = datetime.now(UTC)
            lab.set_clock(kiosk.host, ahead)
            backend.change_network("office", mtu=mtu)
            backend.settle()
            # Whatever its clock says, the server goes by its own.
            assert timedelta() <= last_seen(backend, kiosk) - before < timedelta(seconds=30)
            time.sleep(1)
    assert pinging.lost == 0
    assert backend.peer("kiosk")["status"]["state"] == "online"
    news = [row for row in backend.api.get("/audit").json()["items"] if row not in audit]
    assert {row["action"] for row in news} == {"network.update"}
    assert {row["outcome"] for row in news} == {"done"}
