"""What an agent does to the host that it runs on: its own things only, told in plain words, and undone exactly."""

import pytest

from lab import CommandFailed, Host
from lab.wireguard import quick_up
from tests.e2e.conftest import Office
from tests.e2e.observing import accepts, await_reach, network_state, reaches, underlay_way

pytestmark = pytest.mark.timeout(120)

FOREIGN_RULES = """
table inet firewall {
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 23 drop
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ip saddr 192.0.2.66 drop
    }
}
"""
MARKER = b"isthmus-marker-!"


def with_foreign_things(host: Host) -> None:
    """A firewall, a WireGuard tunnel, an address and routes that the owner of the host made."""
    private = host.run(["wg", "genkey"]).stdout.strip()
    public = host.run(["wg", "pubkey"], input=private).stdout.strip()
    interface = f"[Interface]\nPrivateKey = {private}\nAddress = 10.8.0.1/24\nListenPort = 51999\n"
    quick_up(host, f"{interface}[Peer]\nPublicKey = {public}\nAllowedIPs = 10.8.0.2/32, 172.20.0.0/16\n")
    host.run(["nft", "-f", "-"], input=FOREIGN_RULES)
    for command in (
        "ip link add lan0 type bridge",
        "ip address add 172.21.0.1/24 dev lan0",
        "ip link set lan0 up",
        "ip route add 172.22.0.0/16 via 172.21.0.2 dev lan0",
        "ip rule add from 172.21.0.0/24 lookup 77",
        "ip route add default via 172.21.0.2 dev lan0 table 77",
    ):
        host.run(command.split())


def foreign_wireguard(host: Host) -> str:
    return host.run(["wg", "showconf", "wg0"]).stdout


@pytest.mark.parametrize("kind", ["jump", "dynamic"])
def test_foreign_things_stay_through_apply_change_and_leave(office: Office, kind: str) -> None:
    backend = office.backend
    host = office.lab.host(f"busy-{kind}")
    with_foreign_things(host)
    before, tunnel = network_state(host), foreign_wireguard(host)

    member = backend.join(host, "office", kind=kind)
    backend.settle()
    await_reach(host, office.gw.ipv4, office.gw.ipv6)
    for change in ({"full_encapsulation": kind == "dynamic"}, {"full_encapsulation": False}):
        backend.change(host.name, **change)
        backend.settle()
        present = network_state(host)
        assert set(before["nft"].splitlines()) <= set(present["nft"].splitlines())
        for topic in ("addresses", "routes", "rules"):
            assert set(before[topic].splitlines()) <= set(present[topic].splitlines())
        assert foreign_wireguard(host) == tunnel

    with pytest.raises(CommandFailed, match="another agent is using"):
        backend.type(host, "isthmus", "agent", "leave")
    member.agent.stop()
    assert member.interface in host.run(["ip", "link"]).stdout
    backend.type(host, "isthmus", "agent", "leave")
    assert network_state(host) == before
    assert foreign_wireguard(host) == tunnel
    assert "nothing was left to undo" in backend.type(host, "isthmus", "agent", "leave")
    backend.delete(host.name)


def test_a_host_that_left_comes_back_with_a_new_token(office: Office) -> None:
    backend = office.backend
    guest = backend.join(office.lab.host("guest"), "office")
    backend.settle()
    first = backend.peer("guest")["public_key"]
    guest.agent.stop()
    backend.type(guest.host, "isthmus", "agent", "leave")

    issued = backend.api.post(f"/peers/{guest.id}/enrollment-token", json={}).raise_for_status().json()
    backend.enroll(guest.host, issued["token"])
    backend.run_agent(guest.host, "office")
    backend.settle()
    assert backend.peer("guest")["public_key"] != first
    await_reach(guest.host, office.laptop.ipv4, office.laptop.ipv6)
    backend.delete("guest")


def test_a_converged_host_has_nothing_to_do_and_a_plan_says_what_it_lacks(office: Office) -> None:
    host, interface = office.laptop.host, office.laptop.interface
    plan = ["isthmus", "agent", "plan", "--dry-run"]
    assert host.run(plan).stdout.strip() == "nothing to do: this host is as it shall be"
    office.laptop.agent.stop()
    host.run(["ip", "link", "set", interface, "mtu", "1300"])
    before = network_state(host)
    assert "1420" in host.run(plan).stdout
    assert network_state(host) == before
    office.laptop.agent.restart()
    office.laptop.agent.wait_for("config applied")
    assert "mtu 1420" in host.run(["ip", "link", "show", interface]).stdout


