"""The server's use cases on a real store, with a clock that tests turn and a memory of what was told to whom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from isthmus.domain.accounts import ALL_SCOPES
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.protocol import agent as wire
from isthmus.protocol.notice import Notice
from isthmus.server.adapters.passwords import Argon2Passwords
from isthmus.server.adapters.vault import FileVault
from isthmus.server.application import networks, peers
from isthmus.server.application.account_book import AccountBook
from isthmus.server.application.accounts import AccountService
from isthmus.server.application.agents import AgentService, Onlookers
from isthmus.server.application.bridge_memory import BridgeMemory
from isthmus.server.application.bulk import BulkService
from isthmus.server.application.caller import Caller
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.denials import DenialService
from isthmus.server.application.endpoints import EndpointService
from isthmus.server.application.enrollment import Enrolled, EnrollmentService
from isthmus.server.application.history import HistoryService
from isthmus.server.application.incidents import IncidentService
from isthmus.server.application.jumps import JumpWatch
from isthmus.server.application.keys import KeyService
from isthmus.server.application.liveness import LivenessService
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.application.networks import NetworkService
from isthmus.server.application.path_memory import PathMemory
from isthmus.server.application.paths import PathService
from isthmus.server.application.peer_steps import PeerSteps
from isthmus.server.application.peers import PeerService
from isthmus.server.application.sessions import SessionService
from isthmus.server.application.tally import Tally
from isthmus.server.application.templates import TemplateService
from isthmus.server.main import Fanout
from isthmus.server.ports import Store
from isthmus.server.records import AuditEntry, Change, Commit, Page
from isthmus.wireguard.keys import PrivateKey
from tests.builders import NOON, ULA
from tests.stores import POSTGRES

# Most rules are the same on both databases, whose adapter has a suite of its own; this is for the rest.
BOTH_DATABASES = pytest.mark.parametrize("backend_name", ["sqlite", POSTGRES])

ADA = Caller("user:ada", "request-1", "192.0.2.7", ALL_SCOPES)
ANYONE = Caller("anyone", "request-2", "192.0.2.8")
ALL = Page(limit=1000)


@dataclass
class TurnedClock:
    """Stands still until a test turns it."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def turn(self, by: timedelta) -> None:
        self.time += by

    def elapsed(self) -> float:
        """Seconds of a clock that never jumps."""
        return (self.time - NOON).total_seconds()


