"""What the flags of peers, and jump peers that come and go, do to packets."""

import httpx2
import pytest

from lab import Host, wait_until
from lab.mesh import Member
from tests.e2e.conftest import Office
from tests.e2e.observing import Pinging, await_reach, await_silence, network_state, reaches, sessions

pytestmark = pytest.mark.timeout(120)


def primary(member: Member) -> frozenset[str]:
    """The allowed IPs of the only neighbour of a regular peer."""
    [session] = sessions(member).values()
    return session.allowed_ips


@pytest.mark.case("SEED-084")
def test_an_isolated_peer_reaches_jump_peers_only_and_nobody_else_reaches_it(office: Office) -> None:
    backend, laptop, desk, gw = office.backend, office.laptop, office.desk, office.gw
    printer = backend.join(office.lab.host("printer"), "office")
    backend.settle()
    await_reach(laptop.host, desk.ipv4, desk.ipv6, printer.ipv4, printer.ipv6)

    backend.change("laptop", isolated=True)
    backend.settle()
    assert primary(laptop) == {f"{gw.ipv4}/32", f"{gw.ipv6}/128"}
    for ordinary in (desk, printer):
        await_silence(ordinary.host, laptop.ipv4, laptop.ipv6)
        await_silence(laptop.host, ordinary.ipv4, ordinary.ipv6)
    for address in (gw.ipv4, gw.ipv6):
        assert reaches(laptop.host, address)
    for address in (laptop.ipv4, laptop.ipv6):
        assert reaches(gw.host, address)
    assert reaches(desk.host, printer.ipv4)

    # A peer that takes its own config for a suggestion gets no further: the jump peer drops what it sends.
    [key] = sessions(laptop)
    laptop.host.run(["wg", "set", laptop.interface, "peer", key, "allowed-ips", "10.20.0.0/24"])
    laptop.host.run(["ip", "route", "replace", f"{desk.ipv4}/32", "dev", laptop.interface])
    assert reaches(laptop.host, gw.ipv4)
    assert not reaches(laptop.host, desk.ipv4)
    assert not reaches(desk.host, laptop.ipv4)
    laptop.host.run(["ip", "route", "delete", f"{desk.ipv4}/32", "dev", laptop.interface])

    backend.change("laptop", isolated=False)
    backend.settle()
    await_reach(laptop.host, desk.ipv4, desk.ipv6, printer.ipv4)
    await_reach(desk.host, laptop.ipv4, laptop.ipv6)
    backend.delete("printer")


def seen_from(host: Host, client: Host, address: str) -> str:
    """The source address under which packets of `client` arrive at `host`, as a capture there shows it."""
    family = "icmp" if "." in address else "icmp6 and ip6[40] == 128"
    capture = host.start(
        ["tcpdump", "-lnni", "eth0", "-c", "1", f"{family} and dst host {address}"], name=f"capture-{family[:5]}"
    )
    capture.wait_for("listening on")
    assert reaches(client, address)
    return capture.wait_for(" > ").split(" > ")[0].split()[-1]


@pytest.mark.case("SEED-089")
def test_full_encapsulation_sends_all_traffic_out_under_the_jump_peers_address(office: Office) -> None:
    backend, lab = office.backend, office.lab
    world, nat, exit_host = lab.host("world"), lab.nat("hostel"), lab.host("exit")
    untouched = network_state(exit_host)
    backend.create_network("travel", cidr_v4="10.40.0.0/24")
    jump = backend.join(exit_host, "travel", kind="jump")
    phone = backend.join(lab.host("phone", behind=nat), "travel")
    backend.settle()
    # As strict as a careful administrator makes it: answers must come from where their senders are reached.
    phone.host.run(["sysctl", "net.ipv4.conf.all.rp_filter=1"])
    before = {name: network_state(backend.members[name].host) for name in ("exit", "phone")}
    assert seen_from(world, phone.host, str(world.ipv4)) == str(nat.ipv4)

    backend.change("phone", full_encapsulation=True)
    backend.settle()
    assert primary(phone) == {"0.0.0.0/0", "::/0", f"{jump.ipv4}/32", f"{jump.ipv6}/128"}
    await_reach(phone.host, world.ipv4, world.ipv6, jump.ipv4)
    assert seen_from(world, phone.host, str(world.ipv4)) == str(exit_host.ipv4)
    assert seen_from(world, phone.host, str(world.ipv6)) == str(exit_host.ipv6)
    assert exit_host.run(["nft", "list", "tables"]).stdout.split("\n") == ["table inet isthmus", ""]

    # The same config once more changes nothing.
    applied = network_state(exit_host)
    jump.agent.restart()
    jump.agent.wait_for("connected")
    assert network_state(exit_host) == applied

    backend.change("phone", full_encapsulation=False)
    backend.settle()
    assert seen_from(world, phone.host, str(world.ipv4)) == str(nat.ipv4)
    for name, state in before.items():
        assert network_state(backend.members[name].host) == state
    assert "masquerade" not in before["exit"]["nft"]

    jump.agent.stop()
    backend.type(exit_host, "isthmus", "agent", "leave")
    assert network_state(exit_host) == untouched
    assert untouched["nft"] == ""