@pytest.mark.case("SEED-097")
def test_payload_is_encrypted_on_the_way_and_hosts_listen_on_wireguard_alone(office: Office) -> None:
    laptop, desk, gw = office.laptop, office.desk, office.gw
    await_reach(laptop.host, desk.ipv4, desk.ipv6)
    captures = {}
    for member in (laptop, desk, gw):
        for device in ("eth0", member.interface):
            file = f"/run/{device}.pcap"
            capture = member.host.start(
                ["tcpdump", "-Z", "root", "--immediate-mode", "-U", "-i", device, "-w", file], name=f"dump-{device}"
            )
            capture.wait_for("listening on")
            captures[member.name, device] = (capture, member.host.path(file))
    for address in (desk.ipv4, desk.ipv6):
        laptop.host.run(["ping", "-c", "5", "-i", "0.02", "-s", "64", "-p", MARKER.hex(), address])
    for (_, device), (capture, content) in captures.items():
        capture.stop()
        seen = content.read_bytes()
        assert len(seen) > 10 * len(MARKER)
        # Inside the tunnel the marker is there to be read: the search finds what there is.
        assert (MARKER in seen) == (device != "eth0")

    for member in (laptop, desk, gw):
        # Names are answered inside the tunnel: such a socket takes nothing that comes by another interface.
        inside = {f"{gw.ipv4}%{gw.interface}:53", f"[{gw.ipv6}]%{gw.interface}:53"} if member is gw else set()
        assert listening(member.host, "-t") == inside
        port = member.host.run(["wg", "show", member.interface, "listen-port"]).stdout.strip()
        assert listening(member.host, "-u") - inside == {f"0.0.0.0:{port}", f"[::]:{port}"}
    assert port == "51820"
    # What a socket shows is one thing, what a neighbour of the host gets is another.
    stranger = office.lab.host("neighbour")
    with underlay_way(office.lab, gw):
        assert reaches(stranger, gw.ipv4)
        assert accepts(laptop.host, gw.ipv4, 53)
        for underlay in (gw.ipv4, gw.host.ipv4, gw.host.ipv6):
            assert not accepts(stranger, underlay, 53)


def listening(host: Host, way: str) -> set[str]:
    """Local addresses of the sockets that wait for anybody."""
    return {line.split()[3] for line in host.run(["ss", "-Hln", way]).stdout.splitlines()}


def test_an_enrollment_that_cannot_work_says_why_and_leaves_nothing(office: Office) -> None:
    backend = office.backend
    host = office.lab.host("stranger")
    token = backend.create_peer("stranger", "office")["enrollment"]["token"]

    def refused(url: str, secret: str = token) -> str:
        command = ["isthmus", "agent", "enroll", "--server", url, "--token-file", "-"]
        done = host.run(command, input=secret, check=False)
        assert done.returncode not in {0, None}
        assert "Traceback" not in done.stderr
        assert secret not in done.stdout + done.stderr
        return done.stderr

    assert "certificate verify failed" in refused(backend.url)
    backend.trust(host)
    assert "check the URL and the network" in refused("https://203.0.113.99")
    assert "check the URL and the network" in refused(f"{backend.url}:81")
    assert "in clear" in refused(f"http://{backend.host.ipv4}")
    assert "refused the enrollment" in refused(backend.url, "isthmus-enroll-" + "A" * 43)
    assert "not enrolled" in host.run(["isthmus", "agent", "run"], check=False).stderr

    # The token is still good.
    backend.enroll(host, token)
    assert "already enrolled, as stranger of office" in refused(backend.url)
    backend.delete("stranger")


def test_a_host_without_wireguard_is_told_what_to_install(office: Office) -> None:
    backend = office.backend
    host = office.lab.host("bare")
    for program in ("wireguard-go", "wg"):
        host.run(["mount", "--bind", "/dev/null", f"/usr/bin/{program}"])
    backend.enroll(host, backend.create_peer("bare", "office")["enrollment"]["token"])
    done = host.run(["isthmus", "agent", "run"], check=False)
    assert done.returncode == 1
    assert "wireguard-go is missing: apt install wireguard-go" in done.stderr
    backend.delete("bare")


def test_an_interface_of_that_name_that_is_not_ours_is_left_alone(office: Office) -> None:
    backend = office.backend
    host = office.lab.host("taken")
    host.run(["ip", "link", "add", "ist-office", "type", "bridge"])
    before = network_state(host)
    backend.enroll(host, backend.create_peer("taken", "office")["enrollment"]["token"])
    done = host.run(["isthmus", "agent", "run"], check=False)
    assert done.returncode == 1
    assert "did not make; it is left alone" in done.stderr
    assert {**network_state(host), "files": ""} == {**before, "files": ""}
    assert not reaches(host, office.gw.ipv4)
    backend.delete("taken")
