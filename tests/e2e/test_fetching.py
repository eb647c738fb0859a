"""Configs on their way to agents: what one asks for, what it gets, and that its tunnel says so within a second."""

import time
from typing import Any

import msgspec
import pytest

from isthmus.agent.settings import Settings
from isthmus.agent.state import Identity
from isthmus.protocol.agent import ConfigAnswer
from lab import wait_until
from lab.mesh import Member
from tests.e2e.conftest import Office
from tests.e2e.observing import await_reach, reaches, sessions

pytestmark = pytest.mark.timeout(120)

APPLIED_SECONDS = 1.0
REPORT_SECONDS = 5.0
IDENTITY = f"{Settings().state_dir}/identity.json"


def asked(office: Office, member: Member, revision: int) -> ConfigAnswer:
    """What the member's session is answered that asks from `revision`."""
    identity = msgspec.json.decode(member.host.path(IDENTITY).read_bytes(), type=Identity)
    headers = {"Authorization": f"Bearer {identity.session_token}"}
    answer = office.backend.api.get("/agent/config", params={"revision": revision}, headers=headers)
    return msgspec.json.decode(answer.raise_for_status().content, type=ConfigAnswer)


def desired(office: Office, member: Member) -> int:
    return int(office.backend.peer(member.name)["desired_revision"])


def a_phone(office: Office, name: str) -> dict[str, Any]:
    """A peer that is in the jump peer's config at once, for it brings no agent of its own."""
    peer: dict[str, Any] = office.backend.create_peer(name, "office", kind="static")["peer"]
    return peer


@pytest.mark.case("SEED-075")
def test_an_agent_that_learns_of_two_changes_fetches_both_and_applies_them_within_a_second(office: Office) -> None:
    gw, backend = office.gw, office.backend
    backend.settle()
    before = desired(office, gw)
    # It takes in nothing for a moment, so that both changes are what it hears next.
    with gw.agent.frozen():
        phones = [a_phone(office, name) for name in ("one", "two")]
        changed = time.monotonic()
    keys = {str(phone["public_key"]) for phone in phones}
    wait_until(lambda: keys <= sessions(gw).keys(), within=APPLIED_SECONDS, what="both on the interface")
    assert time.monotonic() - changed < APPLIED_SECONDS
    shown = sessions(gw)
    for phone in phones:
        assert shown[phone["public_key"]].allowed_ips == {host_range(address) for address in phone["addresses"]}

    now = desired(office, gw)
    assert now == before + 2

    def acknowledged() -> bool:
        status = backend.peer("gw")["status"]
        return bool(status["applied_revision"] == now and status["applied_error"] is None)

    wait_until(acknowledged, within=REPORT_SECONDS, what="the agent's word for it")

    answer = asked(office, gw, before)
    assert answer.delta is not None
    assert (answer.revision, answer.config, answer.delta.to) == (now, None, now)
    assert answer.delta.from_ <= before
    assert keys <= {neighbour.public_key for neighbour in answer.delta.upsert}
    nothing = asked(office, gw, now)
    assert (nothing.revision, nothing.config, nothing.delta) == (now, None, None)
    whole = asked(office, gw, 0).config
    assert whole is not None
    assert keys <= {neighbour.public_key for neighbour in whole.neighbours} == sessions(gw).keys()


def test_an_agent_that_was_away_for_two_changes_comes_back_with_both(office: Office) -> None:
    gw, backend = office.gw, office.backend
    gw.agent.kill()
    keys = {str(a_phone(office, name)["public_key"]) for name in ("three", "four")}
    assert not keys & sessions(gw).keys()
    gw.agent.restart()
    backend.settle()
    assert keys <= sessions(gw).keys()


def test_a_host_that_has_enrolled_needs_no_server_for_its_first_tunnel(office: Office) -> None:
    backend, guest = office.backend, office.lab.host("guest")
    token = backend.create_peer("guest", "office")["enrollment"]["token"]
    backend.enroll(guest, token)
    backend.settle()
    peer = backend.peer("guest")
    backend.server.kill()
    planned = backend.type(guest, "isthmus", "agent", "plan", "--dry-run")
    assert "create interface ist-office" in planned
    agent = guest.start(["isthmus", "agent", "run"], name="agent")
    await_reach(guest, office.gw.ipv4, office.gw.ipv6, office.laptop.ipv4)

    backend.server.restart()
    backend.await_server()
    wait_until(
        lambda: backend.peer("guest")["status"]["applied_revision"] == peer["desired_revision"],
        within=40,
        what="the agent to say what it has applied",
    )
    assert reaches(guest, office.laptop.ipv6)
    agent.stop()


def host_range(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"