def test_an_agent_hears_of_changes_though_its_jump_peer_is_dead(office: Office) -> None:
    """Its own way to the server never leads through the tunnel, or nobody could tell it to leave it."""
    backend, laptop = office.backend, office.laptop
    world = office.lab.host("elsewhere")
    backend.change("laptop", full_encapsulation=True)
    backend.settle()
    await_reach(laptop.host, world.ipv4)

    office.lab.cut(office.gw.host)
    try:
        await_silence(laptop.host, world.ipv4)
        laptop.agent.restart()
        laptop.agent.wait_for("connected")
        backend.change("laptop", full_encapsulation=False)
        await_reach(laptop.host, world.ipv4)
    finally:
        office.lab.mend(office.gw.host)
    await_reach(laptop.host, office.gw.ipv4)
    backend.settle(within=40)


def test_hosts_behind_a_peer_are_reached_while_it_offers_them(office: Office) -> None:
    backend, laptop = office.backend, office.laptop
    router = office.lab.nat("branch")
    camera = office.lab.host("camera", behind=router)
    ranges = [str(router.lan.ipv4), str(router.lan.ipv6)]
    branch = backend.join(router, "office", additional_allowed_ips=ranges)
    backend.settle()
    await_reach(laptop.host, camera.ipv4, camera.ipv6)
    await_reach(office.gw.host, camera.ipv4, camera.ipv6)

    with pytest.raises(httpx2.HTTPStatusError, match="422"):
        backend.create_peer("other", "office", additional_allowed_ips=[str(router.lan.ipv4.supernet())])

    backend.change("branch", additional_allowed_ips=[])
    backend.settle()
    await_silence(laptop.host, camera.ipv4, camera.ipv6)
    assert not set(ranges) & primary(laptop)
    routes = laptop.host.run(["ip", "route"]).stdout + laptop.host.run(["ip", "-6", "route"]).stdout
    assert not any(each in routes for each in ranges)
    assert reaches(laptop.host, branch.ipv4)
    backend.delete("branch")


def test_jump_peers_may_be_added_and_the_first_one_deleted(office: Office) -> None:
    backend = office.backend
    backend.create_network("fleet", cidr_v4="10.30.0.0/24", direct_paths="off")
    first = backend.join(office.lab.host("first"), "fleet", kind="jump")
    van, bus = (
        backend.join(office.lab.host(name, behind=office.lab.nat(f"{name}-nat")), "fleet") for name in ("van", "bus")
    )
    backend.settle()
    await_reach(van.host, bus.ipv4, bus.ipv6)
    first_key = backend.peer("first")["public_key"]
    assert set(sessions(van)) == set(sessions(bus)) == {first_key}

    second = backend.join(office.lab.host("second"), "fleet", kind="jump")
    backend.settle()
    second_key = backend.peer("second")["public_key"]
    assert set(sessions(van)) == set(sessions(bus)) == {first_key, second_key}
    await_reach(van.host, bus.ipv4, first.ipv4, second.ipv4)

    backend.delete("first")
    backend.settle()
    assert set(sessions(van)) == set(sessions(bus)) == {second_key}
    await_reach(van.host, bus.ipv4, bus.ipv6)

    with pytest.raises(httpx2.HTTPStatusError, match="409"):
        backend.delete("second")
    assert reaches(van.host, bus.ipv4)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_sessions_of_the_others_go_on_while_a_peer_comes_and_goes(office: Office, kind: str) -> None:
    backend, gw = office.backend, office.gw
    await_reach(office.laptop.host, office.desk.ipv4)
    others = {backend.peer(name)["public_key"] for name in ("laptop", "desk")}
    before = sessions(gw)

    with Pinging(office.laptop.host, office.desk.ipv4) as pinging:
        backend.create_peer(f"guest-{kind}", "office", kind=kind)
        if kind == "dynamic":
            token = backend.api.post(f"/peers/{backend.peer('guest-dynamic')['id']}/enrollment-token", json={})
            guest = office.lab.host("guest")
            backend.enroll(guest, token.json()["token"])
        backend.settle()
        wait_until(lambda: len(sessions(gw)) == len(before) + 1, within=5, what="the guest at the jump peer")
        backend.delete(f"guest-{kind}")
        backend.settle()
        wait_until(lambda: len(sessions(gw)) == len(before), within=5, what="the guest to be gone")

    assert pinging.sent > 5
    assert pinging.lost == 0
    after = sessions(gw)
    for key in others:
        # WireGuard counts from nothing again when a peer is taken out and put back.
        assert after[key].handshake >= before[key].handshake > 0
        assert after[key].rx > before[key].rx
        assert after[key].tx > before[key].tx
