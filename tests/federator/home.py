"""The outward side of our own backend, whole: sockets, rows, snapshots and files are real, a test plays the server."""

import asyncio
import contextlib
import os
import socket
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from yarl import URL

from isthmus.federator import outward
from isthmus.federator.adapters.listening import BACKLOG, bind
from isthmus.federator.adapters.outward_socket import OutwardSocket
from isthmus.federator.health import Readiness
from isthmus.federator.pairs import NewestPair
from isthmus.federator.parts import Parts
from isthmus.federator.rows import QueuedRows
from isthmus.federator.settings import Settings
from isthmus.federator.snapshots import NewestSnapshot
from isthmus.protocol.federator import Entry, Limits, Nonce, Report, Row, Snapshot, Suspicion
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.places import Places
from isthmus.protocol.steady import SteadyClock
from lab.names_server import NamesServer, answers
from tests.federator.abroad import Ingress, a_real_authority, now_dates
from tests.x509.forge import Forged, a_leaf

LIMITS = Limits(50, 100, 10, 20, 32)
LOOKUP = "/rpc/b.example/directory/get-user-by-handle"
ALICE = b'{"handle":"alice"}'


class NoNonces:
    """The outward side claims none."""

    async def claim(self, nonce: Nonce) -> None:
        raise AssertionError(nonce)


def an_entry(authority: Forged | None, domain: str = "b.example", **fields: Any) -> Entry:
    plain = {
        "generation": 1,
        "state": "active",
        "direction": "both",
        "trust": "pinned",
        "infra_domains": [f"infra.{domain}"],
        "authorities": [] if authority is None else [b64encode(authority.der).decode()],
        "message_keys": {},
        "bundle_sequence": 1,
        "limits": LIMITS,
    }
    return Entry(domain=domain, **{**plain, **fields})


@dataclass(frozen=True)
class Answer:
    """What a component got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.problem.get("code", ""))


@dataclass
class Home:
    """A is a.example, reached at infra.a.example."""

    folder: Path
    names: NamesServer
    authority: Forged = field(default_factory=lambda: a_real_authority("A's CA"))
    reports: list[Report] = field(default_factory=list)
    generation: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    leaf: Forged | None = None
    lookup_clock: Callable[[], float] = time.monotonic

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Home"]:
        self.places = Places(self.folder)
        self.places.run.mkdir(mode=0o700, parents=True)
        self.places.message_key.parent.mkdir(mode=0o700, parents=True)
        self.message_key = MessageKey.generate()
        self.places.message_key.write_bytes(self.message_key.pem())
        self.renew()
        given = {"resolvers": [self.names.where], "allowed_private": ["127.0.0.0/8"], **self.settings}
        settings = Settings(str(self.folder), **given)
        self.clock = clock = SteadyClock()
        self.snapshots = NewestSnapshot()
        self.pairs = NewestPair(settings.pair, settings.infra_domain, clock)
        self.rows_queue = QueuedRows(self._report, clock)
        readiness = Readiness(self.snapshots, self.pairs, clock)
        parts = Parts(clock, self.snapshots, self.pairs, self.rows_queue, NoNonces(), readiness)
        self.outward = outward.build(parts, settings, self.lookup_clock)
        self.on_contact = parts.on_contact
        working = asyncio.create_task(self.rows_queue.work())
        try:
            async with contextlib.aclosing(self.outward), self._listening(parts):
                yield self
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _listening(self, parts: Parts) -> AsyncIterator[None]:
        sock = bind(self.places.outward, os.geteuid(), socket.SOCK_STREAM)
        server = OutwardSocket(parts, os.geteuid(), self.outward.side).server()
        listener = await asyncio.get_running_loop().create_unix_server(server, sock=sock, backlog=BACKLOG)
        connector = aiohttp.UnixConnector(str(self.places.outward), limit=0)
        async with aiohttp.ClientSession(connector=connector) as self.session:
            yield
        listener.close()
        server.pre_shutdown()
        await server.shutdown(1.0)

    def renew(self, **fields: Any) -> None:
        """A new leaf of our own, in the files where the Federator finds it."""
        leaf = a_leaf(self.authority, **now_dates(**fields))
        self.leaf = leaf
        folder = self.places.federator_pair
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chain.pem").write_bytes(leaf.pem)
        (folder / "key.pem").write_bytes(leaf.key_pem)
        if hasattr(self, "pairs"):
            self.pairs.look()

    def know(self, *entries: Entry, **fields: Any) -> None:
        """The server tells of these remotes, and of no others."""
        self.generation += 1
        plain = {
            "generation": self.generation,
            "domain": "a.example",
            "infra_domains": ["infra.a.example"],
            "strategy": "list",
            "entries": list(entries),
            "shared_roots": [],
            "own_authorities": [b64encode(self.authority.der).decode()],
            "versions": [0],
            "service": "isthmus-federator",
            "ports": [443, 8443],
            "bundle_sequence": 1,
        }
        self.snapshots.take(Snapshot(**{**plain, **fields}))

    def publish(self, domain: str, *ingresses: Ingress, ttl: int = 60) -> None:
        """SRV and address records for these ingresses, in the order of preference, under the names of their leaves."""
        srv = []
        for priority, ingress in enumerate(ingresses):
            host = f"infra{priority or ''}.{domain}"
            srv.append(f"{ttl} SRV {priority} 0 {ingress.port} {host}.")
            self.names.say(f"{host} A", *answers(f"{ttl} A {ingress.address}"))
        self.names.say(f"_isthmus-federator._tcp.{domain} SRV", *answers(*srv))

    async def call(
        self, path: str = LOOKUP, body: bytes = ALICE, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        given = {"Content-Type": "application/json", **(headers or {})}
        async with self.session.request(
            method, URL(f"http://federator{path}", encoded=True), data=body, headers=given
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def rows(self) -> list[Row]:
        """All audit rows so far, once those on their way have arrived."""
        await self.rows_queue.finish()
        return [row for report in self.reports for row in report.rows]

    async def one_row(self, reason: str) -> Row:
        """The only audit row since the last one that was asked for, which has this reason."""
        rows = await self.rows()
        self.reports.clear()
        assert [row.reason for row in rows] == [reason], rows
        (row,) = rows
        assert row.outcome == "denied"
        return row

    @property
    def fingerprint(self) -> str:
        """That of our present leaf, as a snapshot names it."""
        assert self.leaf is not None
        return b64encode(self.leaf.certificate.fingerprint(SHA256())).decode()

    @property
    def suspicions(self) -> list[Suspicion]:
        return [suspicion for report in self.reports for suspicion in report.suspicions]

    async def _report(self, report: Report) -> None:
        self.reports.append(report)


@contextlib.asynccontextmanager
async def at_home(folder: Path, **fields: Any) -> AsyncIterator[Home]:
    async with NamesServer() as names, Home(folder, names, **fields).running() as home:
        yield home
