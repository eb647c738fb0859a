"""Keys and tokens: where they are, and where they are not."""

import base64
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import CommandFailed, Host, wait_until
from lab.backend import DATA, Backend
from lab.mesh import Member
from tests.api.agent import enroll_body
from tests.e2e.box import Box
from tests.e2e.observing import await_reach

pytestmark = pytest.mark.timeout(120)

STATE = "/var/lib/isthmus-agent"


@pytest.fixture(scope="module")
def gw(backend: Backend) -> Member:
    backend.create_network("office", cidr_v4="10.20.0.0/24")
    return backend.join(backend.lab.host("gw"), "office", kind="jump")


def forms(key: str) -> list[bytes]:
    """A WireGuard key as text, as bytes and in hexadecimal digits."""
    raw = base64.b64decode(key)
    return [key.encode(), key.rstrip("=").encode(), raw, raw.hex().encode()]


def holds(place: bytes, key: str) -> bool:
    return any(form in place for form in forms(key))


BACK_UP = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))"


def read_store(backend: Backend) -> bytes:
    """All files of the server, and a backup of its database."""
    # On the host itself: SQLite follows /proc/PID/root to where it seems to point, which is this machine's own folder.
    backend.host.run([sys.executable, "-c", BACK_UP, f"{DATA}/isthmus.db", "/run/backup"])
    files = [path for path in backend.host.path(DATA).rglob("*") if path.is_file()]
    return b"".join(file.read_bytes() for file in [*files, backend.host.path("/run/backup")])


def read_answers(backend: Backend) -> bytes:
    """What the API answers to whoever may read everything."""
    peers, networks = backend.peers(), backend.api.get("/networks").json()["items"]
    paths = ["/networks", "/peers", "/audit", "/tokens", "/me"]
    paths += [f"/peers/{peer['id']}" for peer in peers] + [f"/networks/{network['id']}" for network in networks]
    return b"".join(backend.api.get(path).content for path in paths)


@pytest.mark.case("SEED-078")
def test_an_agent_enrolls_with_token_and_public_key_and_keeps_its_private_key(backend: Backend, gw: Member) -> None:
    lab = backend.lab
    guest = lab.host("guest-1", behind=lab.nat("guest-1-nat"))
    box = Box(backend, lab.host("box-1"))
    capture = guest.start(
        ["tcpdump", "-Z", "root", "--immediate-mode", "-U", "-i", "eth0", "-w", "/run/all.pcap"], name="dump"
    )
    capture.wait_for("listening on")
    assert not guest.path(STATE).exists()
    token = box.enroll(guest, "office")

    private = guest.path(f"{STATE}/private.key").read_text().strip()
    public = guest.run(["wg", "pubkey"], input=private).stdout.strip()
    assert backend.peer(guest.name)["public_key"] == public
    # The box ends TLS and sees what the network does not: token and public key, and no private key.
    assert token.encode() in box.seen
    assert holds(box.seen, public)
    assert not holds(box.seen, private)
    capture.stop()
    wire = guest.path("/run/all.pcap").read_bytes()
    assert len(wire) > len(box.seen)
    assert token.encode() not in wire
    assert not holds(wire, public)
    assert not holds(wire, private)
    backend.delete(guest.name)


@pytest.mark.case("SEED-082")
def test_private_keys_of_agents_are_nowhere_but_on_their_hosts(backend: Backend, gw: Member) -> None:
    lab = backend.lab
    guest = lab.host("guest-2", behind=lab.nat("guest-2-nat"))
    box = Box(backend, lab.host("box-2"))
    token = box.enroll(guest, "office")
    member = backend.run_agent(guest, "office")
    backend.settle()
    await_reach(guest, gw.ipv4, gw.ipv6)
    backend.change(guest.name, isolated=True)
    backend.settle()

    places = {
        "store and backup": read_store(backend),
        "answers": read_answers(backend),
        "frames": box.seen,
        "log": backend.host.folder.joinpath("server.log").read_bytes(),
    }
    session = guest.path(f"{STATE}/identity.json").read_text().partition('"session_token":"')[2].partition('"')[0]
    assert len(session) > 20
    for name, each in {**backend.members, guest.name: member}.items():
        private = each.host.path(f"{STATE}/private.key").read_text().strip()
        for place, content in places.items():
            assert not holds(content, private), f"{place} holds the private key of {name}"
        # The same search finds the public key where it belongs.
        public = backend.peer(name)["public_key"]
        assert holds(places["store and backup"], public)
        assert holds(places["answers"], public)
    assert b'"type":"heartbeat"' in places["frames"]
    for secret in (token, session):
        assert secret.encode() in places["frames"]
        for place in ("store and backup", "answers", "log"):
            assert secret.encode() not in places[place]

    files = {path.name: path.stat().st_mode & 0o777 for path in guest.path(STATE).iterdir()}
    assert set(files.values()) == {0o600}
    assert guest.path(STATE).stat().st_mode & 0o777 == 0o700
    assert not any(token.encode() in path.read_bytes() for path in guest.path(STATE).iterdir())
    backend.delete(guest.name)


