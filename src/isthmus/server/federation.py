"""The federation's part of the server: its sockets, use cases and chores, put together."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.protocol.places import Places
from isthmus.server.adapters.control.plane import ControlPlane
from isthmus.server.adapters.http.edge import App
from isthmus.server.adapters.listeners import CannotListen, Listener, bind_unix
from isthmus.server.application.components import Components
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.federator_reports import ReportService
from isthmus.server.application.snapshots import SnapshotService
from isthmus.server.background import Chore
from isthmus.server.components import component_apps, component_chores, register_own
from isthmus.server.federation_ports import OwnTrust
from isthmus.server.outward_ports import Outward
from isthmus.server.ports import Clock, Ids, Store, Vault

PRUNE_SECONDS = 60.0
SERVED = ("directory", "heartbeat")
"""The components that have a socket: those that are registered below."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything in the server stands on."""

    store: Store
    clock: Clock
    ids: Ids
    vault: Vault
    places: Places
    outward: Outward


@dataclass(frozen=True, slots=True)
class Federation:
    """All parts that run. `changes` is what whoever alters the facts of the federation works through."""

    changes: FederationChanges
    snapshots: SnapshotService
    reports: ReportService
    control: ControlPlane
    components: Mapping[str, App]
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


class NoCertificates:
    """Stands where the CA will: nothing asks for it before federation is set up."""

    async def trust(self) -> OwnTrust:
        raise NotImplementedError


def assemble_federation(ground: Ground) -> Federation:
    certificates = NoCertificates()
    store, clock = ground.store, ground.clock
    changes = FederationChanges(store)
    snapshots = SnapshotService(store, certificates, ground.vault)
    changes.listeners.append(snapshots.changed)
    reports = ReportService(store, clock, ground.ids)
    components = Components()
    register_own(components, ground.places, ground.outward, certificates)
    return Federation(
        changes=changes,
        snapshots=snapshots,
        reports=reports,
        control=ControlPlane(snapshots, reports),
        components=component_apps(components, ground.places, store, clock),
        chores=(
            Chore("forgetting old nonces", PRUNE_SECONDS, reports.prune),
            *component_chores(store, clock),
        ),
    )


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

    return Sockets(listener(places.control), {name: listener(places.component(name)) for name in SERVED})
