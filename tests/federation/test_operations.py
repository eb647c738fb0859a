"""What operators meet at a running federation: settings, new certificates, drift, and why something does not work."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from isthmus.ingress import nginx
from isthmus.ingress.applying import Applier
from isthmus.ingress.nginx_lint import lint
from isthmus.ingress.runner import DRIFT_SECONDS
from isthmus.ingress.versions import MARK, PAIRS
from isthmus.ingress.weakenings import weakenings
from isthmus.x509.pair import CHAIN, KEY
from lab.waiting import wait_until
from tests.federation.checks import clean_request
from tests.federation.federation import Federation
from tests.federation.party import Party, Row
from tests.federation.planting import has_changed, weak_federator
from tests.federation.test_strategies import facts_of
from tests.ingress.test_lint import with_digest
from tests.x509.forge import CLIENT, SERVER, Forged, an_authority

WITHIN = 30.0
A_MINUTE = 60.0
# Of the weakenings of each directive; tests/ingress takes all of them.
EVERY = 10
SECRETS = (b"PRIVATE KEY", b"BEGIN CERTIFICATE", b"isthmus_")


# ---- the doctor


def doctor(party: Party, other: Party, code: int) -> dict[str, dict[str, Any]]:
    """What the operator's command says, by step, the bad finding of two; it has this exit code."""
    words = ["isthmus", "remote", "doctor", other.domain, "--json"]
    done = party.site.host.run(words, check=False, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    for secret in SECRETS:
        assert secret.decode() not in done.stdout
    findings = json.loads(done.stdout)["findings"]
    return {each["step"]: each for each in sorted(findings, key=lambda each: not each["ok"])}


@contextlib.contextmanager
def showing(party: Party, leaf: Forged) -> Iterator[None]:
    """While the block runs the nginx of `party` shows this certificate, which its own ingress would not take."""
    versions = Applier(party.site.places).versions
    # The link is absolute, and means something on that host alone. nginx reads the files at each handshake.
    folder = versions.folder / PAIRS / (versions.folder / MARK).readlink().name
    right = {name: (folder / name).read_bytes() for name in (CHAIN, KEY)}
    try:
        (folder / KEY).write_bytes(leaf.key_pem)
        (folder / CHAIN).write_bytes(leaf.pem)
        yield
    finally:
        for name, content in right.items():
            (folder / name).write_bytes(content)


@contextlib.contextmanager
def one_way(party: Party, other: Party) -> Iterator[None]:
    """While the block runs the list of `party` lets nobody call `other`."""
    path = f"/remotes/{other.domain}"
    try:
        party.api.patch(path, json={"direction": "in"}).raise_for_status()
        yield
    finally:
        party.api.patch(path, json={"direction": "both"}).raise_for_status()


@contextlib.contextmanager
def speaking(party: Party, versions: bytes) -> Iterator[None]:
    """While the block runs `party` says that it speaks these versions of the API."""
    box = party.component("heartbeat")
    box.rewrites = lambda piece: piece.replace(b'{"versions":[0]', b'{"versions":' + versions)
    try:
        yield
    finally:
        box.rewrites = None


Fault = Callable[[Federation], AbstractContextManager[object]]

LEAF: dict[str, Any] = {"names": ("infra.b.example", "infra2.b.example"), "usages": (CLIENT, SERVER)}
FAULTS: list[tuple[Fault, str, str]] = [
    (lambda f: f.names.saying(f"{f.names.srv(f.b.domain)} SRV"), "srv", "theirs"),
    (lambda f: f.names.saying("infra.b.example A"), "addresses", "theirs"),
    (lambda f: showing(f.b, f.b.forged(an_authority("somebody's CA"), **LEAF)), "chain", "theirs"),
    (lambda f: showing(f.b, f.b.forged(**(LEAF | {"usages": (CLIENT,)}))), "usage", "theirs"),
    (lambda f: showing(f.b, f.b.forged(**(LEAF | {"names": ("infra.x.example",)}))), "name", "theirs"),
    (lambda f: weak_federator(f.a, "clock-ahead"), "clock", "both"),
    (lambda f: one_way(f.a, f.b), "list", "ours"),
    (lambda f: speaking(f.b, b"[9]"), "version", "ours"),
]


@pytest.mark.case("OPS-007")
def test_the_doctor_names_the_link_that_is_broken(federation: Federation) -> None:
    a, b, _ = federation.parties
    for fault, step, side in FAULTS:
        with fault(federation):
            findings = doctor(a, b, code=1)
            assert not findings[step]["ok"], findings
            assert findings[step]["side"] == side
            for member in ("observed", "expected", "mend"):
                assert findings[step][member], findings[step]
            # Nothing else is blamed but the call, which cannot be made then.
            assert [each for each in findings.values() if not each["ok"] and each["step"] not in (step, "call")] == []
    with b.component("heartbeat").watching() as called, a.component("heartbeat").watching() as back:
        findings = doctor(a, b, code=0)
    assert all(each["ok"] for each in findings.values())
    assert findings["call back"]["observed"] == "the remote reached us"
    assert "/federation/call-back" in {each.path for each in called}
    assert back
    clean_request(a, b)


# ---- certificates


def leaf_shown_to(party: Party, other: Party) -> bytes:
    """The certificate that the ingress of `other` shows now, in DER."""
    with party.connect(other) as connection:
        return connection.server_leaf.public_bytes(Encoding.DER)


def leaf_seen_of(party: Party, other: Party) -> str:
    """The fingerprint of what the Federator of `party` presents to `other` now, as that one writes it down."""
    before = other.last_row()
    # A call that is admitted and then denied by its component, which writes down of whom.
    assert party.calls(other.domain, body=b'{"handle":"hidden"}').json["code"] == "remote_error"

    def row() -> Row | None:
        rows = (each for each in other.audit(before) if each["actor"].startswith(f"remote:{party.domain}/"))
        return next((each for each in rows if each["action"] == "directory/get-user-by-handle"), None)

    found = wait_until(row, within=WITHIN, what="the row of the call")
    assert found is not None
    return str(found["facts"]["leaf"])


def is_shown(party: Party, other: Party, leaf: str) -> bool:
    return leaf_seen_of(party, other) == leaf


def first_in(folder: Path) -> bytes:
    """The leaf of a pair on disk, in DER."""
    return load_pem_x509_certificate((folder / CHAIN).read_bytes()).public_bytes(Encoding.DER)


@pytest.mark.case("OPS-003")
def test_both_sides_take_up_new_certificates_at_the_same_time(federation: Federation) -> None:
    a, b, _ = federation.parties
    places = b.site.places
    for _ in range(2):
        before = leaf_shown_to(a, b), leaf_seen_of(b, a)
        b.api.post("/certificates/renew").raise_for_status()
        wait_until(lambda: leaf_shown_to(a, b) == first_in(places.ingress_pair), within=WITHIN, what="the ingress")
        own = sha256(first_in(places.federator_pair)).hexdigest()
        wait_until(partial(is_shown, b, a, own), within=WITHIN, what="the Federator")
        assert leaf_shown_to(a, b) != before[0]
        assert own != before[1]
    clean_request(a, b)
    clean_request(b, a)


# ---- drift


def finding(party: Party, kind: str) -> dict[str, Any] | None:
    items = party.api.get("/findings", params={"limit": 200}).raise_for_status().json()["items"]
    return next((each for each in items if each["kind"] == kind), None)


@pytest.mark.case("OPS-005")
def test_the_rendered_ingress_is_the_running_ingress(federation: Federation) -> None:
    a, b, _ = federation.parties
    config = b.site.places.ingress_config / "current" / "nginx.conf"
    right, workers = config.read_text(), b.site.nginx_workers()
    # What is looked at this often is a finding within a minute, where the machine has nothing else to do.
    assert DRIFT_SECONDS <= A_MINUTE / 2
    assert finding(b, "ingress_drift") is None
    config.write_text(right.replace("client_body_timeout 10s", "client_body_timeout 600s"))
    b.site.signal_nginx(signal.SIGHUP)
    wait_until(partial(has_changed, b, workers), within=WITHIN, what="the weakened configuration to run")
    # Meanwhile: what the lint knows to be weaker fails it, in what runs here.
    files = {name: (config.parent / name).read_text() for name in (nginx.CONFIG, nginx.ANCHORS)} | {nginx.CONFIG: right}
    weaker = [each for number, (_, each) in enumerate(weakenings(right)) if number % EVERY == 0]
    assert len(weaker) > 30
    for each in weaker:
        assert lint(with_digest({**files, nginx.CONFIG: each}))
    found = wait_until(lambda: finding(b, "ingress_drift"), within=2 * A_MINUTE, what="a finding of the drift")
    assert found is not None
    assert any("client_body_timeout" in each for each in found["evidence"]["drift"]), found
    # What was rendered is put back by itself.
    wait_until(lambda: "body_timeout 10s" in config.read_text(), within=WITHIN, what="the right configuration")
    clean_request(a, b)

    stranger = an_authority("CA of a newcomer")
    with facts_of(b, shared_roots=stranger.pem.decode()):
        anchors = config.with_name(nginx.ANCHORS)
        wait_until(lambda: stranger.pem.decode().strip() in anchors.read_text(), within=WITHIN, what="its authority")
        leaf = a.forged(stranger, names=("infra.s.example",), uris=(f"spiffe://s.example/instance/{uuid4()}",))
        # The running ingress lets it in; what it may do is for the Federator to say.
        wait_until(lambda: a.asks(b, credential=leaf).json["code"] == "federation_denied", within=WITHIN, what="nginx")
    clean_request(a, b)