@contextmanager
def watched_processes() -> Iterator[set[bytes]]:
    """The arguments of every process of this machine that ran for a moment while the block did."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_bytes())
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def session_of(host: Host) -> str:
    identity = host.path(f"{STATE}/identity.json").read_text()
    return identity.partition('"session_token":"')[2].partition('"')[0]


def audit_of(backend: Backend) -> bytes:
    answers = [backend.api.get("/audit", params={"limit": 1000}).raise_for_status()]
    while (after := answers[-1].json()["next"]) is not None:
        answers.append(backend.api.get("/audit", params={"limit": 1000, "after": after}).raise_for_status())
    return b"".join(answer.content for answer in answers)


def live_a_life(backend: Backend, guest: Host) -> tuple[dict[str, str], dict[str, str], list[bytes]]:
    """An agent from its first token to its end, and a static peer: all tokens and sessions, all private keys, and every
    error on the way."""
    words: dict[str, str] = {}
    errors: list[bytes] = []

    def post(path: str, body: Any, token: str | None = None) -> Any:
        answer = backend.api.post(path, json=body, headers={"Authorization": f"Bearer {token}"} if token else {})
        if answer.is_error:
            errors.append(answer.content)
        return answer

    created = backend.create_peer(guest.name, "office")
    words["token"] = created["enrollment"]["token"]
    with pytest.raises(CommandFailed) as wrong:
        backend.enroll(guest, words["token"][:-1])
    errors.append(str(wrong.value).encode())
    backend.enroll(guest, words["token"])
    member = backend.run_agent(guest, "office")
    backend.settle()
    words["session"], keys = session_of(guest), {"first key": private_key_in(guest)}
    assert post("/agent/enroll", enroll_body(words["token"])).status_code == 401
    assert post("/agent/heartbeat", {"nonce": 1}, words["session"]).status_code == 422

    post(f"/peers/{member.id}/rotate-key", {}).raise_for_status()
    wait_until(lambda: private_key_in(guest) != keys["first key"], within=10, what="another key")
    backend.settle()
    keys["second key"] = private_key_in(guest)
    static = backend.create_peer("phone", "office", kind="static", keep_private_key=True)
    keys["static key"] = static["config"]["text"].partition("PrivateKey = ")[2].split()[0]

    words["second token"] = post(f"/peers/{member.id}/enrollment-token", {}).raise_for_status().json()["token"]
    member.agent.stop()
    assert post("/agent/heartbeat", {"nonce": "x"}, words["session"]).is_error
    backend.type(guest, "isthmus", "agent", "leave")
    backend.enroll(guest, words["second token"])
    words["second session"], keys["third key"] = session_of(guest), private_key_in(guest)
    member.agent.restart()
    backend.settle()
    return words, keys, errors


def private_key_in(host: Host) -> str:
    return host.path(f"{STATE}/private.key").read_text().strip()


@pytest.mark.case("ENROL-006")
def test_over_a_whole_life_no_token_session_or_private_key_is_where_it_does_not_belong(
    backend: Backend, gw: Member
) -> None:
    guest = backend.lab.host("guest-3", behind=backend.lab.nat("guest-3-nat"))
    with watched_processes() as processes:
        words, keys, errors = live_a_life(backend, guest)
    agent = backend.members[guest.name].agent
    assert backend.api.get("/metrics").status_code == 404
    places = {
        "store and backup": read_store(backend),
        "answers": read_answers(backend),
        "audit": audit_of(backend),
        "log of the server": backend.host.folder.joinpath("server.log").read_bytes(),
        "log of the agent": b"".join(file.read_bytes() for file in guest.folder.glob("*.log")) + agent.output.encode(),
        "processes": b"\n".join(processes),
        "errors": b"\n".join(errors),
    }
    assert len({*words.values(), *keys.values()}) == len(words) + len(keys)
    for place, content in places.items():
        for name, word in words.items():
            assert word.encode() not in content, f"{place} holds the {name}"
        for name, key in keys.items():
            assert not holds(content, key), f"{place} holds the {name}"
    # Each place was really looked at: what may be there is.
    assert b"agent\0enroll" in places["processes"]
    assert b"enrollment_token_invalid" in places["errors"] or b"unauthenticated" in places["errors"]
    assert all(guest.name.encode() in places[place] for place in ("store and backup", "answers", "audit"))
    assert b"config applied" in places["log of the agent"]

    folder = guest.path(STATE)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, 0)
    assert (
        guest.run(["setpriv", "--reuid=nobody", "--clear-groups", "cat", f"{STATE}/private.key"], check=False).stdout
        == ""
    )
    for name in (guest.name, "phone"):
        backend.delete(name)
    after = read_store(backend)
    assert not any(holds(after, key) for key in keys.values())
    assert not any(word.encode() in after for word in words.values())
