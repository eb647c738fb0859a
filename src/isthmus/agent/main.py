"""The agent's commands, as the command line calls them. On a stop the tunnel stays up; `leave` takes it down."""

import asyncio
import os
import random
import signal
from pathlib import Path

import msgspec
import structlog

from isthmus.agent import contact, facts
from isthmus.agent.adapters.changes import HostChanges
from isthmus.agent.adapters.control_plane import ServerConnection, check_server, tls_context
from isthmus.agent.adapters.control_plane import enroll as ask_to_enroll
from isthmus.agent.adapters.echo import Echo
from isthmus.agent.apply import Applier
from isthmus.agent.errors import AgentBusy, AlreadyEnrolled, SessionEnded, Unreachable
from isthmus.agent.instance import InstanceLeaf, Keeper, now
from isthmus.agent.loop import Agent, Contact
from isthmus.agent.pace import Pace, race
from isthmus.agent.plan import Plan
from isthmus.agent.roads import Roads
from isthmus.agent.routing import slot_of
from isthmus.agent.settings import Settings
from isthmus.agent.state import Applied, Identity, StateDir
from isthmus.agent.status import Status, status_of
from isthmus.agent.wiring import applier_for
from isthmus.agent.worker import Worker
from isthmus.domain.federation.certificate import LeafFacts
from isthmus.protocol.agent import EnrollAnswer, EnrollRequest

log = structlog.get_logger()

# Changes come in bursts, and on some hosts without end: wait for the burst, and look this often at most.
SETTLE_SECONDS = 1.0
REST_SECONDS = 10.0
# How long a running agent may take until it has the leaf that somebody asked for.
AGENT_SECONDS = 20.0
LOOK_SECONDS = 0.1


async def enroll(settings: Settings, server: str, token: str) -> EnrollAnswer:
    """Make this host's key, trade `token` for an identity and keep both.

    Should the answer get lost, a repeat uses the same key, which the server lets pass for some minutes. A host whose
    session is over begins anew, with another key.
    Raises `AlreadyEnrolled`, `EnrollmentRefused`, `InsecureServer`, `Unreachable` or `InvalidSettings`.
    """
    url = check_server(server, allow_http=settings.allow_http)
    context = tls_context(url, settings.ca_file)
    state = StateDir(Path(settings.state_dir))
    state.make()
    with state.locked():
        present = state.identity()
        if present is not None and not present.ended:
            raise AlreadyEnrolled(present.peer_name, present.network_name)
        if present is not None:
            # The tunnel went down with the session: nothing is left of it but these files.
            state.empty()
        request = EnrollRequest(
            token=token,
            public_key=str(state.make_private_key().public()),
            hostname=facts.hostname(),
            machine_id=facts.machine_id(),
            agent_version=facts.AGENT_VERSION,
        )
        answer = await ask_to_enroll(url, context, request)
        state.save_first(Applied(answer.revision, answer.config))
        state.save_identity(
            Identity(
                server=url,
                peer_id=answer.peer.id,
                peer_name=answer.peer.name,
                network_id=answer.network.id,
                network_name=answer.network.name,
                session_token=answer.session_token,
            )
        )
        return answer


async def instance(settings: Settings) -> LeafFacts:
    """Ask for an instance on this host and its leaf, now. An agent that runs here does that, and renews it later.

    Raises `InstanceRefused`, `NotEnrolled`, `SessionEnded` or `Unreachable`. Whatever comes of it, the agent that runs
    here asks again by itself.
    """
    state = StateDir(Path(settings.state_dir))
    identity, _ = state.enrolled()
    leaf = InstanceLeaf(state.instance)
    leaf.want()
    url = check_server(identity.server, allow_http=settings.allow_http)
    try:
        with state.locked():
            await leaf.renew(ServerConnection(url, identity.session_token, tls_context(url, settings.ca_file)))
    except AgentBusy:
        await _renewed_by_the_agent(leaf)
    made = leaf.present()
    if made is None:
        raise Unreachable(f"there is no leaf in {leaf.folder} yet: the log of the running agent says why")
    return made