class CountedIds:
    """1, 2, 3 … as UUIDs."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> UUID:
        self._last += 1
        return UUID(int=self._last)


@dataclass
class Heard:
    """Every commit that listeners were told of."""

    commits: list[Commit] = field(default_factory=list)

    def changed(self, commit: Commit) -> None:
        self.commits.append(commit)


class Backend:
    """What `isthmus.server.main` puts together, without listeners."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.clock = TurnedClock()
        self.ids = CountedIds()
        self.heard = Heard()
        self.mesh = MeshMemory(store)
        self.notices: list[Notice] = []
        fanout = Fanout()
        self.incidents = IncidentService(store, self.clock, self.ids, fanout)
        self.sessions = SessionService(store, self.clock, self.ids, fanout)
        self.liveness = LivenessService(store, self.clock, self.notices.append)
        onlookers = Onlookers(self.liveness, self.incidents)
        self.agents = AgentService(store, self.clock, self.mesh, self.sessions, onlookers)
        self.keys = KeyService(store, self.clock, fanout, self.agents)
        self.memory = PathMemory(self.clock, self.clock.elapsed)
        self.endpoints = EndpointService(store, self.clock, fanout, self.mesh, self.memory)
        self.jumps = JumpWatch(store, self.clock, fanout, self.mesh, self.memory)
        self.paths = PathService(store, self.memory)
        self.crossings = CrossingWatch(store, self.clock, fanout)
        self.spans = BridgeMemory(self.clock)
        self.agents.on_beat += [self.endpoints.take, self.memory.take, self.spans.take]
        fanout.members = [
            self.mesh,
            self.incidents,
            self.agents,
            self.keys,
            self.liveness,
            self.memory,
            self.endpoints,
            self.spans,
            self.crossings,
            self.heard,
        ]
        self.listeners = fanout
        self.networks = NetworkService(store, self.clock, self.ids, fanout)
        vault = FileVault(folder / "vault.key")
        self.peers = PeerService(store, self.clock, self.ids, fanout, vault)
        self.bulk = BulkService(store, self.clock, fanout, PeerSteps(self.ids, vault))
        self.enrollment = EnrollmentService(store, self.clock, self.ids, fanout, self.incidents.report)
        self.accounts = AccountService(store, self.clock, self.ids, Argon2Passwords())
        self.account_book = AccountBook(store, self.clock, self.ids, Argon2Passwords())
        self.denials = DenialService(store, self.clock, Tally())
        self.templates = TemplateService(store, self.clock, self.ids)
        self.history = HistoryService(store, self.clock, fanout, keep=10_000)

    async def prepare(self) -> None:
        """What the first start of a server does for its networks."""
        async with self.store.transaction() as tx:
            if await tx.backend.ula() is None:
                await tx.backend.set_ula(ULA)

    async def network(self, name: str = "office", cidr_v4: str | None = "10.20.0.0/24") -> Network:
        return (await self.networks.create(ADA, networks.Draft(name, cidr_v4))).network

    async def peer(self, network: Network, name: str, kind: Kind = Kind.DYNAMIC, **fields: object) -> Peer:
        """A new peer; one of a kind with an agent is not enrolled yet."""
        return (await self.created(network, name, kind, **fields)).peer

    async def created(self, network: Network, name: str, kind: Kind = Kind.DYNAMIC, **fields: object) -> peers.Created:
        if kind is Kind.JUMP:
            fields = {"endpoint": "198.51.100.7:51820"} | fields
        return await self.peers.create(ADA, network.id, peers.Draft(name, kind, **fields))  # type: ignore[arg-type]

    async def enrolled(self, network: Network, name: str, kind: Kind = Kind.DYNAMIC, **fields: object) -> Peer:
        """A new peer whose agent has enrolled."""
        return (await self.enroll(await self.created(network, name, kind, **fields))).peer

    async def enroll(self, created: peers.Created) -> Enrolled:
        assert created.token is not None
        return await self.enrollment.enroll(ANYONE, created.token.text, a_public_key(), "host")

    async def beat(self, peer: Peer, **fields: Any) -> None:
        """A heartbeat of the peer's agent."""
        await self.agents.heartbeat(peer.id, wire.Heartbeat(self.agents.fresh_nonce(peer.id), 0, **fields))

    async def audit(self) -> list[AuditEntry]:
        """The audit log, oldest row first."""
        async with self.store.reading() as tx:
            return [row.entry for row in reversed(await tx.journal.audit_page(1000))]

    async def changes(self, network_id: NetworkId) -> list[Change]:
        async with self.store.reading() as tx:
            return await tx.journal.changes(network_id, 0, 1000)

    async def peers_of(self, network_id: NetworkId) -> list[Peer]:
        async with self.store.reading() as tx:
            return await tx.peers.of_network(network_id)

    async def peer_now(self, peer_id: PeerId) -> Peer:
        return (await self.peers.get(peer_id))[0]

    async def network_now(self, network_id: NetworkId) -> Network:
        return (await self.networks.get(network_id)).network

    async def static_text(self, peer_id: PeerId) -> str:
        return (await self.peers.config(ADA, peer_id)).text


def a_public_key() -> str:
    """A key that some host might have made just now."""
    return str(PrivateKey.generate().public())


def v4_of(peers_: Sequence[Peer]) -> list[str]:
    return [str(peer.addresses[0]) for peer in peers_]
