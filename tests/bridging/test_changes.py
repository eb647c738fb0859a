"""Every change of a bridge and of what it opens, on the hosts of both sides whom it concerns, and how soon."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lab.alliance import WITHIN, Alliance
from lab.mesh import Member
from lab.waiting import wait_until
from tests.e2e.test_changes import PROMPT_SECONDS, held

QUIET_SECONDS = 2.0


class Grants:
    """One grant of A to B, from its beginning to its end."""

    def __init__(self, alliance: Alliance) -> None:
        self._alliance = alliance
        self._path = ""

    def make(self) -> None:
        alliance = self._alliance
        body = {"subject": f"bob@{alliance.b.domain}", "kind": "service", "scopes": ["connect", "read"]}
        body |= alliance.narrow | {"resource_id": alliance.service("wiki")["id"]}
        made = alliance.a.api.post("/grants", json=body).raise_for_status().json()
        self._path = f"/grants/{made['grant']['id']}"

    def change(self) -> None:
        api, other = self._alliance.a.api, self._alliance.instances["other"]
        present = api.get(self._path).raise_for_status().headers["ETag"]
        api.patch(self._path, json={"instances": [other]}, headers={"If-Match": present}).raise_for_status()

    def revoke(self) -> None:
        self._alliance.revoke(self._path.rpartition("/")[2])


def propose(alliance: Alliance) -> None:
    body = {"remote": alliance.b.domain, "network_id": alliance.a.network_id}
    alliance.a.api.post("/bridges", json=body).raise_for_status()
    wait_until(lambda: alliance.bridge(alliance.b), within=WITHIN, what="the proposal at B")


def applied_after(change: Callable[[], object], hosts: Mapping[str, Member]) -> dict[str, float]:
    """The hosts that hold another config after a change, each with the seconds until it held the last one."""
    before: dict[str, Any] = {name: held(member) for name, member in hosts.items()}
    started = last = time.monotonic()
    change()
    took: dict[str, float] = {}
    while (now := time.monotonic()) < last + QUIET_SECONDS:
        for name, member in hosts.items():
            after = held(member)
            if after != before[name]:
                before[name], took[name], last = after, now - started, now
        time.sleep(0.01)
    return took


@pytest.mark.case("MESH-004")
def test_each_change_of_a_bridge_is_applied_within_a_second_on_both_sides(alliance: Alliance) -> None:
    alliance.join()
    a, b = alliance.sides
    hosts = {member.name: member for side in alliance.sides for member in side.members}
    gateways, grants = {side.gateway.name for side in alliance.sides}, Grants(alliance)
    changes: dict[str, tuple[Callable[[], object], set[str]]] = {
        "grant": (grants.make, gateways),
        "grant changed": (grants.change, gateways),
        "suspended": (lambda: alliance.act(a, "suspend"), set(hosts)),
        "resumed": (lambda: alliance.act(a, "resume"), set(hosts)),
        "held by an incident": (lambda: alliance.act(b, "hold"), set(hosts)),
        "released": (lambda: alliance.act(b, "release"), set(hosts)),
        "grant revoked": (grants.revoke, gateways),
        "revoked": (lambda: alliance.act(a, "revoke"), set(hosts)),
        "proposed": (lambda: propose(alliance), set()),
        "accepted": (lambda: alliance.act(b, "accept", network_id=b.network_id), set(hosts)),
    }
    took = {name: applied_after(change, hosts) for name, (change, _) in changes.items()}
    assert {name: set(found) for name, found in took.items()} == {name: whom for name, (_, whom) in changes.items()}
    assert max(seconds for found in took.values() for seconds in found.values()) < PROMPT_SECONDS, took