async def _renewed_by_the_agent(leaf: InstanceLeaf) -> None:
    for _ in range(round(AGENT_SECONDS / LOOK_SECONDS)):
        if leaf.left(now()):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def run(settings: Settings) -> None:
    """Keep the tunnel as the server wants it until SIGTERM or SIGINT, which leave it up.

    The last valid config is applied before the server is asked. Raises `SessionEnded` once the server says that this
    host has no peer any more, with the tunnel down; `NotEnrolled`, `ForeignInterface`, `WireGuardMissing`.
    """
    state = StateDir(Path(settings.state_dir))
    identity, _ = state.enrolled()
    if identity.ended:
        raise SessionEnded
    url = check_server(identity.server, allow_http=settings.allow_http)
    with state.locked():
        changes = HostChanges()
        applier = applier_for(settings, state, changes)
        context, mark = tls_context(url, settings.ca_file), slot_of(applier.interface).mark
        server = ServerConnection(url, identity.session_token, context, mark)
        log.info("agent started", interface=applier.interface, peer=identity.peer_name, server=url)
        try:
            with changes:
                await _serve(settings, state, applier, server, changes)
        except SessionEnded as ended:
            log.error("taking the tunnel down", reason=str(ended))
            await applier.take_down()
            state.save_identity(msgspec.structs.replace(identity, ended=True, session_token=""))
            raise
        finally:
            contact.remove(Path(settings.runtime_dir), applier.interface)


async def plan(settings: Settings) -> Plan:
    """What `run` would do to this host now, before it hears of the server: for the last config that was applied here,
    or the one that came with the enrollment."""
    state = StateDir(Path(settings.state_dir))
    state.enrolled()
    applier = applier_for(settings, state)
    wanted = applier.applied or applier.first
    return Plan(()) if wanted is None else await applier.plan(wanted)


async def status(settings: Settings) -> Status:
    """This host's identity, interface and neighbours, and what the running agent, if any, knows of the server."""
    state = StateDir(Path(settings.state_dir))
    identity, _ = state.enrolled()
    applier = applier_for(settings, state)
    host, wireguard = await applier.observe()
    note = contact.read(Path(settings.runtime_dir), applier.interface)
    return status_of(identity, applier, (host, wireguard.kind), note)


async def leave(settings: Settings) -> Plan:
    """Take everything of ours off this host, state included; returns what was undone. The server is not told.

    Nothing is left to do on a host that is not enrolled. Raises `AgentBusy` while an agent runs.
    """
    state = StateDir(Path(settings.state_dir))
    if not state.path.exists():
        return Plan(())
    with state.locked():
        done = Plan(())
        if state.identity() is not None:
            applier = applier_for(settings, state)
            done = await applier.take_down()
            contact.remove(Path(settings.runtime_dir), applier.interface)
        state.clear()
        return done


async def _serve(
    settings: Settings, state: StateDir, applier: Applier, server: ServerConnection, changes: HostChanges
) -> None:
    pace = Pace(random.SystemRandom().uniform)
    worker = Worker(applier, pace)
    probes = Echo()
    roads = Roads(applier, pace, probes)

    def note(made: Contact) -> None:
        contact.write(
            Path(settings.runtime_dir),
            applier.interface,
            contact.Contact(
                pid=os.getpid(),
                reachable=made.by is not None,
                by=made.by,
                last=None if made.last is None else int(made.last),
                desired_revision=worker.desired_revision,
                error=made.error,
                incident=made.incident,
            ),
        )

    note(Contact())
    # What makes every config impossible refuses the start, before the server is troubled.
    await applier.observe()
    worker.recheck()
    try:
        with probes:
            agent = Agent(server, worker, pace, note, state.save_session_token)
            keeper = Keeper(InstanceLeaf(state.instance), server, pace)
            await race(agent.run(), roads.run(), keeper.run(), _keep_true(worker, changes), _stopped())
    finally:
        await applier.settle()


async def _keep_true(worker: Worker, changes: HostChanges) -> None:
    """Have the config checked after a change of the host, such as a firewall that was loaded anew."""
    while True:
        await changes.wait()
        await asyncio.sleep(SETTLE_SECONDS)
        worker.recheck()
        await asyncio.sleep(REST_SECONDS)


async def _stopped() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    log.info("agent stops; the tunnel stays up")
