"""What passes between two organisations, seen by packets that are sent all the time: what is open, and nothing else."""

import time
from functools import partial
from typing import Any

import pytest

from lab.alliance import WITHIN, Alliance
from lab.mesh import Member
from lab.probes import UNANSWERED, Probe
from lab.side import Side
from lab.traces import allowed_ips, handshakes, listeners, public_key, routes, rules
from lab.waiting import wait_until
from tests.bridging.traffic import running
from tests.federation.party import Party, Row

STOPS = 4.0
REVOKED = 2.0
"""Seconds after the revocation of a grant in which its streams end."""
"""Seconds after which packets are still seen on a machine that does much else; `make bench` has the real figure."""


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    return alliance.join()


def test_gateways_hold_a_tunnel_with_exactly_the_accepted_prefixes_and_nothing_passes(alliance: Alliance) -> None:
    a, b = alliance.sides
    for here, there in ((a, b), (b, a)):
        wait_until(partial(has_handshake, here, there), within=WITHIN, what="the tunnel of the gateways")
        assert allowed_ips(here.gateway)[public_key(there.gateway)] == {alliance.prefix_of(there)}
    with running(alliance) as traffic:
        for probe in (*traffic.allowed, *traffic.others):
            wait_until(probe.is_silent, within=WITHIN, what=f"{probe} to be tried often enough")
            assert not probe.arrived


@pytest.mark.case("DATA-002", "GRANT-009")
def test_a_grant_opens_one_port_to_one_instance_and_takes_it_back(alliance: Alliance) -> None:
    with running(alliance) as traffic:
        with alliance.granted() as (grant, _), alliance.granted(resource="beacon"):
            traffic.passes()
            started = time.monotonic()
            alliance.revoke(grant)
            wiki, beacon = traffic.allowed
            assert wiki.stops(started, within=WITHIN) < REVOKED
            beacon.passes(within=WITHIN)
            traffic.check_others()
            started = time.monotonic()
        assert traffic.stops(started) < STOPS
        traffic.check_others()


@pytest.mark.case("DATA-001", "DATA-003", "SEED-152", "SEED-153", "SEED-154", "SEED-156")
def test_a_bridge_lets_pass_while_it_is_active_and_at_no_other_time(alliance: Alliance) -> None:
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        traffic.passes()
        for side in alliance.sides:
            before = kept(alliance)
            started = time.monotonic()
            alliance.act(side, "suspend")
            assert traffic.stops(started) < STOPS
            assert kept(alliance) == before
            alliance.act(side, "resume")
            traffic.passes()
            assert moves(side)[:2] == ["bridge.resume", "bridge.suspend"]
        started = time.monotonic()
        ended = alliance.act(alliance.a, "revoke")
        assert traffic.stops(started) < STOPS
        for side in alliance.sides:
            wait_until(partial(has_reason, side, ended["id"]), within=WITHIN, what=f"the reason at {side.domain}")
        alliance.join()
        again = alliance.bridge(alliance.a)
        assert again is not None
        assert (again["id"] != ended["id"], again["generation"]) == (True, ended["generation"] + 1)
        traffic.passes()
        traffic.check_others()


def test_a_bridge_that_an_incident_holds_lets_nothing_pass_whatever_the_operator_resumes(alliance: Alliance) -> None:
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        traffic.passes()
        for side in alliance.sides:
            started = time.monotonic()
            alliance.act(side, "hold")
            assert traffic.stops(started) < STOPS
            alliance.act(side, "suspend")
            left = alliance.act(side, "resume")
            assert (left["state"], left["holds"]) == ("suspended", ["incident"])
            resumed = time.monotonic()
            for probe in traffic.allowed:
                tried = partial(has_tried, probe, resumed)
                wait_until(tried, within=WITHIN, what=f"{probe} to be tried often enough")
                assert probe.last < resumed
            assert alliance.act(side, "release")["holds"] == []
            traffic.passes()
        traffic.check_others()


def test_a_grant_that_ends_by_itself_closes_its_flow(alliance: Alliance) -> None:
    with running(alliance) as traffic, alliance.granted(resource="beacon") as (grant, _):
        _, beacon = traffic.allowed
        beacon.passes(within=WITHIN)
        # A grant lasts a minute at least, so its end is brought nearer by what an operator may not type.
        path = f"/grants/{grant}"
        before = alliance.a.api.get(path).raise_for_status()
        alliance.a.api.patch(
            path, json={"instances": [alliance.instances["other"]]}, headers={"If-Match": before.headers["ETag"]}
        ).raise_for_status()
        started = time.monotonic()
        assert beacon.stops(started, within=WITHIN) < STOPS


