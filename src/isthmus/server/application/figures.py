"""The figures of a backend at one moment, for whoever watches over it: numbers of things, never the things."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from isthmus.domain.federation.bridge import State as BridgeState
from isthmus.domain.mesh.incident import Type
from isthmus.domain.mesh.ipam import Capacity
from isthmus.domain.mesh.liveness import State
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind
from isthmus.server.application import addressing
from isthmus.server.application.bridges import shown
from isthmus.server.application.certificates import CertificateService
from isthmus.server.application.liveness import LivenessService
from isthmus.server.ports import Clock, Store, Transaction

IN_USE = frozenset({"current", "next", "past", "issued"})


@dataclass(frozen=True, slots=True)
class Figures:
    """`bridges` are those that are not revoked, by their state here and whether anything may pass. `outbox` are waiting
    messages by remote and whether the remote has refused them for good. `certificates` tells, by kind and purpose, when
    the first one ends that is in use. `findings` are open ones by kind."""

    peers: Mapping[Kind, int]
    agents: Mapping[State, int]
    networks: Sequence[tuple[Network, Sequence[Capacity]]]
    incidents: Mapping[Type, int]
    bridges: Mapping[tuple[str, bool], int]
    grants: int
    held_grants: int
    findings: Mapping[str, int]
    outbox: Mapping[tuple[str, bool], int]
    audit_rows: int
    certificates: Mapping[tuple[str, str], datetime]


class FigureService:
    def __init__(self, store: Store, clock: Clock, liveness: LivenessService, certificates: CertificateService) -> None:
        self._store = store
        self._clock = clock
        self._liveness = liveness
        self._certificates = certificates

    async def read(self) -> Figures:
        """All of them from one state of the store, except certificates, which are files too."""
        certificates = await self._ends()
        now = self._clock.now()
        async with self._store.reading() as tx:
            peers, held = await tx.totals.peers(), await tx.totals.held()
            networks = await tx.networks.all()
            incidents = await tx.totals.open_incidents()
            return Figures(
                peers={kind: peers.get((kind, True), 0) + peers.get((kind, False), 0) for kind in Kind},
                agents=self._agents(peers),
                networks=[(each, addressing.capacity_of(each, held.get(each.id, {}))) for each in networks],
                incidents={kind: incidents.get(kind, 0) for kind in Type},
                bridges=await _bridges(tx, now),
                grants=await tx.totals.live_grants(now),
                held_grants=await tx.totals.held_grants(now),
                findings=await tx.totals.open_findings(),
                outbox=await tx.totals.outbox(),
                audit_rows=await tx.chain.last_number(),
                certificates=certificates,
            )

    def _agents(self, peers: Mapping[tuple[Kind, bool], int]) -> Mapping[State, int]:
        kinds = [kind for kind in Kind if kind.has_agent]
        enrolled, awaited = (sum(peers.get((kind, has_key), 0) for kind in kinds) for has_key in (True, False))
        return self._liveness.agents(enrolled, awaited)

    async def _ends(self) -> dict[tuple[str, str], datetime]:
        ends: dict[tuple[str, str], datetime] = {}
        for each in await self._certificates.entries():
            if each.ends_at is not None and each.use in IN_USE:
                key = (each.kind, each.purpose or "")
                ends[key] = min(each.ends_at, ends.get(key, each.ends_at))
        return ends


async def _bridges(tx: Transaction, now: datetime) -> Counter[tuple[str, bool]]:
    # An effective bridge is active on both sides.
    found = Counter({(state.value, False): 0 for state in BridgeState if state is not BridgeState.REVOKED})
    found[BridgeState.ACTIVE.value, True] = 0
    for bridge in await tx.bridges.all_live():
        found[bridge.state.value, not (await shown(tx, bridge, now)).obstacles] += 1
    return found
