"""The way of a new user, with real tunnels: peers, a phone with plain WireGuard, new addresses, a deletion."""

import json

import pytest

from lab import CommandFailed, wait_until
from lab.backend import Backend
from lab.wireguard import quick_down, quick_up
from tests.e2e.conftest import Office
from tests.e2e.observing import await_reach, await_silence, reaches, sessions

pytestmark = pytest.mark.timeout(120)


def test_peers_behind_two_nat_routers_reach_each_other_through_the_jump_peer(office: Office) -> None:
    for here, there in ((office.laptop, office.desk), (office.desk, office.laptop)):
        addresses = (there.ipv4, there.ipv6, office.gw.ipv4, office.gw.ipv6)
        await_reach(here.host, *addresses)
        for address in addresses:
            assert here.host.ping(address).loss == 0


def test_the_peer_list_shows_address_endpoint_handshake_and_revisions(office: Office) -> None:
    backend = office.backend
    assert reaches(office.laptop.host, office.gw.ipv4)

    def reported() -> bool:
        return backend.peer("laptop")["status"]["latest_handshake"] is not None

    # The jump peer reports a new endpoint at once, but not more than once a second.
    wait_until(reported, within=10, what="the jump peer's report of the laptop's handshake")
    listed = json.loads(backend.cli("peer", "list", "--network", "office", "--json"))["items"]
    laptop = next(peer for peer in listed if peer["name"] == "laptop")
    nat = office.lab.hosts["home"]
    assert laptop["addresses"] == [office.laptop.ipv4, office.laptop.ipv6]
    assert laptop["status"]["endpoint"].startswith(f"{nat.ipv4}:")
    assert laptop["status"]["applied_revision"] == laptop["desired_revision"]
    line = next(line for line in backend.cli("peer", "list").splitlines() if line.startswith("laptop "))
    assert office.laptop.ipv4 in line
    assert str(nat.ipv4) in line
    assert "online" in line


def test_a_phone_with_plain_wg_quick_reaches_the_mesh_in_both_families(office: Office) -> None:
    command = ["isthmus", "peer", "create", "phone", "--network", "office", "--kind", "static", "--qr"]
    shown = office.backend.host.run(command)
    assert shown.stdout.startswith("[Interface]")
    assert "█" in shown.stderr

    phone = office.lab.host("phone", behind=office.lab.nat("carrier"))
    quick_up(phone, shown.stdout)
    await_reach(phone, office.gw.ipv4, office.gw.ipv6, office.laptop.ipv4, office.laptop.ipv6)
    for address in office.backend.peer("phone")["addresses"]:
        assert reaches(office.desk.host, address)

    with pytest.raises(CommandFailed, match="was shown"):
        office.backend.cli("peer", "config", "phone")
    quick_down(phone)
    office.backend.delete("phone")


def test_a_new_cidr_renumbers_every_host_without_a_restart(office: Office) -> None:
    pids = {name: member.agent.pid for name, member in office.backend.members.items()}
    before = {name: member.ipv4 for name, member in office.backend.members.items()}

    printed = office.backend.cli("network", "update", "office", "--cidr", "10.77.0.0/24")
    assert "10.77.0.0/24" in printed
    office.backend.renumbered()
    office.backend.settle(within=2)

    for member in office.backend.members.values():
        assert member.ipv4.startswith("10.77.0.")
        addresses = member.host.run(["ip", "-4", "address", "show", "dev", member.interface]).stdout
        assert f"{member.ipv4}/32" in addresses
        assert f"{before[member.name]}/32" not in addresses
    await_reach(office.laptop.host, office.desk.ipv4, office.desk.ipv6)
    assert not reaches(office.laptop.host, before["desk"])
    assert {name: member.agent.pid for name, member in office.backend.members.items()} == pids


def test_renumbering_static_peers_is_refused_until_it_is_meant(office: Office) -> None:
    office.backend.create_peer("printer", "office", kind="static")
    present = office.backend.peer("printer")["addresses"]

    with pytest.raises(CommandFailed, match="force"):
        office.backend.cli("network", "update", "office", "--cidr", "10.78.0.0/24")
    assert office.backend.peer("printer")["addresses"] == present

    printed = office.backend.cli("network", "update", "office", "--cidr", "10.78.0.0/24", "--force")
    assert "isthmus peer regenerate printer --network office" in printed
    office.backend.renumbered()
    office.backend.settle()
    conf = office.backend.cli("peer", "regenerate", "printer", "--network", "office")
    printer = office.lab.host("printer")
    quick_up(printer, conf)
    await_reach(printer, office.laptop.ipv4, office.laptop.ipv6)
    office.backend.delete("printer")
    await_silence(printer, office.laptop.ipv4, office.laptop.ipv6)


def test_a_deleted_peer_is_cut_off_and_forgotten_by_all_within_a_second(office: Office) -> None:
    backend = office.backend
    guest = backend.join(office.lab.host("guest"), "office")
    backend.settle()
    await_reach(guest.host, office.laptop.ipv4)
    key = backend.peer("guest")["public_key"]
    assert key in sessions(office.gw)

    backend.cli("peer", "delete", "guest")
    wait_until(lambda: key not in sessions(office.gw), within=1, what="the jump peer to forget the guest's key")
    guest.agent.wait_for("taking the tunnel down", within=1)
    wait_until(lambda: not guest.agent.running, within=5, what="the guest's agent to end")
    assert guest.agent.returncode not in {0, None}
    assert "isthmus agent enroll" in guest.agent.output
    assert guest.host.run(["ip", "link", "show", guest.interface], check=False).returncode != 0
    del backend.members["guest"]

    # The others never noticed.
    assert reaches(office.laptop.host, office.desk.ipv4)
    assert office.laptop.agent.running


def test_a_network_without_ipv4_carries_packets(backend: Backend, office: Office) -> None:
    backend.create_network("six")
    hub = backend.join(backend.lab.host("hub"), "six", kind="jump")
    tablet = backend.join(backend.lab.host("tablet", behind=backend.lab.nat("hotel")), "six")
    backend.settle()
    assert [address.version for address in tablet.addresses] == [6]
    await_reach(tablet.host, hub.ipv6)
    assert not reaches(tablet.host, office.gw.ipv6)
    for name in ("tablet", "hub"):
        backend.delete(name)
