"""The Federator of b.example between its neighbours, with a.example and c.example as remotes."""

import http.client
import itertools
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from isthmus.protocol import federation as wire
from isthmus.protocol import ingress
from isthmus.protocol.federation import COMPONENTS
from isthmus.protocol.federator import Entry, Row, Suspicion
from isthmus.protocol.ingress import listener_secret
from isthmus.protocol.places import Places
from isthmus.protocol.signatures import Message, sign
from lab.waiting import wait_until
from tests.federator.organisations import Organisation, a_snapshot, escaped, now
from tests.federator.process import Federator
from tests.federator.surroundings import Call, Surroundings
from tests.x509.forge import Forged

LISTENER = ingress.WAN
SOURCE = "192.0.2.7"
LOOKUP = "/federation/directory/get-user-by-handle"
CONFIRM = "/federation/handshake/confirm"
MARKER = "/settled"
ROW_SECONDS = 10.0
BODY = b'{"handle": "alice"}'


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def code(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Cache-Control"] == "no-store"
        assert len(self.body) <= 4096
        found = self.problem
        assert found["stage"] == "federator_in"
        assert found["status"] == self.status
        assert isinstance(found["retryable"], bool)
        return str(found["code"])

    @property
    def request_id(self) -> str:
        return self.headers[wire.REQUEST_ID]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, header bytes as they are given."""

    def __init__(self, path: Path) -> None:
        super().__init__("federator", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


@dataclass
class Stage:
    """`b` is the backend under test. Everything of `settings` goes to its Federator."""

    data: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = Places(self.data)
        self.a, self.b, self.c = (Organisation(name) for name in "abc")
        self.listener_key = secrets.token_bytes(32)
        self.around = Surroundings(self.places)
        self.federator = Federator(self.data, self.settings)
        self._sources = itertools.count(1)

    def start(self) -> None:
        self.places.run.mkdir(parents=True, mode=0o700)
        keys = {name: secrets.token_bytes(32) for name in COMPONENTS}
        self.places.listener_key.parent.mkdir(parents=True)
        self.places.listener_key.write_bytes(self.listener_key)
        for name, key in keys.items():
            self.places.context_key(name).write_bytes(key)
        self.write_pair(self.b.leaf)
        self.around.start(keys)
        self.federator.settings["resolvers"] = self.around.names.where
        for each in (self.a, self.c):
            self.publish(each, each.infra)
        self.show(self.a.entry(), self.c.entry())
        self.federator.start()
        self.wait_for_snapshot()

    def stop(self) -> None:
        self.federator.stop()
        self.around.stop()

    def write_pair(self, leaf: Forged) -> None:
        folder = self.places.federator_pair
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chain.pem").write_bytes(leaf.pem)
        (folder / "key.pem").write_bytes(leaf.key_pem)

    # What B knows and DNS says.

    def publish(self, organisation: Organisation, *hosts: str) -> None:
        records = [f"60 SRV 0 0 8443 {host}." for host in hosts]
        self.around.say(f"_isthmus-federator._tcp.{organisation.domain} SRV", *records)

    def show(self, *entries: Entry, **fields: Any) -> int:
        """Make these the allow list and return the generation; it holds once `wait_for_snapshot` has returned."""
        self.around.background.run(self.around.server.show(a_snapshot(self.b, *entries, **fields)))
        return self.generation

    def relist(self, *entries: Entry, **fields: Any) -> int:
        """`show`, and wait until the Federator goes by it."""
        generation = self.show(*entries, **fields)
        self.wait_for_snapshot()
        return generation

    @property
    def generation(self) -> int:
        assert self.around.server.snapshot is not None
        return self.around.server.snapshot.generation

    def wait_for_snapshot(self) -> None:
        polls = self.around.server.polls
        wait_until(lambda: polls and polls[-1] == self.generation, within=ROW_SECONDS, what="the snapshot to be taken")

    # Calls as the ingress passes them on.

    def headers(self, caller: Organisation, leaf: Forged | None = None, **more: Any) -> dict[str, str]:
        """The headers of a clean call of `caller`. `more` are others, by header names with `_` for `-`; None leaves one
        out."""
        plain: dict[str, str | None] = {
            ingress.LEAF: escaped(leaf or caller.leaf),
            ingress.LISTENER: LISTENER,
            ingress.SECRET: listener_secret(self.listener_key, LISTENER),
            ingress.INGRESS_REQUEST_ID: str(uuid4()),
            ingress.NETWORK: ingress.WAN,
            ingress.SOURCE: SOURCE,
            wire.ORIGIN: caller.domain,
            wire.API_VERSION: "0",
            "Content-Type": "application/json",
        }
        given = {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in (plain | given).items() if value is not None}

    def listener(self, name: str) -> dict[str, str]:
        """The headers by which a listener of the ingress proves itself, as `more`."""
        return {"Isthmus_Ingress_Listener": name, "Isthmus_Ingress_Secret": listener_secret(self.listener_key, name)}

    def signed(self, caller: Organisation, path: str, body: bytes, **more: Any) -> dict[str, str]:
        """The headers of a clean mutation."""
        key = str(uuid4())
        message = Message("POST", path, caller.domain, "0", key, body)
        signature = sign(message, caller.message_key, now=now(), nonce=secrets.token_urlsafe(16))
        return {**self.headers(caller, **more), wire.IDEMPOTENCY_KEY: key, **signature}

    def call(self, headers: dict[str, str], path: str = LOOKUP, body: bytes = BODY, method: str = "POST") -> Answer:
        with self.connection() as connection:
            return exchange(connection, anew(headers), path, body, method)

    def ask(self, caller: Organisation, path: str = LOOKUP, **more: Any) -> Answer:
        """A clean call of `caller`, but for the headers in `more`."""
        return self.call(self.headers(caller, **more), path)

    @contextmanager
    def connection(self) -> Iterator[UnixConnection]:
        connection = UnixConnection(self.places.inward)
        try:
            yield connection
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """Send these bytes and read one answer, or nothing where the connection is ended without one."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(self.places.inward))
            sock.sendall(data)
            answer = http.client.HTTPResponse(sock)
            try:
                answer.begin()
            except http.client.RemoteDisconnected:
                return b""
            head = f"HTTP/1.1 {answer.status}\r\n{answer.headers}".encode()
            return head + answer.read()

    # What is seen of them.

    def rows(self, request_id: str) -> list[Row]:
        return [row for row in list(self.around.server.rows.values()) if row.request_id == request_id]

    def row(self, answer: Answer) -> Row:
        """The one audit row of a request."""
        wait_until(lambda: self.rows(answer.request_id), within=ROW_SECONDS, what="the audit row")
        (row,) = self.rows(answer.request_id)
        return row

    def settled(self) -> dict[str, Row]:
        """All rows by id, once everything that has happened has been reported. What is asked for that leaves none."""
        marker = self.call(self.headers(self.a), MARKER)
        self.row(marker)
        return {row.id: row for row in list(self.around.server.rows.values()) if row.subject != MARKER}

    def suspicions(self, kind: str) -> list[Suspicion]:
        return [each for each in self.around.server.suspicions if each.kind == kind]

    @property
    def calls(self) -> list[Call]:
        return self.around.calls


def anew(headers: dict[str, str]) -> dict[str, str]:
    """The ingress gives each request an id, and the next one another."""
    return {**headers, ingress.INGRESS_REQUEST_ID: str(uuid4())}


def exchange(
    connection: http.client.HTTPConnection, headers: dict[str, str], path: str, body: bytes, method: str
) -> Answer:
    """One request on a connection that may be used again."""
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": "isthmus-federator", "Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value.encode("latin-1"))
    with suppress(BrokenPipeError):
        # What is refused by its head alone may be answered before its body is sent.
        connection.endheaders(body)
    answer = connection.getresponse()
    return Answer(answer.status, dict(answer.getheaders()), answer.read())


@contextmanager
def unchanged(stage: Stage) -> Iterator[None]:
    """No component is called meanwhile."""
    before = len(stage.calls)
    yield
    assert len(stage.calls) == before
