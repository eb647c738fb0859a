"""Bridges and grants where something breaks: a partition, a crash in the middle, a controller that is not heard."""

import signal
import time
from functools import partial

import pytest

from isthmus.domain.mesh.crossing import LEASE
from lab.alliance import WITHIN, Alliance
from lab.side import Side
from lab.waiting import wait_until
from tests.bridging.calls import asks
from tests.bridging.test_packets import STOPS, is_clean
from tests.bridging.traffic import running
from tests.federation.checks import refused

pytestmark = pytest.mark.timeout(400)
HEALS = 60.0
"""Seconds within which both sides speak to each other again, on a busy machine."""
CUT = """
add table inet cut
add chain inet cut out {{ type filter hook output priority 0; }}
add rule inet cut out ip daddr {address} drop
"""


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    return alliance.join()


def forgets(alliance: Alliance) -> None:
    """No host of either side holds anything of the other one."""
    for side in alliance.sides:
        for member in side.members:
            wait_until(partial(is_clean, alliance, member), within=HEALS, what=f"{member.name} to forget")


def is_revoked(side: Side, bridge: str) -> bool:
    state: str = side.api.get(f"/bridges/{bridge}").raise_for_status().json()["state"]
    return state == "revoked"


@pytest.mark.case("FAULT-004")
def test_what_is_revoked_during_a_partition_ends_here_at_once_and_there_after_it(
    alliance: Alliance, bridge: str
) -> None:
    a, b = alliance.sides
    with running(alliance) as traffic, alliance.granted() as (_, token), alliance.granted(resource="beacon"):
        traffic.passes()
        # The backends cannot speak to each other; gateways and packets go on.
        alliance.lab.part(a.site.host, b.site.host)
        try:
            started = time.monotonic()
            alliance.act(a, "revoke")
            assert traffic.stops(started) < STOPS
            refused(asks(alliance, alliance.app, token, wan=True), 403, "axis_denied")
            assert not is_revoked(b, bridge)
        finally:
            alliance.lab.unite(a.site.host, b.site.host)
        wait_until(partial(is_revoked, b, bridge), within=HEALS, what="B to hear of it")
        forgets(alliance)
        for probe in traffic.allowed:
            assert probe.is_silent()


@pytest.mark.parametrize("process", ["server", "federator"])
@pytest.mark.parametrize("where", ["a", "b"])
def test_a_crash_in_the_middle_of_a_revocation_leaves_nothing_behind(
    alliance: Alliance, bridge: str, where: str, process: str
) -> None:
    side = {each.name: each for each in alliance.sides}[where]
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        traffic.passes()
        alliance.act(alliance.a, "revoke")
        side.site.kill(process, signal.SIGKILL)
        wait_until(side.site.answers, within=HEALS, what=f"the server of {where}")
        wait_until(partial(is_revoked, alliance.b, bridge), within=HEALS, what="B to hear of it")
        forgets(alliance)
        traffic.stops(time.monotonic())


@pytest.mark.parametrize("where", ["a", "b"])
def test_an_agent_that_is_killed_with_a_bridge_open_closes_it_when_it_returns(
    alliance: Alliance, bridge: str, where: str
) -> None:
    gateway = {each.name: each for each in alliance.sides}[where].gateway
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        traffic.passes()
        gateway.agent.kill()
        for probe in traffic.allowed:
            probe.passes(within=WITHIN)
        alliance.act(alliance.a, "revoke")
        wait_until(partial(is_revoked, alliance.b, bridge), within=HEALS, what="B to hear of it")
        gateway.agent.restart()
        forgets(alliance)
        traffic.stops(time.monotonic())


def test_a_gateway_that_does_not_hear_its_controller_closes_its_bridges_by_lease(alliance: Alliance) -> None:
    gateway, server = alliance.a.gateway, alliance.a.site.host
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        traffic.passes()
        gateway.host.run(["nft", "-f", "-"], input=CUT.format(address=server.ipv4))
        try:
            started = time.monotonic()
            # Within the lease nothing is lost.
            time.sleep(LEASE / 4)
            traffic.passes()
            ended = traffic.allowed[1].stops(started, within=LEASE + WITHIN)
            assert LEASE / 4 < ended < LEASE + STOPS
            wait_until(partial(is_clean, alliance, gateway), within=WITHIN, what="the gateway to forget")
        finally:
            gateway.host.run(["nft", "delete", "table", "inet", "cut"])
        traffic.passes()
        traffic.check_others()
