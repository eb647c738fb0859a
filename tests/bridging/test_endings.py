"""What ends with a remote, or with one instance of it, and what does not."""

import time
from functools import partial

import pytest

from lab.alliance import WITHIN, Alliance
from lab.meeting import acquaint
from lab.waiting import wait_until
from tests.bridging.calls import asks, bearer, connect, line_of, wanted
from tests.bridging.test_packets import STOPS, is_clean
from tests.bridging.traffic import running
from tests.federation.checks import refused
from tests.federation.wire import Connection

OK = 200


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    return alliance.join()


def is_refused(connection: Connection, line: bytes) -> bool:
    answer = connection.ask(line)
    return answer.status != OK


@pytest.mark.case("ADM-007")
def test_a_remote_that_is_removed_is_cut_in_calls_and_packets_and_nothing_of_it_is_revived(
    alliance: Alliance, bridge: str
) -> None:
    a, b = alliance.sides
    with running(alliance) as traffic, alliance.granted(networks=None, sources=None) as (grant, token):
        with alliance.granted(resource="beacon"):
            traffic.passes()
            line = line_of(alliance, "get", wanted(alliance), bearer(token))
            with connect(alliance, alliance.app, wan=True) as session:
                assert session.ask(line).status == OK
                started = time.monotonic()
                a.api.delete(f"/remotes/{b.domain}").raise_for_status()
                try:
                    wait_until(partial(is_refused, session, line), within=STOPS, what="the open session to be refused")
                    refused(session.ask(line), 403, "federation_denied")
                    assert traffic.stops(started) < STOPS
                    for member in (*a.members, *b.members):
                        wait_until(partial(is_clean, alliance, member), within=WITHIN, what=f"{member.name} to forget")
                finally:
                    b.site.await_remote(a.site, "revoked")
                    acquaint(a.site, b.site)
            assert a.api.get(f"/grants/{grant}").raise_for_status().json()["state"] == "revoked"
            assert alliance.join() != bridge
            refused(asks(alliance, alliance.app, token, wan=True), 401, "grant_invalid")
            # The bridge is there again, and no former grant opens anything in it.
            for probe in traffic.allowed:
                wait_until(probe.is_silent, within=WITHIN, what=f"{probe} to be tried often enough")
        with alliance.granted(resource="beacon"):
            traffic.allowed[1].passes(within=WITHIN)
        traffic.check_others()


def test_an_instance_that_is_blocked_is_out_of_calls_and_packets_and_its_neighbour_is_not(alliance: Alliance) -> None:
    a, b = alliance.sides
    path = f"/remotes/{b.domain}/instances/{alliance.instances['app']}/block"
    both = [alliance.instances["app"], alliance.instances["other"]]
    with (
        running(alliance) as traffic,
        alliance.granted(instances=both) as (_, token),
        alliance.granted(resource="beacon"),
    ):
        traffic.passes()
        started = time.monotonic()
        a.api.post(path, json={"reason": "a test"}).raise_for_status()
        try:
            assert traffic.stops(started) < STOPS
            refused(asks(alliance, alliance.app, token, wan=True), 403, "instance_blocked")
            assert asks(alliance, b.hosts["other"], token).status == OK
        finally:
            a.api.delete(path).raise_for_status()
        traffic.passes()
