"""A real nginx with a rendered configuration, before a socket that records what it is sent."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isthmus.ingress import nginx
from isthmus.ingress.layout import Layout
from isthmus.ingress.refusals import read_refusal
from isthmus.protocol.ingress import IngressFacts, Listener, Refusal, listener_secret
from isthmus.protocol.places import Places
from isthmus.protocol.problem import LONGEST, RETRYABLE
from tests.ingress.authority import Ca, Pair
from tests.ingress.client import INFRA, Answer, Client
from tests.ingress.recorder import Recorder, Refusals, Seen

SECONDS = 20.0
KEY = b"k" * 32
OVERLAY = "6f1f9f3e-7f8a-4d7e-9d5b-0f3b6c1d2e3f"
OTHER_INFRA = "infra2.b.example"


def secret(listener: str) -> str:
    return listener_secret(KEY, listener)


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_open(port: int, address: str = "127.0.0.1") -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {address}:{port}")


@dataclass
class World:
    """Backend b.example seen from outside: a WAN listener and one of an overlay, with A and C as its remotes."""

    folder: Path
    facts: IngressFacts
    cas: dict[str, Ca]
    upstream: Recorder
    refusals: Refusals
    process: subprocess.Popen[str] | None = None
    leaf: Pair = field(init=False)

    def __post_init__(self) -> None:
        self.leaf = self.cas["a"].leaf("infra.a.example")

    @property
    def places(self) -> Places:
        return Places(self.folder)

    @property
    def wan(self) -> Client:
        return Client(self.facts.listeners[0].port, self.leaf)

    @property
    def overlay(self) -> Client:
        listener = self.facts.listeners[1]
        return Client(listener.port, self.leaf, address=listener.address)

    def forget(self) -> None:
        self.upstream.seen.clear()
        self.refusals.empty()

    def admitted(self, answer: Answer) -> Seen:
        """The one request that reached the Federator, which answered it."""
        assert (answer.status, answer.body) == (200, b'{"well":true}')
        (seen,) = self.upstream.seen
        self.upstream.seen.clear()
        return seen

    def refused(self, answer: Answer, code: str, status: int) -> Refusal:
        """The one record of a refusal that is told as a problem document, and of which the Federator sees nothing."""
        assert (answer.status, answer.code) == (status, code)
        assert answer.all("Content-Type") == ["application/problem+json"]
        assert answer.all("Cache-Control") == ["no-store"]
        assert len(answer.body) <= LONGEST
        told = answer.json
        assert told["stage"] == "ingress"
        assert told["status"] == status
        assert told["retryable"] is (code in RETRYABLE)
        assert answer.all("X-Request-Id") == [told["request_id"]]
        assert answer.all("Server") == ["nginx"]
        assert not re.search(rb"nginx|openssl|\d+\.\d+\.\d", answer.body.replace(b"HTTP/1.1", b""), re.IGNORECASE)
        row = read_refusal(self.refusals.next())
        assert (row.code, row.status, row.request_id) == (code, status, told["request_id"])
        time.sleep(0.02)
        assert self.refusals.raw.empty()
        assert self.upstream.seen == []
        return row


def make_world(folder: Path) -> World:
    cas = {name: Ca(folder / f"ca-{name}", name) for name in ("a", "b", "c")}
    listeners = [
        Listener("wan", "127.0.0.1", free_port()),
        Listener("overlay-1", "127.0.0.2", free_port("127.0.0.2"), OVERLAY),
    ]
    anchors = [ca.pem for ca in cas.values()]
    facts = IngressFacts(1, [INFRA, OTHER_INFRA], listeners, anchors, {OVERLAY: "office"})
    places = Places(folder)
    places.run.mkdir(parents=True)
    return World(folder, facts, cas, Recorder(places.inward), Refusals(places.refusals))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = make_world(tmp_path_factory.mktemp("ingress"))
    config = found.folder / "config"
    (found.places.ingress_config / "temp").mkdir(parents=True)
    config.mkdir()
    for name, text in nginx.render(found.facts, Layout.of(found.places, secret)).items():
        (config / name).write_text(text)
    own = found.cas["b"].leaf(INFRA)
    (found.places.ingress_config / "marks" / "1").mkdir(parents=True)
    (found.places.ingress_config / "mark").symlink_to("marks/1")
    pair = found.places.ingress_config / "pairs" / "1"
    pair.mkdir(parents=True)
    shutil.copy(own.chain, pair / nginx.CHAIN)
    shutil.copy(own.key, pair / nginx.KEY)
    command = ["nginx", "-e", "stderr", "-p", str(config), "-c", str(config / nginx.CONFIG)]
    found.process = subprocess.Popen(command, text=True)
    try:
        wait_until_open(found.facts.listeners[0].port)
        yield found
    finally:
        found.process.terminate()
        found.process.wait(timeout=SECONDS)
        found.upstream.close()
        found.refusals.close()


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    """Tests share the world of their module, and no test sees what came of another."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world").forget()
