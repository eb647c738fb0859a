"""Keys that change under traffic: nobody waits for longer than a second, and the old key is refused afterwards.
Sessions that end: the host is told at once, and returns with a new token."""

import sys
from collections.abc import Iterable

import pytest

from isthmus.agent.settings import Settings
from lab import Host, wait_until
from lab.backend import DATA, Backend
from lab.echoes import Echoes
from lab.wireguard import quick_up
from tests.e2e.conftest import Office
from tests.e2e.observing import await_reach, reaches, sessions

pytestmark = pytest.mark.timeout(120)

LONGEST_GAP = 1.0
PERIOD_SECONDS = 3
ROTATIONS = 10
CONNECT_SECONDS = 30.0
STATE = Settings().state_dir
SET_AGE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.execute("UPDATE networks SET key_max_age = ?", [int(sys.argv[2])])
"""


def key_of(backend: Backend, name: str) -> str:
    return str(backend.peer(name)["public_key"])


def private_key_of(host: Host) -> str:
    return host.path(f"{STATE}/private.key").read_text().strip()


def rotate_every(backend: Backend, seconds: int) -> None:
    """Give all networks a greatest age of keys that is far below the least that a person may choose."""
    backend.server.kill()
    # On the host itself: SQLite would follow /proc/PID/root to the machine's own files.
    backend.host.run([sys.executable, "-c", SET_AGE, f"{DATA}/isthmus.db", str(seconds)])
    backend.server.restart()
    backend.await_server()


def await_rotations(backend: Backend, names: Iterable[str], count: int) -> dict[str, list[str]]:
    """Watch until keys have changed `count` times, each at least twice; returns all keys in order."""
    keys: dict[str, list[str]] = {name: [] for name in names}

    def all_seen() -> bool:
        for peer in backend.peers():
            seen = keys[peer["name"]]
            if peer["public_key"] not in seen:
                seen.append(peer["public_key"])
        changes = [len(seen) - 1 for seen in keys.values()]
        return sum(changes) >= count and min(changes) >= 2

    wait_until(all_seen, within=CONNECT_SECONDS, what=f"{count} rotations")
    return keys


def handshakes_with(office: Office, private_key: str) -> bool:
    """Whether a host somewhere that has this key gets a handshake from the jump peer."""
    intruder = office.lab.hosts.get("intruder") or office.lab.host("intruder")
    intruder.run(["ip", "link", "delete", "wg0"], check=False)
    peer = f"PublicKey = {key_of(office.backend, 'gw')}\nEndpoint = {office.gw.host.ipv4}:51820\n"
    interface = f"[Interface]\nPrivateKey = {private_key}\nAddress = {office.laptop.ipv4}/32\n"
    quick_up(intruder, f"{interface}[Peer]\n{peer}AllowedIPs = 10.20.0.0/24\nPersistentKeepalive = 1\n")
    intruder.ping(office.gw.ipv4, count=3, timeout=1)
    return not intruder.run(["wg", "show", "wg0", "latest-handshakes"]).stdout.strip().endswith("\t0")


@pytest.mark.case("SEED-107")
def test_keys_change_by_age_without_a_gap_and_old_ones_are_refused(office: Office) -> None:
    backend, laptop, desk = office.backend, office.laptop, office.desk
    before = {member.name: private_key_of(member.host) for member in (laptop, desk)}
    await_reach(laptop.host, desk.ipv4, desk.ipv6)

    rotate_every(backend, PERIOD_SECONDS)
    with Echoes(laptop.host, desk.ipv4) as there, Echoes(desk.host, laptop.ipv6) as back:
        keys = await_rotations(backend, backend.members, ROTATIONS)
    backend.change_network("office", key_max_age=0)
    assert there.longest_gap < LONGEST_GAP
    assert back.longest_gap < LONGEST_GAP

    backend.settle(within=CONNECT_SECONDS)
    for member in backend.members.values():
        present = key_of(backend, member.name)
        assert present not in keys[member.name][:-2]
        assert member.host.run(["wg", "show", member.interface, "public-key"]).stdout.strip() == present
    assert set(sessions(office.gw)) == {key_of(backend, "laptop"), key_of(backend, "desk")}
    assert key_of(backend, "gw") in sessions(laptop)
    for old in before.values():
        assert not handshakes_with(office, old)
    # The same host with a key that is known does get one.
    probe = backend.create_peer("probe", "office", kind="static")["config"]["text"]
    backend.settle()
    assert handshakes_with(office, probe.partition("PrivateKey = ")[2].split()[0])
    backend.delete("probe")


@pytest.mark.parametrize("name", ["laptop", "desk", "gw"])
def test_a_key_changes_on_request_without_a_gap(office: Office, name: str) -> None:
    backend = office.backend
    await_reach(office.laptop.host, office.desk.ipv4)
    old = key_of(backend, name)
    with Echoes(office.laptop.host, office.desk.ipv4) as echoes:
        said = backend.cli("peer", "rotate-key", name, "--wait")
        backend.settle()
        echoes.go_on(0.5)
    new = key_of(backend, name)
    assert new != old
    assert old in said
    assert new in said
    assert echoes.longest_gap < LONGEST_GAP


def test_an_agent_that_is_away_changes_its_key_when_it_connects(office: Office) -> None:
    backend, laptop = office.backend, office.laptop
    old = key_of(backend, "laptop")
    laptop.agent.stop()
    wait_until(lambda: not backend.peer("laptop")["status"]["connected"], within=5, what="the agent to be gone")
    assert "changes the key when it connects" in backend.cli("peer", "rotate-key", "laptop", "--wait")
    # Its tunnel stays as it is.
    await_reach(laptop.host, office.desk.ipv4)
    laptop.agent.restart()
    wait_until(lambda: key_of(backend, "laptop") != old, within=CONNECT_SECONDS, what="another key")
    backend.settle()
    await_reach(laptop.host, office.desk.ipv4)


def test_a_revoked_session_ends_the_tunnel_at_once_and_a_new_token_brings_the_host_back(office: Office) -> None:
    backend, desk = office.backend, office.desk
    old = key_of(backend, "desk")
    backend.cli("peer", "revoke-session", "desk", "--yes")
    desk.agent.wait_for("taking the tunnel down", within=2)
    wait_until(lambda: not desk.agent.running, within=5, what="the agent to end")
    assert desk.interface not in desk.host.run(["ip", "link"]).stdout
    assert "ended: it returns with a new token" in backend.cli("peer", "show", "desk")
    assert reaches(office.laptop.host, office.gw.ipv4)

    issued = backend.api.post(f"/peers/{desk.id}/enrollment-token", json={}).raise_for_status().json()
    backend.enroll(desk.host, issued["token"])
    desk.agent.restart()
    backend.settle()
    await_reach(office.laptop.host, desk.ipv4)
    assert key_of(backend, "desk") != old
