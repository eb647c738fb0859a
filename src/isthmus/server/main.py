"""Starting and stopping the server: settings, store, listeners, in this order, and each failure in one sentence."""

import asyncio
import contextlib
import gc
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from isthmus import tracing
from isthmus.domain.accounts import ALL_SCOPES
from isthmus.domain.mesh.network import ula_prefix
from isthmus.protocol.places import Places
from isthmus.server.adapters.agents.errands import Errands
from isthmus.server.adapters.agents.streams import StreamHub
from isthmus.server.adapters.api.app import build_app
from isthmus.server.adapters.clock import SystemClock, TimeOrderedIds
from isthmus.server.adapters.db.hosts import hosts_of
from isthmus.server.adapters.db.store import open_store
from isthmus.server.adapters.events.hub import EventHub
from isthmus.server.adapters.exposition import Exposition
from isthmus.server.adapters.http.access import UnlistedRoute
from isthmus.server.adapters.http.deps import Services
from isthmus.server.adapters.http.edge import Visitors
from isthmus.server.adapters.http.traced import Traced
from isthmus.server.adapters.listeners import CannotListen, Listener, Watch, bind_tcp, bind_unix, check_tls, serve
from isthmus.server.adapters.logs import configure_logs
from isthmus.server.adapters.oidc.provider import OidcProvider
from isthmus.server.adapters.outward import OutwardSocket
from isthmus.server.adapters.passwords import Argon2Passwords
from isthmus.server.adapters.ui import WebUi
from isthmus.server.adapters.vault import FileVault, VaultUnusable
from isthmus.server.application.account_book import AccountBook
from isthmus.server.application.accounts import AccountService
from isthmus.server.application.agents import AgentService, Onlookers
from isthmus.server.application.audit_log import AuditLogService
from isthmus.server.application.bridge_memory import BridgeMemory
from isthmus.server.application.bridge_status import BridgeStatusService
from isthmus.server.application.bulk import BulkService
from isthmus.server.application.caller import Caller
from isthmus.server.application.calls import TableDiffers
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.cuts import CutService
from isthmus.server.application.denials import DenialService
from isthmus.server.application.directory import DirectoryService, LookupService
from isthmus.server.application.endpoints import EndpointService
from isthmus.server.application.enrollment import EnrollmentService
from isthmus.server.application.figures import FigureService
from isthmus.server.application.history import HistoryService
from isthmus.server.application.identities import IdentityService, Way
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
from isthmus.server.application.snapshots import Machine
from isthmus.server.application.tally import Tally
from isthmus.server.application.templates import TemplateService
from isthmus.server.application.topology import Sources, TopologyService
from isthmus.server.background import Chore, repeating
from isthmus.server.extensions import ExtensionUnusable, kinds_with
from isthmus.server.federation import Federation, Ground, Sockets, assemble_federation, bind_sockets
from isthmus.server.greeting import greet
from isthmus.server.ports import Store, StoreUnavailable
from isthmus.server.records import Commit
from isthmus.server.settings import Settings, SettingsRefused, listen_address, load
from isthmus.tracing import TracingUnusable

log = structlog.get_logger()

FLUSH_SECONDS = 1.0
ENDPOINT_SECONDS = 0.25
WATCH_SECONDS = 1.0
LOOK_SECONDS = 1.0
LIVENESS_SECONDS = 2.0
USE_SECONDS = 5.0
CUT_SECONDS = 1.0
PRUNE_SECONDS = 60.0
YOUNG_OBJECTS = 10_000


