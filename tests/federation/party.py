"""One backend of the federation under test: its organisation in the lab, the boxes on its sockets, and its secrets."""

import hashlib
import itertools
import socket
import sqlite3
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from isthmus.protocol.federation import API_VERSION, COMPONENTS, ORIGIN
from lab.organisation import PORT, Organisation
from lab.recording import Recorder
from tests.federation.wire import (
    ANSWER_SECONDS,
    Answer,
    Connection,
    Credential,
    PlainConnection,
    client_context,
    request,
)
from tests.x509.forge import Forged, a_leaf

# What may change while nothing happens, or by the refusal itself: the log, what was noticed of callers, what runs out.
AUDIT = frozenset({"audit_log", "audit_links", "audit_seals", "audit_witnesses"})
NO_STATE = AUDIT | {"backend", "reported_rows", "remote_findings", "remote_instances", "nonces"}
# That a grant was used is written down a while after it was.
NOTED_LATER = frozenset({("grants", "last_used_at")})
JSON = "application/json"
CALL = "POST /federation/directory/get-user-by-handle"
OF_OURS = object()
# What backends that know each other say from time to time, whatever a test does.
BACKGROUND = ("/beat", "/get-versions", "/notice")
HEARTBEATS = ("heartbeat/beat", "heartbeat/get-versions")

Row = dict[str, Any]


