"""The bridges' part of the server, put together."""

from isthmus.server.application.bridge_component import BridgesComponent
from isthmus.server.application.bridge_upkeep import BridgeUpkeep
from isthmus.server.application.bridge_words import Words
from isthmus.server.application.bridges import BridgeService
from isthmus.server.application.certificates import CertificateService
from isthmus.server.application.components import Components
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.federation_changes import FederationChanges
from isthmus.server.application.instances import InstanceService
from isthmus.server.application.pulse import PulseService
from isthmus.server.ports import Clock, Ids, Store


class Bridging:
    """`service` is what routes ask, `upkeep` must hear of every commit and do its turns."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, changes: FederationChanges, certificates: CertificateService
    ) -> None:
        self._changes = changes
        self._words = Words(certificates)
        self.service = BridgeService(store, clock, ids, changes, self._words)
        self.upkeep = BridgeUpkeep(store, clock, changes, self.service, self._words)

    def join(
        self, components: Components, pulse: PulseService, instances: InstanceService, crossings: CrossingWatch
    ) -> None:
        """Answer what remotes say of bridges, say again what heartbeats show that they have not heard, and have the
        crossings follow."""
        self._changes.followers.append(crossings.follow)
        self._changes.listeners.append(self.upkeep.woken)
        instances.on_addresses += [crossings.look_at, self.upkeep.look_at]
        pulse.on_answer.append(self.upkeep.say_again)
        components.register("bridges", BridgesComponent(self._changes, self._words).endpoints())