def test_everything_that_a_bridge_put_there_is_gone_after_its_end(alliance: Alliance) -> None:
    hosts = [member for side in alliance.sides for member in side.members]
    with running(alliance) as traffic, alliance.granted():
        traffic.allowed[0].passes(within=WITHIN)
        held = {member.name: traces(alliance, member) for member in hosts}
        assert all(held[side.gateway.name] for side in alliance.sides), held
        alliance.act(alliance.b, "revoke")
        for member in hosts:
            wait_until(partial(is_clean, alliance, member), within=WITHIN, what=f"{member.name} to forget")
    for side in alliance.sides:
        wait_until(partial(is_quiet, side), within=WITHIN, what=f"the ingress of {side.name} to leave the network")


def has_tried(probe: Probe, since: float) -> bool:
    return sum(at > since for at in probe.sent) > UNANSWERED


def kept(alliance: Alliance) -> list[Any]:
    """What a suspension leaves alone: what both sides have agreed on, and the grants."""
    bridges = [alliance.bridge(side) or {} for side in alliance.sides]
    agreed = [[each[name] for name in ("id", "network", "ours", "accepted")] for each in bridges]
    grants = alliance.a.api.get("/grants").raise_for_status().json()["items"]
    # Packets that pass are noted as a use.
    return [*agreed, [{name: each[name] for name in each if name != "last_used_at"} for each in grants]]


def moves(side: Side) -> list[str]:
    """What its operator did with bridges, the newest first."""
    rows = Party(side.site).audit()[::-1]
    return [row["action"] for row in rows if row["actor"] == "local" and row["action"].startswith("bridge.")]


def has_reason(side: Side, bridge: str) -> bool:
    """Whether the audit log tells why the bridge was revoked."""
    rows = [row for row in Party(side.site).audit() if row["subject"] == bridge]
    return any(row["facts"].get("reason") == "a test" and is_end(row) for row in rows)


def is_end(row: Row) -> bool:
    return "revoked" in (row["facts"].get("state"), row["facts"].get("there"))


def has_handshake(here: Side, there: Side) -> bool:
    return handshakes(here.gateway).get(public_key(there.gateway), 0) > 0


def is_quiet(side: Side) -> bool:
    """Whether nothing listens at the address of the backend's host inside the network."""
    return not any(side.home.ipv6 in each for each in listeners(side.site.host))


def is_clean(alliance: Alliance, member: Member) -> bool:
    return not traces(alliance, member)


def traces(alliance: Alliance, member: Member) -> list[str]:
    """What a host holds that concerns the other side: its prefix in rules and routes, and its gateway."""
    other = alliance.b if member in alliance.a.members else alliance.a
    prefix = alliance.prefix_of(other)
    found = []
    if prefix in rules(member.host):
        found.append("a rule")
    if prefix in routes(member.host):
        found.append("a route")
    if public_key(other.gateway) in allowed_ips(member):
        found.append("a tunnel")
    if any(prefix in prefixes for prefixes in allowed_ips(member).values()):
        found.append("an allowed IP")
    return found


@pytest.mark.case("SEED-150")
def test_whoever_proposed_cannot_accept_and_nothing_passes_before_both_are_active(alliance: Alliance) -> None:
    a, b = alliance.sides
    alliance.act(a, "revoke")
    with running(alliance) as traffic, alliance.granted(), alliance.granted(resource="beacon"):
        body = {"remote": b.domain, "network_id": a.network_id}
        made = a.api.post("/bridges", json=body).raise_for_status().json()
        wait_until(lambda: alliance.bridge(b), within=WITHIN, what="the proposal at B")
        rows = Party(a.site).last_row()
        refusal = a.api.post(f"/bridges/{made['id']}/accept", json={"network_id": a.network_id})
        assert (refusal.status_code, refusal.json()["code"]) == (409, "transition_not_allowed")
        assert [row["outcome"] for row in Party(a.site).audit(rows)] == ["denied"]
        after = alliance.bridge(a)
        assert after is not None
        assert (after["state"], after["version"]) == ("proposed", made["version"])
        for probe in traffic.allowed:
            wait_until(probe.is_silent, within=WITHIN, what=f"{probe} to be tried often enough")
            assert not probe.arrived
        alliance.join()
        traffic.passes()
        for side in alliance.sides:
            bridge = alliance.bridge(side)
            assert bridge is not None
            assert (bridge["state"], bridge["state_there"]) == ("active", "active")
        (accepted,) = [
            row for row in Party(b.site).audit() if row["action"] == "bridge.accept" and row["subject"] == made["id"]
        ]
        assert (accepted["actor"], accepted["outcome"]) == ("local", "done")
