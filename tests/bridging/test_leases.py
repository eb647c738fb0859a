"""Hosts that do not hear from their server: what they keep, for how long, and how they come back."""

import time
from functools import partial

import pytest

from isthmus.domain.mesh.crossing import LEASE
from lab.alliance import WITHIN, Alliance
from lab.mesh import Member
from lab.side import Side
from lab.traces import routes
from lab.waiting import wait_until
from tests.bridging.test_faults import CUT, HEALS
from tests.bridging.test_packets import STOPS
from tests.e2e.observing import Pinging, await_reach

pytestmark = pytest.mark.timeout(400)
OUTAGE = 60.0
PING = 0.05


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    return alliance.join()


def leads_there(alliance: Alliance, member: Member) -> bool:
    """Whether the host has a route to B's prefix."""
    return alliance.prefix_of(alliance.b) in routes(member.host)


def all_connected(side: Side) -> bool:
    return all(side.site.mesh.peer(member.name)["status"]["connected"] for member in side.members)


@pytest.mark.case("DATA-009")
def test_tunnels_lose_nothing_in_a_minute_without_the_server_and_a_restarted_agent_comes_back(
    alliance: Alliance,
) -> None:
    a, wiki, desk = alliance.a, alliance.wiki, alliance.a.hosts["desk"]
    assert leads_there(alliance, wiki)
    await_reach(desk.host, wiki.ipv4, wiki.ipv6)
    with Pinging(desk.host, wiki.ipv4, every=PING) as pinging:
        try:
            a.site.up.stop()
            started = time.monotonic()
            wiki.agent.restart()
            wiki.agent.wait_for("no connection")
            time.sleep(OUTAGE - (time.monotonic() - started))
            assert all(member.agent.running for member in a.members)
        finally:
            a.site.up.restart()
            a.site.await_server()
        wait_until(partial(all_connected, a), within=HEALS, what="all agents to be connected")
    assert pinging.sent > OUTAGE / PING / 2
    assert pinging.lost == 0
    a.site.await_ingress(within=HEALS)
    alliance.join()
    for member in (wiki, desk):
        wait_until(partial(leads_there, alliance, member), within=WITHIN, what=f"the route of {member.name}")


@pytest.mark.case("DATA-009")
def test_a_host_that_is_cut_off_beyond_its_lease_drops_the_bridged_routes_by_itself(alliance: Alliance) -> None:
    wiki, desk, server = alliance.wiki, alliance.a.hosts["desk"], alliance.a.site.host
    prefix = alliance.prefix_of(alliance.b)
    assert leads_there(alliance, wiki)
    with Pinging(desk.host, wiki.ipv4, every=PING) as pinging:
        wiki.host.run(["nft", "-f", "-"], input=CUT.format(address=server.ipv4))
        started = time.monotonic()
        try:
            while time.monotonic() < started + LEASE * 3 / 4:
                assert prefix in routes(wiki.host)
                time.sleep(1)
            wait_until(lambda: prefix not in routes(wiki.host), within=LEASE / 4 + STOPS, what="the end of the lease")
            # Nobody else has lost anything, and neither has the host but for the bridge.
            assert leads_there(alliance, desk)
        finally:
            wiki.host.run(["nft", "delete", "table", "inet", "cut"])
        wait_until(partial(leads_there, alliance, wiki), within=HEALS, what="the route to be back")
    assert pinging.lost == 0
