"""Names in real tunnels: every enrolled host knows the others by name, and keeps the names that it had."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import pytest

from lab import Host, Lab, wait_until
from lab.backend import Backend
from lab.mesh import Member
from tests.e2e.observing import await_reach, reaches, underlay_way

pytestmark = pytest.mark.timeout(120)

CHECKOUT = Path(__file__).resolve().parents[2]
RESOLV_CONF = "/etc/resolv.conf"
# Bytes that no encoding of today has, a line without an end, and options of the owner's.
FOREIGN = b"# \xe9\xff of the owner\nsearch example.com\noptions ndots:2\nnameserver 203.0.113.53"
PROMPT_SECONDS = 1.0


@dataclass
class Town:
    """A jump peer and two members, all of whom have a name server in the world at 203.0.113.53."""

    backend: Backend
    gw: Member
    laptop: Member
    desk: Member

    @property
    def members(self) -> list[Member]:
        return [self.gw, self.laptop, self.desk]


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Lab() as lab, Backend(lab) as backend:
        yield backend


@pytest.fixture(scope="module")
def town(backend: Backend) -> Town:
    lab = backend.lab
    world = lab.host("world", address="203.0.113.53")
    world.start([sys.executable, "-m", "tests.e2e.outside", str(world.ipv4)], env={"PYTHONPATH": str(CHECKOUT)})
    hosts = [
        lab.host("gw", address="198.51.100.7"),
        lab.host("laptop", behind=lab.nat("home")),
        lab.host("desk", behind=lab.nat("cafe")),
    ]
    for host in hosts:
        host.path(RESOLV_CONF).write_bytes(FOREIGN)
    backend.create_network("office", cidr_v4="10.20.0.0/24")
    gw = backend.join(hosts[0], "office", kind="jump")
    laptop, desk = (backend.join(host, "office") for host in hosts[1:])
    backend.settle()
    await_reach(laptop.host, gw.ipv4, gw.ipv6, desk.ipv4, desk.ipv6)
    return Town(backend, gw, laptop, desk)


def addresses(host: Host, name: str) -> set[str]:
    """What a program on the host gets for a name, in both families."""
    found = set()
    for family in ("ahostsv4", "ahostsv6"):
        lines = host.run(["getent", family, name], check=False).stdout.splitlines()
        found |= {line.split()[0] for line in lines if not line.startswith("::ffff:")}
    return found


def looked_up(host: Host, server: str, name: str, kind: str = "A", way: str = "udp") -> str:
    command = [sys.executable, "-m", "tests.e2e.lookup", server, name, kind, way]
    return host.run(command, env={"PYTHONPATH": str(CHECKOUT)}).stdout


def seconds_until(host: Host, name: str, wanted: set[str]) -> float:
    started = time.monotonic()
    wait_until(lambda: addresses(host, name) == wanted, within=5, what=f"{name} to be {wanted or 'unknown'}")
    return time.monotonic() - started


def test_every_host_reaches_every_other_by_its_name_in_both_families(town: Town) -> None:
    for asking in town.members:
        for other in town.members:
            name = f"{other.name}.office.internal"
            assert addresses(asking.host, name) == {other.ipv4, other.ipv6}
            for address in (other.ipv4, other.ipv6):
                assert asking.host.run(["getent", "hosts", address]).stdout.split()[1] == name
    for host in (town.laptop.host, town.gw.host):
        for family in ("-4", "-6"):
            assert "1 received" in host.run(["ping", family, "-c", "1", "desk.office.internal"]).stdout


def test_unknown_names_of_the_network_do_not_exist_by_udp_and_by_tcp(town: Town) -> None:
    for server in (town.gw.ipv4, town.gw.ipv6):
        for way in ("udp", "tcp"):
            assert looked_up(town.laptop.host, server, "nobody.office.internal", "A", way) == "NXDOMAIN"
            known = looked_up(town.laptop.host, server, "Desk.Office.Internal", "AAAA", way)
            assert known == f"NOERROR {town.desk.ipv6}"
    assert looked_up(town.laptop.host, town.gw.ipv4, "desk.office.internal", "MX") == "NOERROR"
    assert addresses(town.laptop.host, "nobody.office.internal") == set()


def test_a_name_follows_its_peer_within_a_second(town: Town) -> None:
    backend, host, desk = town.backend, town.laptop.host, town.desk
    was = {desk.ipv4, desk.ipv6}
    took = {}
    backend.change("desk", name="tower")
    took["new name"] = seconds_until(host, "tower.office.internal", was)
    took["old name"] = seconds_until(host, "desk.office.internal", set())
    backend.change("tower", name="desk")
    took["name again"] = seconds_until(host, "desk.office.internal", was)

    static = backend.create_peer("printer", "office", kind="static")["peer"]["addresses"]
    took["created"] = seconds_until(host, "printer.office.internal", set(static))
    backend.delete("printer")
    took["deleted"] = seconds_until(host, "printer.office.internal", set())
    backend.create_peer("ghost", "office")
    assert addresses(host, "ghost.office.internal") == set(), "a host that has not enrolled has no name yet"
    backend.delete("ghost")
    assert max(took.values()) < PROMPT_SECONDS, took


def test_names_of_the_world_stay_known_and_come_by_the_jump_peer(town: Town) -> None:
    for member in town.members:
        assert addresses(member.host, "www.example.com") == {"198.51.100.80"}
        assert addresses(member.host, "none.example.com") == set()
    assert len(looked_up(town.laptop.host, town.gw.ipv4, "many.example.com", "A", "tcp").split()) == 120
    assert addresses(town.laptop.host, "many.example.com") >= {"192.0.2.1", "192.0.2.119"}

    town.backend.change_network("office", dns_upstreams=["203.0.113.99"])
    town.backend.settle()
    assert looked_up(town.laptop.host, town.gw.ipv4, "other.example.com") == "SERVFAIL"
    town.backend.change_network("office", dns_upstreams=["203.0.113.53"])
    town.backend.settle()
    assert looked_up(town.laptop.host, town.gw.ipv4, "other.example.com") == "NXDOMAIN"
    town.backend.change_network("office", dns_upstreams=[])
    town.backend.settle()


def test_a_network_with_another_domain_or_range_is_known_by_it_at_once(town: Town) -> None:
    backend = town.backend
    backend.change_network("office", domain="work.internal", cidr_v4="10.21.0.0/24")
    backend.settle()
    seconds_until(town.laptop.host, "desk.work.internal", {town.desk.ipv4, town.desk.ipv6})
    assert town.desk.ipv4.startswith("10.21.")
    assert addresses(town.laptop.host, "desk.office.internal") == set()
    listening = town.gw.host.run(["ss", "-Hltn"]).stdout
    assert town.gw.ipv4 in listening
    assert "10.20." not in listening
    backend.change_network("office", domain="office.internal", cidr_v4="10.20.0.0/24")
    backend.settle()
    seconds_until(town.laptop.host, "desk.office.internal", {town.desk.ipv4, town.desk.ipv6})


def test_killed_agents_find_everything_as_they_left_it(town: Town) -> None:
    before = {member.name: member.host.path(RESOLV_CONF).read_bytes() for member in town.members}
    for member in town.members:
        member.agent.kill()
    # Nobody answers for the network now, and the world's names are still known.
    assert addresses(town.laptop.host, "www.example.com") == {"198.51.100.80"}
    for member in town.members:
        member.agent.restart()
    seconds_until(town.laptop.host, "desk.office.internal", {town.desk.ipv4, town.desk.ipv6})
    for member in town.members:
        member.agent.wait_for("connected")
        assert member.host.path(RESOLV_CONF).read_bytes() == before[member.name]
        plan = member.host.run(["isthmus", "agent", "plan", "--dry-run"]).stdout
        assert plan.strip() == "nothing to do: this host is as it shall be"


def test_nobody_outside_the_tunnel_gets_an_answer(town: Town) -> None:
    gw, stranger = town.gw, town.backend.lab.host("stranger")
    probe = "import socket,sys\nfor kind in (1, 2):\n  s = socket.socket(socket.AF_INET, kind); s.settimeout(1)\n"
    probe += "  try:\n    s.connect((sys.argv[1], 53)); s.send(bytes.fromhex(sys.argv[2])); print('open', s.recv(9))\n"
    probe += "  except OSError as error: print(type(error).__name__)\n"
    question = dns.message.make_query("gw.office.internal", "A").to_wire().hex()

    def probed(host: Host, address: object) -> list[str]:
        return host.run([sys.executable, "-c", probe, str(address), question]).stdout.split()

    assert "open" in probed(town.laptop.host, gw.ipv4)
    with underlay_way(town.backend.lab, gw):
        assert reaches(stranger, gw.ipv4)
        for address in (gw.ipv4, gw.host.ipv4):
            assert "open" not in probed(stranger, address)


@pytest.mark.parametrize("linked", [False, True])
def test_leaving_gives_back_every_byte(town: Town, linked: bool) -> None:
    backend = town.backend
    host = backend.lab.host(f"guest-{int(linked)}")
    file = "/run/foreign-resolv.conf" if linked else RESOLV_CONF
    if linked:
        host.run(["ln", "-sf", file, RESOLV_CONF])
    host.path(file).write_bytes(FOREIGN)
    host.run(["chmod", "640", file])
    status = host.run(["stat", "-L", "-c", "%a %u %g", RESOLV_CONF]).stdout
    member = backend.join(host, "office")
    backend.settle()
    await_reach(host, town.gw.ipv4)
    assert addresses(host, "desk.office.internal") == {town.desk.ipv4, town.desk.ipv6}
    written = host.path(file).read_bytes()
    assert written.endswith(FOREIGN)
    assert host.run(["stat", "-L", "-c", "%a %u %g", RESOLV_CONF]).stdout == status

    member.agent.stop()
    # What somebody adds in the meantime stays too.
    host.path(file).write_bytes(written + b"\noptions rotate\n" if linked else written)
    steps = backend.type(host, "isthmus", "agent", "leave")
    assert "take our servers out of /etc/resolv.conf" in steps
    assert host.path(file).read_bytes() == (FOREIGN + b"\noptions rotate\n" if linked else FOREIGN)
    assert host.run(["stat", "-L", "-c", "%a %u %g", RESOLV_CONF]).stdout == status
    assert (host.run(["readlink", RESOLV_CONF], check=False).stdout.strip() == file) == linked
    backend.delete(host.name)


def test_a_host_may_keep_its_lookups_to_itself_and_a_plan_says_what_it_would_change(town: Town) -> None:
    backend = town.backend
    host = backend.lab.host("quiet")
    host.path(RESOLV_CONF).write_bytes(FOREIGN)
    token = backend.create_peer("quiet", "office")["enrollment"]["token"]
    backend.enroll(host, token)
    settings = host.path("/etc/isthmus/agent.toml")
    before = settings.read_text()
    settings.write_text(before + 'dns = "off"\n')
    member = backend.run_agent(host, "office")
    backend.settle()
    await_reach(host, town.gw.ipv4)
    assert host.path(RESOLV_CONF).read_bytes() == FOREIGN

    member.agent.stop()
    settings.write_text(before)
    plan = host.run(["isthmus", "agent", "plan", "--dry-run"]).stdout
    assert f"ask {town.gw.ipv4} first, by /etc/resolv.conf" in plan
    assert host.path(RESOLV_CONF).read_bytes() == FOREIGN
    backend.delete("quiet")


def test_a_file_that_another_program_writes_is_its_own_until_something_else_changes(town: Town) -> None:
    host = town.laptop.host
    town.backend.settle()
    host.path(RESOLV_CONF).write_bytes(b"nameserver 203.0.113.53\n")
    time.sleep(1.5)
    assert host.path(RESOLV_CONF).read_bytes() == b"nameserver 203.0.113.53\n"
    town.backend.change_network("office", mtu=1400)
    town.backend.settle()
    seconds_until(host, "desk.office.internal", {town.desk.ipv4, town.desk.ipv6})
    assert host.path(RESOLV_CONF).read_bytes().endswith(b"nameserver 203.0.113.53\n")
    assert reaches(host, town.desk.ipv4)
