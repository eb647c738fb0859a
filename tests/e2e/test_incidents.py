"""A stolen state folder: two agents with one identity, the block on every connected host, and the way back."""

import json
import shutil
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from lab import Host, wait_until
from lab.backend import Backend
from lab.mesh import Member
from lab.process import Process
from tests.e2e.conftest import Office
from tests.e2e.observing import await_reach, await_silence, reaches, sessions

pytestmark = pytest.mark.timeout(180)

STATE = "/var/lib/isthmus-agent"
# An agent that was replaced on its stream comes back after a pause of up to a second.
DETECTION_SECONDS = 20.0
# WireGuard keeps a session that the other side has lost for 15 s before it makes a new one.
SESSION_SECONDS = 40.0


def steal(victim: Member, thief: Host) -> Process:
    """Copy the state folder, as from a backup, and start an agent on the copy."""
    shutil.copytree(victim.host.path(STATE), thief.path(STATE))
    return thief.start(["isthmus", "agent", "run"], name="agent")


def incidents(backend: Backend, **query: str) -> list[Any]:
    return list(backend.api.get("/incidents", params=query).raise_for_status().json()["items"])


def seconds_until(members: Sequence[Member], key: str, *, listed: bool) -> float:
    """How long it takes until the interface of each member has, or has not, the neighbour with this key."""

    began = time.monotonic()

    def all_follow() -> bool:
        return all((key in sessions(member)) == listed for member in members)

    wait_until(all_follow, within=10, what="the neighbours of all")
    return time.monotonic() - began


@pytest.fixture(scope="module")
def five(office: Office) -> Office:
    """Five agents, each of which lists all others: the jump peer, the laptop that is robbed, and three more."""
    lab, backend = office.lab, office.backend
    backend.change_network("office", direct_paths="on")
    for name in ("kiosk", "shelf"):
        backend.join(lab.host(name), "office")
    backend.settle()
    return office


@pytest.mark.case("SEED-068")
@pytest.mark.case("SEED-069")
@pytest.mark.case("SEED-070")
def test_a_copied_agent_is_blocked_on_every_host_within_a_second_and_comes_back_once_resolved(five: Office) -> None:
    backend, laptop, desk = five.backend, five.laptop, five.desk
    others = [member for member in backend.members.values() if member is not laptop]
    assert len(others) == 4
    before = backend.peer("laptop")
    key = before["public_key"]
    await_reach(laptop.host, desk.ipv4, five.gw.ipv4)
    assert seconds_until([five.gw], key, listed=True) < 5

    thief = five.lab.host("thief")
    backend.trust(thief)
    copy = steal(laptop, thief)
    wait_until(lambda: incidents(backend, state="open"), within=DETECTION_SECONDS, what="the incident")
    assert seconds_until(others, key, listed=False) < 1
    (incident,) = incidents(backend, state="open")
    assert (incident["type"], incident["peer"]["name"], incident["blocks"]) == ("session_conflict", "laptop", True)
    sources = {voice["source"] for voice in incident["evidence"]["voices"]}
    assert sources == {str(five.lab.hosts["home"].ipv4), str(thief.ipv4)}
    await_silence(laptop.host, desk.ipv4, desk.ipv6, five.gw.ipv4)
    assert reaches(desk.host, five.gw.ipv4)
    check_shown_as_blocked(backend, laptop, before, incident)

    copy.stop()
    shown = backend.cli("incident", "resolve", incident["id"], "--reason", "the copy is switched off")
    assert "is resolved" in shown
    assert seconds_until(others, key, listed=True) < 1
    assert not backend.peer("laptop")["blocked"]
    (row,) = [row for row in backend.api.get("/audit").json()["items"] if row["action"] == "incident.resolve"]
    assert (row["actor"], row["subject"], row["facts"]["reason"]) == (
        "local",
        incident["id"],
        "the copy is switched off",
    )
    assert row["at"]
    wait_until(partial(reaches, laptop.host, desk.ipv4), within=SESSION_SECONDS, what="the laptop's way to the desk")
    laptop.agent.restart()
    laptop.agent.wait_for('"by": "stream"')
    backend.settle()
    assert incidents(backend, state="open") == []


def check_shown_as_blocked(backend: Backend, laptop: Member, before: Any, incident: Any) -> None:
    """The peer is there with all that it had, its agent is refused with no config, and both say so."""
    now = backend.peer("laptop")
    assert now["blocked"]
    kept = ("id", "addresses", "public_key", "created_at", "enrollment")
    assert {name: now[name] for name in kept} == {name: before[name] for name in kept}
    assert now["status"]["last_seen"] is not None
    line = next(line for line in backend.cli("peer", "list").splitlines() if line.startswith("laptop "))
    assert line.split()[-1] == "blocked"
    session = json.loads(laptop.host.path(f"{STATE}/identity.json").read_text())["session_token"]
    answer = backend.api.get("/agent/config", headers={"Authorization": f"Bearer {session}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "agent_blocked")
    assert "neighbours" not in answer.text

    def status() -> Any:
        return json.loads(backend.type(laptop.host, "isthmus", "agent", "status", "--json"))

    wait_until(lambda: status()["blocked_by"] == incident["id"], within=10, what="the agent to know")
    assert incident["id"] in backend.type(laptop.host, "isthmus", "agent", "status")
