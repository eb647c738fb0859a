"""Seed 0, §1.1: what a backend is, and its two doors to the others."""

import contextlib
import signal
import ssl
from pathlib import Path

import pytest

from lab.organisation import PORT
from lab.waiting import wait_until
from tests.federation.checks import clean_request, no_state_change, refused
from tests.federation.counting import connections_from, peers_of
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.planting import restart_federator

# Where a backend may write of another one; "remote record with its trust anchors, bridges, grants and audit rows".
OF_REMOTES = {
    "remotes", "invitations", "acceptances", "remote_instances", "revocations", "outbox", "outbox_lanes", "nonces",
    "remote_findings", "audit_log", "directory_overrides", "kept_answers", "bridges", "grants", "held_grants",
}  # fmt: skip
WITHIN = 20.0


@pytest.mark.case("SEED-001")
def test_two_backends_share_nothing_but_the_network(federation: Federation) -> None:
    a, b = federation.a, federation.b
    for number, party in enumerate((a, b)):
        made = party.api.post("/networks", json={"name": "office", "cidr_v4": f"10.{number + 1}.0.0/24"})
        network = made.raise_for_status().json()["id"]
        party.api.post(f"/networks/{network}/peers", json={"name": f"laptop-{party.site.name}"}).raise_for_status()
        party.add_user(f"bob-{party.site.name}")
    for party, other in ((a, b), (b, a)):
        assert written_of(party, other) <= OF_REMOTES
    a.unrecord()
    a.site.up.stop(within=WITHIN)
    try:
        assert [each["name"] for each in b.api.get("/networks").json()["items"]] == ["office"]
        assert [each["name"] for each in b.api.get("/peers").json()["items"]] == ["laptop-b"]
        assert "bob-b" in [each["handle"] for each in b.api.get("/users").json()["items"]]
        assert b.api.post("/networks", json={"name": "second"}).is_success
    finally:
        a.site.up.restart()
        a.site.await_server()
        a.record()
    clean_request(a, b)
    assert a.calls(b.domain).status == 200


def written_of(party: Party, other: Party) -> set[str]:
    """The tables of `party` that hold a word of `other`: its domain or one of its names."""
    tables = [name for (name,) in party.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    words = (other.domain, f"-{other.site.name}'")
    return {
        table
        for table in tables
        for row in party.rows(f'SELECT * FROM "{table}"')  # noqa: S608  # a name out of the schema
        if any(word in repr(row) for word in words)
    }


@pytest.mark.case("SEED-004")
def test_the_federator_is_the_only_way_out(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    assert a.lookup(f"alice@{b.domain}").status_code == 200
    # The handshake and the heartbeat call by themselves: a suspension has to be told, and is looked after.
    for move in ("suspend", "resume"):
        a.api.post(f"/remotes/{federation.c.domain}/{move}").raise_for_status()
    wait_until(lambda: told(a, federation.c), within=WITHIN, what="the notices to arrive")
    federator = a.site.pid("federator")
    for holders in peers_of(a.site.host).values():
        assert holders == {str(inside(federator))}
    with a.site.up.frozen():
        stopped = a.site.pid("federator")
        assert stopped is not None
        a.site.kill("federator", signal.SIGKILL)
        wait_until(lambda: not peers_of(a.site.host), within=WITHIN, what="the end of the connections")
        with connections_from(a.site.host) as counted:
            answer = a.lookup(f"alice@{b.domain}")
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] == "upstream_unavailable"
        assert counted.connections == 0
    restart_federator(a)


def told(party: Party, other: Party) -> bool:
    """Whether nothing waits to be said to another backend."""
    return not party.api.get(f"/remotes/{other.domain}").raise_for_status().json()["waiting"]


def inside(pid: int | None) -> int:
    """A pid as processes of the lab see it, whose PID namespace is not ours."""
    with Path(f"/proc/{pid}/status").open() as status:
        line = next(line for line in status if line.startswith("NSpid:"))
    return int(line.split()[-1])


@pytest.mark.case("SEED-003")
def test_calls_of_remotes_enter_by_the_ingress_alone(federation: Federation) -> None:
    a, b = federation.a, federation.b
    listening = b.site.host.run(["ss", "-Htln"]).stdout.splitlines()
    ports = {int(line.split()[3].rpartition(":")[2]) for line in listening}
    assert PORT in ports
    with b.inward.watching() as seen:
        clean_request(a, b)
    assert len(seen) == 1
    reachable = 0
    for port in ports - {PORT}:
        with contextlib.suppress(ConnectionRefusedError, ssl.SSLError), no_state_change(b), b.inward.watching() as seen:
            refused(a.asks(b, port=port), 404, "route_not_found")
            reachable += 1
        assert seen == []
    assert reachable == 0
