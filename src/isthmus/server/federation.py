"""The federation's part of the server: its sockets, use cases and chores, put together."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from isthmus.protocol.federation import COMPONENTS
from isthmus.protocol.places import Places
from isthmus.server.adapters.components.plane import ComponentApp, Ledger
from isthmus.server.adapters.control.plane import ControlPlane
from isthmus.server.adapters.http.deps import FederationServices
from isthmus.server.adapters.listeners import CannotListen, Listener, bind_unix
from isthmus.server.adapters.material import FileMaterial
from isthmus.server.application.audit_chain import LINK_SECONDS, ChainService
from isthmus.server.application.audit_witness import WitnessService
from isthmus.server.application.bridge_upkeep import BridgeUpkeep
from isthmus.server.application.certificates import CHORE_SECONDS, CertificateService
from isthmus.server.application.certificates import Ground as CertificateGround
from isthmus.server.application.components import Components
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.denials import DenialService
from isthmus.server.application.explain import ExplainService
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.federation_facts import FederationService
from isthmus.server.application.federator_reports import ReportService
from isthmus.server.application.findings import FindingService
from isthmus.server.application.gate import Gatekeeper
from isthmus.server.application.grant_repair import GrantRepair
from isthmus.server.application.grant_tokens import GrantTokens
from isthmus.server.application.grants import GrantService
from isthmus.server.application.grants import Ground as GrantGround
from isthmus.server.application.handshake import HandshakeComponent
from isthmus.server.application.held_grants import GrantsComponent
from isthmus.server.application.instances import InstanceService
from isthmus.server.application.invitations import InvitationService, Voice
from isthmus.server.application.kinds import Kinds
from isthmus.server.application.messages import MessageService
from isthmus.server.application.outbox import OutboxService, tell_bundle
from isthmus.server.application.overlays import OverlayService
from isthmus.server.application.pulse import PulseService
from isthmus.server.application.remotes import RemoteService
from isthmus.server.application.resources import ResourcesComponent
from isthmus.server.application.services import ServiceCatalogue
from isthmus.server.application.snapshots import Machine, SnapshotService
from isthmus.server.application.tally import Tally
from isthmus.server.background import Chore
from isthmus.server.bridging import Bridging
from isthmus.server.components import component_apps, component_chores, register_own
from isthmus.server.outward_ports import Examiner, Outward
from isthmus.server.ports import Clock, Ids, Store, Vault

PRUNE_SECONDS = 60.0
# It waits by itself until there is something to send.
OUTBOX_SECONDS = 0.01
UPKEEP_SECONDS = 0.2
CROSSING_SECONDS = 0.01
PULSE_SECONDS = 60.0
ACCEPT_SECONDS = 5.0
FINDING_SECONDS = 15.0
WITNESS_SECONDS = 1.0
STRANDED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything in the server stands on."""

    store: Store
    clock: Clock
    ids: Ids
    vault: Vault
    places: Places
    outward: Outward
    crossings: CrossingWatch
    machine: Machine = field(default_factory=Machine)
    kinds: Kinds = field(default_factory=Kinds)
    tally: Tally = field(default_factory=Tally)

    def ledger(self) -> Ledger:
        return Ledger(self.store, DenialService(self.store, self.clock, self.tally), self.tally, self.clock.now)


@dataclass(frozen=True, slots=True)
class Federation:
    """All parts that run. `changes` is what whoever alters the facts of the federation works through; `services` is
    what routes ask; `upkeep` must hear of every commit."""

    services: FederationServices
    changes: FederationChanges
    snapshots: SnapshotService
    reports: ReportService
    upkeep: BridgeUpkeep
    control: ControlPlane
    components: Mapping[str, ComponentApp]
    chores: tuple[Chore, ...]

    def serve_on(self, sockets: "Sockets") -> list[Listener]:
        """The listeners for `sockets`, each with what answers on it."""
        sockets.control.app = self.control
        for name, listener in sockets.components.items():
            listener.app = self.components[name]
        return [sockets.control, *sockets.components.values()]

    def close(self) -> None:
        """Send away who waits, so that nobody holds up the end."""
        self.snapshots.close()


