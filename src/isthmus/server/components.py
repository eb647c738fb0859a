"""The components' part of the server: what answers the calls that the own Federator has admitted."""

from collections.abc import Mapping
from functools import partial

from isthmus.protocol.places import Places
from isthmus.server.adapters.components.contexts import Gate
from isthmus.server.adapters.components.plane import ComponentApp, Ledger
from isthmus.server.adapters.instances import LeafInstances
from isthmus.server.application.audit_witness import WitnessService
from isthmus.server.application.components import Components
from isthmus.server.application.directory import DirectoryComponent
from isthmus.server.application.effects import Effects, forget_answers
from isthmus.server.application.gate import Gatekeeper
from isthmus.server.application.heartbeat import HeartbeatComponent
from isthmus.server.background import Chore
from isthmus.server.federation_ports import KnowsTrust
from isthmus.server.outward_ports import Outward
from isthmus.server.ports import Clock, Store

FORGET_SECONDS = 60.0
USE_SECONDS = 15.0


def register_own(
    components: Components, places: Places, outward: Outward, trust: KnowsTrust, witness: WitnessService
) -> None:
    """Register `directory` and `heartbeat`."""
    components.register("directory", DirectoryComponent(LeafInstances(places)).endpoints())
    components.register("heartbeat", HeartbeatComponent(outward, trust, witness).endpoints())


def component_apps(
    components: Components, places: Places, ledger: Ledger, gatekeeper: Gatekeeper
) -> Mapping[str, ComponentApp]:
    """What answers on the socket of each component. Raises `TableDiffers` where a call of the table has no endpoint."""
    effects = Effects(ledger.store, components.complete(), gatekeeper)
    return {
        name: ComponentApp(name, Gate(name, places.context_key(name)), effects, ledger) for name in components.endpoints
    }


def component_chores(store: Store, clock: Clock, gatekeeper: Gatekeeper) -> tuple[Chore, ...]:
    return (
        Chore("forgetting old answers to remotes", FORGET_SECONDS, partial(forget_answers, store, clock)),
        Chore("noting when grants were used", USE_SECONDS, partial(gatekeeper.flush, store)),
    )
