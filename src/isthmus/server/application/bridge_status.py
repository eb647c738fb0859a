"""How bridges stand at this moment: their tunnels, the rules in force, and which grant is behind each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from isthmus.domain.addresses import IPNetwork, is_within
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.grant import Grant, HeldGrant
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import LEASE, Crossing, Flow
from isthmus.domain.mesh.jumps import held_by
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer, desired_revision
from isthmus.server.application.agents import AgentService
from isthmus.server.application.bridge_memory import BridgeMemory, Passed, Said, Tunnel
from isthmus.server.ports import Clock, Presence, Store, Transaction
from isthmus.server.records import Page, PeerStatus

# After so long WireGuard gives a session up (REJECT_AFTER_TIME); keepalives renew it before.
UP_SECONDS = 180
NOTHING_PASSED = Passed(0, 0)


@dataclass(frozen=True, slots=True)
class Rule:
    """One flow that is open. `inward`: from the remote to us. `grant` is the one behind it, ours or one that we hold;
    None for the way to an ingress. What passed is counted for all flows of one grant together."""

    flow: Flow
    inward: bool
    grant: Grant | HeldGrant | None
    service: str
    passed: Passed


@dataclass(frozen=True, slots=True)
class Gateway:
    """The jump peer that holds the tunnels, and which revision of its config it has made true."""

    peer: Peer
    connected: bool
    desired: int
    status: PeerStatus


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """`crossing` is what the gateway is told, None where nothing may pass. `lease_until`: by then it drops all of that
    where it does not hear from the server again; None while it was not heard."""

    bridge: Bridge
    network: Network | None
    gateway: Gateway | None = None
    crossing: Crossing | None = None
    tunnel: Tunnel | None = None
    is_up: bool = False
    lease_until: datetime | None = None
    rules: Sequence[Rule] = ()


@dataclass(frozen=True, slots=True)
class _Around:
    """What the bridges of one network have in common."""

    network: Network
    crossings: Mapping[UUID, Crossing]
    gateway: Gateway | None
    said: Said | None
    services: Sequence[Service]


class BridgeStatusService:
    def __init__(
        self, store: Store, clock: Clock, agents: AgentService, presence: Presence, memory: BridgeMemory
    ) -> None:
        self._store = store
        self._clock = clock
        self._agents = agents
        self._presence = presence
        self._memory = memory

    async def of(self, bridge_id: UUID) -> BridgeStatus:
        """Raises `NotFound`."""
        async with self._store.reading() as tx:
            return (await self._statuses(tx, [await tx.bridges.get(bridge_id)]))[0]

    async def page(self, page: Page, network_id: NetworkId | None = None) -> list[BridgeStatus]:
        """Of all that are not revoked, or of one network's, in order of id."""
        async with self._store.reading() as tx:
            live = await (tx.bridges.all_live() if network_id is None else tx.bridges.of_network(network_id))
            after = [bridge for bridge in live if page.after is None or bridge.id > page.after]
            return await self._statuses(tx, after[: page.limit])

    async def note_use(self) -> None:
        """Write down by which grants packets have passed since it was done last."""
        await self._memory.flush(self._store)

    async def _statuses(self, tx: Transaction, bridges: Sequence[Bridge]) -> list[BridgeStatus]:
        around: dict[NetworkId, _Around | None] = {}
        for network_id in {bridge.network_id for bridge in bridges}:
            if network_id is not None:
                around[network_id] = await self._around(tx, network_id)
        return [
            await self._status(tx, bridge, None if bridge.network_id is None else around[bridge.network_id])
            for bridge in bridges
        ]

    async def _around(self, tx: Transaction, network_id: NetworkId) -> _Around | None:
        try:
            network = await tx.networks.get(network_id)
        except NotFound:
            return None  # a revoked bridge may outlive its network
        crossings = await tx.crossings.of_network(network_id)
        shared = {peer.id: peer for peer in await tx.peers.in_every_config(network_id)}
        holder = held_by(network, shared.values(), crossings).gateway
        gateway = None if holder is None else await self._gateway(tx, network, shared[holder])
        return _Around(
            network,
            {crossing.id: crossing for crossing in crossings},
            gateway,
            self._memory.of(network_id, holder),
            await tx.services.of_network(network_id),
        )

    async def _gateway(self, tx: Transaction, network: Network, peer: Peer) -> Gateway:
        status = self._agents.status_at_hand(peer.id) or (await tx.statuses.of_peers([peer.id])).get(peer.id)
        connected = self._presence.is_connected(peer.id)
        return Gateway(peer, connected, desired_revision(network, peer), status or PeerStatus(peer.id))

    async def _status(self, tx: Transaction, bridge: Bridge, around: _Around | None) -> BridgeStatus:
        if around is None:
            return BridgeStatus(bridge, None)
        crossing = around.crossings.get(bridge.id)
        if crossing is None:
            return BridgeStatus(bridge, around.network, around.gateway)
        said = around.said
        tunnel = None if said is None else said.tunnels.get(bridge.id)
        handshake = None if tunnel is None else tunnel.latest_handshake
        age = None if handshake is None else (self._clock.now() - handshake).total_seconds()
        return BridgeStatus(
            bridge,
            around.network,
            around.gateway,
            crossing,
            tunnel,
            is_up=age is not None and age < UP_SECONDS,
            lease_until=None if said is None else said.heard_at + timedelta(seconds=LEASE),
            rules=await _rules(tx, bridge, crossing, around),
        )


async def _rules(tx: Transaction, bridge: Bridge, crossing: Crossing, around: _Around) -> list[Rule]:
    grants: dict[str, Grant | HeldGrant] = {str(grant.id): grant for grant in await tx.grants.of_remote(bridge.remote)}
    grants |= {str(grant.id): grant for grant in await tx.held_grants.of_remote(bridge.remote)}
    passed = {} if around.said is None else around.said.passed
    return [
        Rule(
            flow,
            inward=_is_from(flow, crossing.prefixes),
            grant=grants.get(flow.id),
            service=_service(flow, grants.get(flow.id), around.services),
            passed=passed.get((bridge.id, flow.id), NOTHING_PASSED),
        )
        for flow in crossing.flows
    ]


def _is_from(flow: Flow, prefixes: Sequence[IPNetwork]) -> bool:
    return is_within(flow.sources[0].network_address, prefixes)


def _service(flow: Flow, grant: Grant | HeldGrant | None, services: Sequence[Service]) -> str:
    """The name of what a flow leads to, empty for an ingress."""
    if grant is None:
        return ""
    places = grant.services if isinstance(grant, HeldGrant) else services
    way = (flow.destination, flow.protocol, flow.ports)
    return next((each.name for each in places if (each.address, each.protocol, each.ports) == way), "")
