"""Agents and servers that die, and ways between them that are blocked: tunnels carry on, and nothing is lost."""

import pytest

from lab import wait_until
from lab.backend import DATA
from tests.e2e.box import Box
from tests.e2e.conftest import Office
from tests.e2e.observing import Pinging, await_reach, network_state, reaches, sessions

pytestmark = pytest.mark.timeout(120)

RECONNECT_SECONDS = 40.0
# A poll every 15 s ± 20 %, after three tries for a stream with pauses of up to 1, 2 and 4 s.
POLL_SECONDS = 30.0


def await_connected(office: Office) -> None:
    def connected() -> bool:
        return all(office.backend.peer(name)["status"]["connected"] for name in office.backend.members)

    wait_until(connected, within=RECONNECT_SECONDS, what="all agents to be connected")


def test_a_killed_agent_leaves_the_tunnel_up_and_finds_it_again(office: Office) -> None:
    laptop, desk, gw = office.laptop, office.desk, office.gw
    await_reach(laptop.host, desk.ipv4)
    before = {member.name: network_state(member.host) for member in (laptop, gw)}
    counted = sessions(laptop)
    with Pinging(laptop.host, desk.ipv4) as pinging:
        for member in (laptop, gw):
            member.agent.kill()
        wait_until(
            lambda: not office.backend.peer("laptop")["status"]["connected"], within=5, what="the server to know"
        )
        for member in (laptop, gw):
            member.agent.restart()
            member.agent.wait_for("connected")
    assert pinging.sent > 10
    assert pinging.lost == 0
    for member in (laptop, gw):
        assert network_state(member.host) == before[member.name]
        plan = office.backend.type(member.host, "isthmus", "agent", "plan", "--dry-run")
        assert plan.strip() == "nothing to do: this host is as it shall be"
    for key, session in sessions(laptop).items():
        assert session.rx > counted[key].rx


def test_a_killed_server_loses_nothing_and_its_agents_come_back(office: Office) -> None:
    backend, laptop, desk = office.backend, office.laptop, office.desk
    await_reach(laptop.host, desk.ipv4)
    backend.create_peer("late", "office", kind="static", isolated=True)
    network = backend.api.get("/networks").json()["items"]
    peers = [{**peer, "status": None} for peer in backend.peers()]

    with Pinging(laptop.host, desk.ipv4) as pinging:
        backend.server.kill()
        # A host that starts anew without its server has its last config at once.
        desk.agent.restart()
        desk.agent.wait_for("no connection")
        backend.server.restart()
        backend.await_server()
        await_connected(office)
    assert pinging.sent > 50
    assert pinging.lost == 0
    assert "password" not in backend.server.output
    assert backend.api.get("/networks").json()["items"] == network
    assert [{**peer, "status": None} for peer in backend.peers()] == peers

    # Who connects again hears of what comes.
    backend.delete("late")
    backend.settle()


def test_a_tunnel_that_is_gone_is_made_anew_from_the_last_config_without_the_server(office: Office) -> None:
    desk, backend = office.desk, office.backend
    await_reach(desk.host, office.laptop.ipv4)
    desk.agent.stop()
    backend.server.kill()
    # As after a reboot: no interface, no rules; only the state directory is left.
    desk.host.run(["ip", "link", "delete", desk.interface])
    assert not reaches(desk.host, office.gw.ipv4)
    desk.agent.restart()
    await_reach(desk.host, office.laptop.ipv4, office.laptop.ipv6)
    backend.server.restart()
    backend.await_server()
    await_connected(office)


@pytest.mark.case("SEED-050")
def test_where_websockets_are_blocked_changes_come_by_https(office: Office) -> None:
    backend, lab = office.backend, office.lab
    guest = lab.host("guest", behind=lab.nat("company"))
    box = Box(backend, lab.host("box"))
    box.enroll(guest, "office")
    member = backend.run_agent(guest, "office")
    member.agent.wait_for('"by": "stream"')
    backend.settle()
    await_reach(guest, office.laptop.ipv4)

    backend.change("guest", isolated=True)
    backend.settle(within=2)
    assert not reaches(guest, office.laptop.ipv4)

    box.forbid_websockets()
    member.agent.wait_for('"by": "https"', within=POLL_SECONDS)
    backend.change("guest", isolated=False)
    backend.settle(within=POLL_SECONDS)
    await_reach(guest, office.laptop.ipv4)
    # Nobody could have called the guest: it listens on nothing that answers.
    assert guest.run(["ss", "-Htln"]).stdout == ""

    backend.delete("guest")


@pytest.mark.case("SEED-116")
def test_agents_go_on_with_a_backend_that_was_restored_on_an_empty_machine(office: Office) -> None:
    backend, laptop, desk = office.backend, office.laptop, office.desk
    await_reach(laptop.host, desk.ipv4)
    backend.host.path("/etc/isthmus/passphrase").write_text("correct horse battery\n")
    using = ("/etc/isthmus/office.backup", "--passphrase-file", "/etc/isthmus/passphrase")
    with Pinging(laptop.host, desk.ipv4) as pinging:
        backend.cli("backup", "create", *using)
        backend.cli("backup", "verify", *using)
        # The agents are told of more, which the backup does not know.
        backend.create_peer("forgotten", "office", kind="static")
        backend.settle()
        revisions = {name: backend.peer(name)["status"]["applied_revision"] for name in backend.members}
        backend.server.kill()
        backend.host.run(["find", DATA, "-mindepth", "1", "-delete"])
        backend.cli("backup", "restore", *using)
        backend.server.restart()
        backend.await_server()
        await_connected(office)
        backend.settle()
    assert pinging.sent > 50
    assert pinging.lost == 0
    for member in backend.members.values():
        assert "older than" not in member.agent.output
        assert "enroll" not in member.agent.output
        assert backend.peer(member.name)["status"]["applied_revision"] > revisions[member.name]
    assert {each["name"] for each in backend.peers()} == backend.members.keys()
    assert "enroll" not in backend.server.output

    # Who goes on hears of what comes.
    backend.create_peer("late", "office", kind="static")
    backend.settle()
    backend.delete("late")