def assemble_federation(ground: Ground, doctor: Examiner) -> Federation:
    store, clock, ids, outward = ground.store, ground.clock, ground.ids, ground.outward
    changes = FederationChanges(store)
    material = FileMaterial(ground.places)
    certificates = CertificateService(CertificateGround(store, clock, ids, changes, material))
    chain = ChainService(store, clock, material.found_message_key)
    snapshots = SnapshotService(store, clock, certificates, ground.vault, ground.machine)
    reports = ReportService(store, clock, ids, ground.tally)
    outbox, pulse, witness = assemble_post(ground, changes, certificates, reports)
    findings = FindingService(store, clock, ids)
    voice = Voice(certificates, outward, ground.vault, pulse, snapshots.until_applied)
    invitations = InvitationService(store, clock, ids, changes, voice)
    changes.listeners += [snapshots.changed, outbox.wake]
    instances = InstanceService(store, clock, ids, certificates)
    components = Components()
    register_own(components, ground.places, outward, certificates, witness)
    components.register("handshake", HandshakeComponent(ids, changes).endpoints())
    bridging = Bridging(store, clock, ids, changes, certificates)
    bridging.join(components, pulse, instances, ground.crossings)
    tokens = GrantTokens(ground.vault)
    gatekeeper = register_granted(components, ground, changes, tokens)
    return Federation(
        services=FederationServices(
            facts=FederationService(store, clock, changes, certificates),
            remotes=RemoteService(store, clock, ids, changes),
            invitations=invitations,
            messages=MessageService(store, clock, outbox.wake),
            findings=findings,
            witness=witness,
            certificates=certificates,
            bridges=bridging.service,
            instances=instances,
            overlays=OverlayService(store, clock, changes),
            doctor=doctor,
            grants=GrantService(GrantGround(store, clock, ids), changes, tokens, ground.kinds),
            catalogue=ServiceCatalogue(store, clock, ids, ground.crossings),
            explaining=ExplainService(store, clock),
        ),
        changes=changes,
        snapshots=snapshots,
        reports=reports,
        upkeep=bridging.upkeep,
        control=ControlPlane(snapshots, reports),
        components=component_apps(components, ground.places, ground.ledger(), gatekeeper),
        chores=(
            Chore("linking the audit log", LINK_SECONDS, chain.work),
            Chore("forgetting old nonces", PRUNE_SECONDS, reports.prune),
            Chore("keeping certificates up", CHORE_SECONDS, certificates.work),
            Chore("sending what must arrive at remotes", OUTBOX_SECONDS, outbox.work),
            Chore("keeping what is said of bridges up", UPKEEP_SECONDS, bridging.upkeep.work),
            Chore("heartbeats to remotes", PULSE_SECONDS, pulse.work),
            Chore("keeping the heads of audit logs of remotes", WITNESS_SECONDS, witness.work),
            Chore("closing what has expired", CROSSING_SECONDS, ground.crossings.work),
            Chore("ending instances whose peers are gone", STRANDED_SECONDS, instances.work),
            Chore("clearing findings", FINDING_SECONDS, findings.work),
            Chore("telling that invitations were accepted", ACCEPT_SECONDS, invitations.work),
            *component_chores(store, clock, gatekeeper),
        ),
    )


def assemble_post(
    ground: Ground, changes: FederationChanges, certificates: CertificateService, reports: ReportService
) -> tuple[OutboxService, PulseService, WitnessService]:
    """What carries our words to remotes, and finds out what they have heard."""
    outbox = OutboxService(changes, ground.clock, ground.outward)
    pulse = PulseService(changes, ground.clock, ground.ids, certificates, ground.outward)
    witness = WitnessService(ground.store, ground.clock, ground.ids, ground.outward)
    reports.on_contact.append(outbox.wake)
    outbox.on_gap.append(pulse.repair)
    pulse.on_heads.append(witness.hear)
    pulse.on_grants.append(GrantRepair(changes, ground.clock, ground.outward).follow)
    certificates.on_bundle.append(partial(tell_bundle, ground.clock))
    return outbox, pulse, witness


def register_granted(
    components: Components, ground: Ground, changes: FederationChanges, tokens: GrantTokens
) -> Gatekeeper:
    """Register what grants open, and how they are told; what comes back decides about every call."""
    components.register("grants", GrantsComponent(changes).endpoints())
    components.register("resources", ResourcesComponent(ground.kinds).endpoints())
    return Gatekeeper(tokens)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound before anything else happens, so that a second server on the same folder is told at once."""

    control: Listener
    components: Mapping[str, Listener]


def bind_sockets(data_dir: Path, bound: contextlib.ExitStack) -> Sockets:
    """Make the folder of the sockets for this user alone, and bind them; `bound` closes them."""
    places = Places(data_dir)
    try:
        places.run.mkdir(mode=0o700, exist_ok=True)
        places.run.chmod(0o700)
    except OSError as error:
        raise CannotListen(f"the folder {places.run} cannot be made ({error.strerror})") from None

    def listener(path: Path) -> Listener:
        made = Listener(bind_unix(path), str(path))
        bound.callback(made.close)
        return made

    return Sockets(listener(places.control), {name: listener(places.component(name)) for name in sorted(COMPONENTS)})