@dataclass
class Party:
    """`recorders` are by the socket's name: `inward`, `outward`, `component-directory`, …"""

    site: Organisation
    recorders: dict[str, Recorder] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.site.domain

    @property
    def domain(self) -> str:
        return self.site.domain

    @property
    def infra(self) -> str:
        return self.site.infra

    @property
    def api(self) -> Any:
        return self.site.api

    def record(self) -> None:
        """Put a box in the way of every socket of this backend, before anybody has used it; again after a restart."""
        run = self.site.places.run
        names = ["inward", "outward", *(f"component-{name}" for name in sorted(COMPONENTS))]
        for name in names:
            if name not in self.recorders:
                self.recorders[name] = Recorder(f"{name} of {self.domain}", run / f"{name}.sock")
            self.recorders[name].place()

    def unrecord(self) -> None:
        """Take the boxes away, before the processes end that the sockets belong to."""
        for recorder in self.recorders.values():
            recorder.remove()

    @property
    def inward(self) -> Recorder:
        """Between the ingress and the Federator."""
        return self.recorders["inward"]

    @property
    def outward(self) -> Recorder:
        """Between the server and its Federator."""
        return self.recorders["outward"]

    def component(self, name: str = "directory") -> Recorder:
        """Between the Federator and a component of the server."""
        return self.recorders[f"component-{name}"]

    def component_calls(self) -> int:
        """How many calls of any component have been seen so far, but for those that nobody asks for."""
        boxes = [each for name, each in self.recorders.items() if name.startswith("component-")]
        return sum(not seen.path.endswith(BACKGROUND) for box in boxes for seen in box.since(0))

    def federator_calls(self) -> int:
        """How many requests the ingress has passed on to the Federator so far, likewise."""
        return sum(not seen.path.endswith(BACKGROUND) for seen in self.inward.since(0))

    # ---- what it proves itself with

    @property
    def credential(self) -> Credential:
        """The leaf that its Federator presents at this moment."""
        pair = self.site.places.federator_pair
        return Credential((pair / "chain.pem").read_bytes(), (pair / "key.pem").read_bytes())

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.credential.chain)

    @property
    def authority(self) -> Forged:
        """Its real CA, key and all."""
        folder = self.site.places.authority
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        return Forged(x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key)  # type: ignore[arg-type]

    def forged(self, issuer: Forged | None = None, **fields: Any) -> Forged:
        """A leaf as this backend would have it, issued by its own CA or by `issuer`; `fields` are those of
        `tests.x509.forge.Sheet`, and say only what is wrong with it."""
        now = datetime.now(UTC)
        usual: dict[str, Any] = {
            "names": (self.infra,),
            "uris": (self.instance_uri(),),
            "starts": now - timedelta(minutes=5),
            "ends": now + timedelta(hours=23),
        }
        return a_leaf(issuer or self.authority, **(usual | fields))

    def instance_uri(self, instance: UUID | None = None) -> str:
        return f"spiffe://{self.domain}/instance/{instance or uuid4()}"

    # ---- how it calls

    def connect(
        self,
        other: "Party",
        credential: Credential | Forged | object | None = OF_OURS,
        *,
        sni: str | None = "",
        port: int = PORT,
        tune: Callable[[ssl.SSLContext], object] | None = None,
    ) -> Connection:
        """A TLS connection from this host to the ingress of `other`, by default with our own leaf and the right SNI.
        A credential of None presents nothing; `tune` may change the context, its versions or ALPN."""
        shown = self.credential if credential is OF_OURS else credential
        if isinstance(shown, Forged):
            shown = Credential(shown.pem, shown.key_pem)
        assert shown is None or isinstance(shown, Credential)
        context = client_context(shown)
        if tune is not None:
            tune(context)
        raw = self.site.host.connect(other.site.host.ipv4, port)
        return Connection(raw, context, other.infra if sni == "" else sni)

    def headers(self, other: "Party", changed: Mapping[str, str | None] | None = None) -> list[tuple[str, str]]:
        """Those of a clean request; `changed` replaces, adds, and with None takes away."""
        usual = {"Host": f"{other.infra}:{PORT}", ORIGIN: self.domain, API_VERSION: "0", "Content-Type": JSON}
        return [(name, value) for name, value in {**usual, **(changed or {})}.items() if value is not None]

    def request(
        self,
        other: "Party",
        line: str = CALL,
        *,
        body: bytes = b'{"handle":"alice"}',
        more: Sequence[tuple[str, str]] = (),
        changed: Mapping[str, str | None] | None = None,
    ) -> bytes:
        """The bytes of a clean request, or of one that differs in what is given: `line` is method and path, `more`
        headers come last."""
        method, _, path = line.partition(" ")
        return request(method, path, headers=[*self.headers(other, changed), *more], body=body)

    def asks(self, other: "Party", data: bytes | None = None, credential: Any = OF_OURS, **how: Any) -> Answer:
        """One request over a connection of its own: a clean one, or `data`."""
        with self.connect(other, credential, **how) as connection:
            return connection.ask(self.request(other) if data is None else data)

    def calls(
        self,
        domain: str,
        component: str = "directory",
        rpc: str = "get-user-by-handle",
        *,
        body: bytes = b'{"handle":"alice"}',
        more: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """A call of a component of ours: what it writes to the outward socket, and what it gets."""
        headers = [("Host", "federator"), ("Content-Type", JSON), *more]
        data = request("POST", f"/rpc/{domain}/{component}/{rpc}", headers=headers, body=body)
        return over_socket(self.outward.path, data)

    def lookup(self, handle: str) -> Any:
        """What a user of ours asks for, by the REST API: `alice@b.example`; the response of httpx2."""
        return self.api.get("/directory/lookup", params={"handle": handle})

    # ---- what it holds

    def populate(self) -> None:
        """The users that every backend of the federation has."""
        self.add_user("alice", display_name=f"Alice of {self.site.name.upper()}")
        self.add_user("hidden", visibility="nobody")

    def add_user(self, handle: str, *, hidden_from: Sequence["Party"] = (), **fields: str) -> str:
        """A user, whom nobody of `hidden_from` may see; returns the id."""
        made = self.api.post("/users", json={"handle": handle} | fields).raise_for_status().json()
        for other in hidden_from:
            path = f"/users/{made['id']}/visibility/{other.domain}"
            self.api.put(path, json={"visibility": "nobody"}).raise_for_status()
        return str(made["id"])

    # ---- what it remembers

    def audit(self, after: int = 0) -> list[Row]:
        """The rows with a greater number, oldest first."""
        rows: list[Row] = []
        before: int | None = None
        while True:
            query = {"limit": 200} | ({} if before is None else {"before": before})
            items: list[Row] = self.api.get("/audit", params=query).raise_for_status().json()["items"]
            new = list(itertools.takewhile(lambda row: row["number"] > after, items))
            rows += new
            if len(new) < len(items) or len(items) < 200:
                return rows[::-1]
            before = items[-1]["number"]

    def denials(self, after: int = 0) -> list[Row]:
        """The rows of what was denied, but for heartbeats and for notices of ours that are sent again by and by."""
        return [row for row in self.audit(after) if row["outcome"] == "denied" and not is_background(row)]

    def last_row(self) -> int:
        """The number of the newest audit row."""
        items = self.api.get("/audit", params={"limit": 1}).raise_for_status().json()["items"]
        return items[0]["number"] if items else 0

    def state(self) -> dict[str, str]:
        """A checksum of each table that holds what this backend knows and has promised, the outbox included."""
        with closing(self._database()) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: _checksum(database, name) for name in sorted(tables) if name not in NO_STATE}

    def rows(self, query: str) -> list[Any]:
        """What a query finds in its database."""
        with closing(self._database()) as database:
            return database.execute(query).fetchall()

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.site.database}?mode=ro", uri=True, timeout=10)


def is_background(row: Row) -> bool:
    """Whether it is of a call that backends make by themselves."""
    subject = str(row["subject"])
    return subject.endswith(HEARTBEATS) or (
        str(row["action"]) == "federation.call_out" and subject.endswith("handshake/notice")
    )


def over_socket(path: Path, data: bytes) -> Answer:
    """Send these bytes to a unix socket and read the answer."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(ANSWER_SECONDS)
    sock.connect(str(path))
    with PlainConnection(sock) as connection:
        return connection.ask(data)


def _checksum(database: sqlite3.Connection, table: str) -> str:
    columns = [name for _, name, *_ in database.execute(f'PRAGMA table_info("{table}")')]
    told = ", ".join(f'"{name}"' for name in columns if (table, name) not in NOTED_LATER)
    rows: Iterator[Any] = database.execute(f'SELECT {told} FROM "{table}"')  # noqa: S608  # names out of the schema
    return hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()
