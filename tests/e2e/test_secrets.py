"""Keys and tokens: where they are, and where they are not."""

import base64
import sys

import pytest

from lab.backend import DATA, Backend
from lab.mesh import Member
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
