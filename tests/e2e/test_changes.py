"""Every kind of change in a network, on the hosts whom it concerns: who holds another config, and how soon."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from lab.backend import Backend
from lab.mesh import Member
from tests.api.agent import a_public_key, enroll_body, heartbeat
from tests.e2e.conftest import Office
from tests.e2e.observing import await_reach

pytestmark = pytest.mark.timeout(120)

PROMPT_SECONDS = 1.0
APPLIED = "/var/lib/isthmus-agent/applied.json"

GW, DESK, ALL, NOBODY = {"gw"}, {"gw", "desk"}, {"gw", "laptop", "desk"}, set[str]()


def held(member: Member) -> Any:
    """The config that the host has made true as a whole."""
    return json.loads(member.host.path(APPLIED).read_text())["config"]


class Ghosts:
    """Agents without a host: they enroll and beat, and so change what the real ones are told."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._sessions: dict[str, str] = {}

    def create(self, name: str, **fields: Any) -> None:
        created = self._backend.create_peer(name, "office", **fields)
        self._sessions[name] = created["enrollment"]["token"]

    def enroll(self, name: str) -> None:
        body = enroll_body(self._sessions[name])
        answer = self._backend.api.post("/agent/enroll", json=body).raise_for_status()
        self._sessions[name] = answer.json()["session_token"]

    def _beat(self, name: str, machine: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self._sessions[name]}"}
        nonce = self._backend.api.get("/agent/config", headers=headers).raise_for_status().json()["nonce"]
        body = heartbeat(nonce)
        body["host"] |= {"machine_id": machine}
        return self._backend.api.post("/agent/heartbeat", json=body, headers=headers)

    def share(self, name: str) -> None:
        """Two copies of the agent beat in turn, which opens an incident that blocks it."""
        for machine in ("own", "copy"):
            self._beat(name, machine).raise_for_status()
        assert self._beat(name, "own").json()["code"] == "agent_session_conflict"

    def resolve(self) -> None:
        (incident,) = self._backend.api.get("/incidents", params={"state": "open"}).raise_for_status().json()["items"]
        self._backend.api.post(f"/incidents/{incident['id']}/resolve", json={"reason": "a drill"}).raise_for_status()


Change = Callable[[], object]


def changes_of(office: Office) -> dict[str, tuple[Change, set[str]]]:
    """What is done, in this order, and the hosts that get another config by it."""
    backend, ghosts, gw = office.backend, Ghosts(office.backend), office.gw.host

    def peer(name: str, /, **fields: Any) -> Change:
        return lambda: backend.change(name, **fields)

    def network(**fields: Any) -> Change:
        return lambda: backend.change_network("office", **fields)

    return {
        "static peer": (
            lambda: backend.create_peer("scanner", "office", kind="static", public_key=a_public_key()),
            GW,
        ),
        "its key": (peer("scanner", public_key=a_public_key()), GW),
        "its name": (peer("scanner", name="copier"), GW),
        "its offer": (peer("copier", additional_allowed_ips=["192.168.200.0/24"]), ALL),
        "another offer": (peer("copier", additional_allowed_ips=["192.168.201.0/24"]), ALL),
        "no offer": (peer("copier", additional_allowed_ips=[]), ALL),
        "its owner": (peer("copier", owner="zoe"), NOBODY),
        "static peer deleted": (lambda: backend.delete("copier"), GW),
        "dynamic peer": (lambda: ghosts.create("ghost"), NOBODY),
        "dynamic peer enrolled": (lambda: ghosts.enroll("ghost"), GW),
        "its new name": (peer("ghost", name="spirit"), GW),
        "its old name": (peer("spirit", name="ghost"), GW),
        "incident": (lambda: ghosts.share("ghost"), GW),
        "incident resolved": (ghosts.resolve, GW),
        "dynamic peer deleted": (lambda: backend.delete("ghost"), GW),
        "jump peer": (lambda: ghosts.create("gate", kind="jump", endpoint="198.51.100.99:51820"), NOBODY),
        "jump peer enrolled": (lambda: ghosts.enroll("gate"), ALL),
        "its endpoint": (peer("gate", endpoint="198.51.100.98:51820"), ALL),
        "jump peer deleted": (lambda: backend.delete("gate"), ALL),
        "isolated": (peer("desk", isolated=True), DESK),
        "isolated no more": (peer("desk", isolated=False), DESK),
        "encapsulated": (peer("desk", full_encapsulation=True), DESK),
        "encapsulated no more": (peer("desk", full_encapsulation=False), DESK),
        "offer of a host": (peer("desk", additional_allowed_ips=["192.168.202.0/24"]), ALL),
        "offer withdrawn": (peer("desk", additional_allowed_ips=[]), ALL),
        "endpoint": (peer("gw", endpoint=f"[{gw.ipv6}]:51820"), ALL),
        "endpoint again": (peer("gw", endpoint=f"{gw.ipv4}:51820"), ALL),
        "servers for other names": (network(dns_upstreams=["203.0.113.99"]), GW),
        "another server": (network(dns_upstreams=["203.0.113.98"]), GW),
        "no server": (network(dns_upstreams=[]), GW),
        "domain": (network(domain="work.internal"), ALL),
        "domain again": (network(domain="office.internal"), ALL),
        "mtu": (network(mtu=1380), ALL),
        "keepalive": (network(keepalive=20), ALL),
        "cidr": (network(cidr_v4="10.21.0.0/24"), ALL),
    }


@pytest.mark.case("MESH-004")
def test_each_change_is_applied_within_a_second_by_those_whom_it_concerns_and_by_nobody_else(office: Office) -> None:
    backend = office.backend
    members = {member.name: member for member in (office.gw, office.laptop, office.desk)}
    before = {name: held(member) for name, member in members.items()}
    concerned, took = {}, {}
    changes = changes_of(office)
    for name, (change, _) in changes.items():
        started = time.monotonic()
        change()
        backend.settle()
        took[name] = time.monotonic() - started
        after = {each: held(member) for each, member in members.items()}
        concerned[name] = {each for each in members if after[each] != before[each]}
        before = after
    assert concerned == {name: whom for name, (_, whom) in changes.items()}
    assert max(took.values()) < PROMPT_SECONDS, took
    assert "mtu 1380" in office.desk.host.run(["ip", "link", "show", office.desk.interface]).stdout
    await_reach(office.laptop.host, office.desk.ipv4, office.desk.ipv6)