def run(config: Path | None = None, given: Mapping[str, Any] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit code; what stops a start is one sentence on standard error."""
    try:
        settings = load(config, given or {}, os.environ)
        configure_logs(settings.log_level)
        prepare_folder(settings.data_dir)
        # What was imported stays: no collection has to walk over it again.
        gc.freeze()
        with tracing.sending("server"):
            uvloop.run(_run(settings))
    except (
        SettingsRefused,
        StoreUnavailable,
        CannotListen,
        VaultUnusable,
        FolderUnusable,
        ExtensionUnusable,
        TableDiffers,
        UnlistedRoute,
        TracingUnusable,
    ) as reason:
        sys.stderr.write(f"isthmus server: {reason}\n")
        return 1
    return 0


class FolderUnusable(Exception):
    """The data folder cannot be made or written to, or holds half of a backend."""


def prepare_folder(folder: Path) -> None:
    """Make the data folder for this user alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_whole(folder)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        remedy = "choose another one with --data-dir or ISTHMUS_DATA_DIR"
        raise FolderUnusable(f"the data folder {folder} cannot be written to ({error.strerror}): {remedy}") from None


def check_whole(folder: Path) -> None:
    if Places(folder).restoring.exists():
        raise FolderUnusable(
            f"a restore into {folder} is under way or was cut short: wait for it, or delete all that is in the folder "
            "and restore again"
        )


class Fanout:
    """Tells everybody who listens of a commit, memory first, so that who is woken reads the new state."""

    def __init__(self) -> None:
        self.members: list[Any] = []

    def changed(self, commit: Commit) -> None:
        for member in self.members:
            member.changed(commit)


async def _run(settings: Settings) -> None:
    with contextlib.ExitStack() as bound:
        listeners = bind(settings, bound)
        sockets = bind_sockets(settings.data_dir, bound)
        try:
            store = await open_store(settings.database)
        except ValueError as error:
            raise SettingsRefused(f"database_url: {error}") from None
        try:
            await serve_store(settings, store, listeners, sockets)
        finally:
            await store.close()


def bind(settings: Settings, bound: contextlib.ExitStack) -> list[Listener]:
    """All listeners, bound before anything else happens, so a busy port is told at once."""
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = (settings.tls_certificate, settings.tls_key)
        check_tls(*tls)
    people = Visitors.ALL if settings.agent_listen is None else Visitors.PEOPLE
    listeners = [Listener(bind_tcp(listen_address(settings.listen)), settings.listen, people, tls)]
    if settings.agent_listen is not None:
        sock = bind_tcp(listen_address(settings.agent_listen))
        listeners.append(Listener(sock, settings.agent_listen, Visitors.AGENTS, tls))
    listeners.append(Listener(bind_unix(settings.local_socket), str(settings.local_socket), local=True))
    for listener in listeners:
        bound.callback(listener.close)
    return listeners


async def serve_store(settings: Settings, store: Store, listeners: list[Listener], sockets: Sockets) -> None:
    assembled = assemble(settings, store)
    services = assembled.services
    app = build_app(services, assembled.streams, assembled.events, settings.origins)
    password = await first_start(store, services)
    # What was imported and built stays for good: looking through it again and again would stall the loop.
    gc.collect()
    gc.freeze()
    # Nearly all garbage is freed by counting references; with the default of 700, agents that connect cause one look
    # after the other.
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    greet(settings, password)
    stop = stop_event()
    chores = (
        Chore("storing what agents reported of endpoints", ENDPOINT_SECONDS, services.endpoints.work),
        Chore("the watch over jump peers", WATCH_SECONDS, services.jumps.work),
        Chore("looking for old keys and session tokens", LOOK_SECONDS, assembled.streams.look),
        Chore("the look for peers that fell silent", LIVENESS_SECONDS, services.liveness.tick),
        Chore("noting by which grants packets passed", USE_SECONDS, services.bridge_status.note_use),
        Chore("telling of connections that were cut", CUT_SECONDS, assembled.cuts.work),
        Chore("forgetting old revisions", PRUNE_SECONDS, services.history.prune),
        *assembled.federation.chores,
    )
    listeners = [*listeners, *assembled.federation.serve_on(sockets)]
    async with (
        contextlib.aclosing(assembled.outward),
        contextlib.aclosing(assembled.provider) if assembled.provider else contextlib.nullcontext(),
        flushing(services.agents),
        opening(services.incidents),
        repeating(*chores),
    ):
        await serve(Traced(WebUi(app)), listeners, stop, assembled.close_streams, assembled.watch)
    log.info("stopped")


@dataclass(frozen=True, slots=True)
class Assembled:
    """The use cases, and who holds connections open."""

    services: Services
    streams: StreamHub
    events: EventHub
    federation: Federation
    outward: OutwardSocket
    watch: Watch
    cuts: CutService
    provider: OidcProvider | None

    def close_streams(self) -> None:
        self.streams.close_all()
        self.events.close_all()
        self.federation.close()


def assemble(settings: Settings, store: Store) -> Assembled:
    """Every use case with its ports."""
    clock, ids, fanout, tally = SystemClock(), TimeOrderedIds(), Fanout(), Tally()
    mesh = MeshMemory(store)
    incidents = IncidentService(store, clock, ids, fanout)
    sessions = SessionService(store, clock, ids, fanout)
    events = EventHub(store, clock)
    store.on_written.append(events.written)
    liveness = LivenessService(store, clock, events.tell)
    agents = AgentService(store, clock, mesh, sessions, Onlookers(liveness, incidents))
    keys = KeyService(store, clock, fanout, agents)
    hub = StreamHub(agents, mesh, Errands(keys, sessions, mesh))
    paths = PathMemory(clock)
    endpoints = EndpointService(store, clock, fanout, mesh, paths)
    # In this order: who sees what is news compares it with what is in memory.
    spans = BridgeMemory(clock)
    agents.on_beat += [endpoints.take, paths.take, spans.take]
    crossings = CrossingWatch(store, clock, fanout)
    fanout.members = [mesh, incidents, agents, keys, liveness, paths, endpoints, spans, hub, events, crossings]
    vault, places = FileVault(settings.data_dir / "vault.key"), Places(settings.data_dir)
    outward = OutwardSocket(*(each.outward for each in places.of_replicas(settings.replicas)))
    kinds, machine = kinds_with(settings.extensions), Machine(hosts_of(settings.database), settings.replicas)
    ground = Ground(store, clock, ids, vault, places, outward, crossings, machine, kinds, tally)
    federation = assemble_federation(ground, outward)
    fanout.members.append(federation.upkeep)
    passwords = Argon2Passwords()
    accounts, provider = AccountService(store, clock, ids, passwords), provider_of(settings, clock)
    found = Sources(agents, liveness, PathService(store, paths), BridgeStatusService(store, clock, agents, hub, spans))
    services = Services(
        store=store,
        networks=NetworkService(store, clock, ids, fanout, settings.domain_suffix),
        peers=PeerService(store, clock, ids, fanout, vault),
        history=HistoryService(store, clock, fanout, settings.history_revisions),
        templates=TemplateService(store, clock, ids),
        bulk=BulkService(store, clock, fanout, PeerSteps(ids, vault)),
        enrollment=EnrollmentService(store, clock, ids, fanout, incidents.report),
        accounts=accounts,
        account_book=AccountBook(store, clock, ids, passwords),
        identities=IdentityService(store, clock, ids, accounts, way_of(settings, provider)),
        agents=agents,
        incidents=incidents,
        keys=keys,
        sessions=sessions,
        liveness=liveness,
        denials=DenialService(store, clock, tally),
        audit_log=AuditLogService(store),
        presence=hub,
        paths=found.paths,
        bridge_status=found.bridges,
        topology=TopologyService(store, clock, found),
        endpoints=endpoints,
        jumps=JumpWatch(store, clock, fanout, mesh, paths),
        directory=DirectoryService(store, clock, ids),
        lookups=LookupService(store, outward),
        federation=federation.services,
        exposition=Exposition(FigureService(store, clock, liveness, federation.services.certificates), tally),
    )
    cuts = CutService(services.denials)
    return Assembled(services, hub, events, federation, outward, watch_of(settings, tally, cuts), cuts, provider)


def watch_of(settings: Settings, tally: Tally, cuts: CutService) -> Watch:
    return Watch(tally, cuts.note, settings.connections_per_source)


def provider_of(settings: Settings, clock: SystemClock) -> OidcProvider | None:
    oidc = settings.oidc
    return None if oidc is None else OidcProvider(oidc, oidc.secret(), clock)


def way_of(settings: Settings, provider: OidcProvider | None) -> Way | None:
    oidc = settings.oidc
    return None if oidc is None or provider is None else Way(provider, oidc.name, oidc.role, oidc.roles)


async def first_start(store: Store, services: Services) -> str | None:
    """Draw the backend's address range and make the administrator, once; returns the password to show."""
    async with store.transaction() as tx:
        if await tx.backend.ula() is None:
            await tx.backend.set_ula(ula_prefix(secrets.randbits(40)))
    starting = Caller("local", "start", scopes=ALL_SCOPES)
    await services.history.begin(starting)
    return await services.accounts.first_admin(starting)


@contextlib.asynccontextmanager
async def flushing(agents: AgentService) -> AsyncIterator[None]:
    """Write agents' reports once a second, and once more at the end."""

    async def loop() -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await agents.flush()
            except StoreUnavailable as error:
                log.error("reports could not be stored and are kept in memory", error=str(error))
            except Exception as error:  # a defect in one batch must not end the storing of all later ones
                log.error("storing reports broke", exc_info=error)

    task = asyncio.create_task(loop())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await agents.flush()


@contextlib.asynccontextmanager
async def opening(incidents: IncidentService) -> AsyncIterator[None]:
    """Open the incidents that were reported, beside the calls that reported them."""
    task = asyncio.create_task(incidents.work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
