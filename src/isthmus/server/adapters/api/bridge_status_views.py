"""What the API shows of bridges at work."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from isthmus.domain.federation.grant import HeldGrant
from isthmus.domain.mesh.crossing import LEASE
from isthmus.server.adapters.api.views import PeerName, View
from isthmus.server.application.bridge_status import BridgeStatus, Gateway, Rule


class BridgeGatewayView(View):
    """`applied_revision` below `desired_revision`: the gateway has not made true yet what is shown here."""

    peer: PeerName
    connected: bool
    desired_revision: int
    applied_revision: int | None
    error: str | None = Field(description="why it could not make the last revision true")


class BridgeTunnelView(View):
    """Bytes as our gateway counts them."""

    up: bool
    endpoint: str | None
    latest_handshake: datetime | None
    rx: int
    tx: int


class BridgeGrantView(View):
    """`given`: by whom, us or the remote."""

    id: UUID
    given: Literal["here", "there"]
    subject: str
    expires_at: datetime


class BridgeRuleView(View):
    """One way that is open. `packets` and `bytes` count both directions, for all rules of one grant together."""

    direction: Literal["in", "out"] = Field(description="in: from the remote to us")
    service: str | None = Field(description="null for the way to an ingress, which decides on each call by itself")
    sources: list[str]
    destination: str
    protocol: str
    ports: list[str]
    grant: BridgeGrantView | None
    packets: int
    bytes: int
    last_seen: datetime | None = Field(description="when the counters grew last, as far as this server has heard")


class BridgeStatusView(View):
    """`effective`: both sides are active, and so is the remote; only then `prefixes` lead there. Of a gateway that has
    not heard from the server until `lease_until` nothing passes any more."""

    id: UUID
    remote: str
    network: PeerName | None
    network_there: str | None
    state: str
    state_there: str | None
    effective: bool
    gateway: BridgeGatewayView | None
    tunnel: BridgeTunnelView | None
    lease_seconds: int
    lease_until: datetime | None
    prefixes: list[str]
    barred: list[str] = Field(description="addresses of instances that are blocked")
    rules: list[BridgeRuleView]

    @classmethod
    def of(cls, status: BridgeStatus) -> "BridgeStatusView":
        bridge, network, crossing = status.bridge, status.network, status.crossing
        return cls(
            id=bridge.id,
            remote=bridge.remote,
            network=None if network is None else PeerName(id=network.id, name=network.name),
            network_there=None if bridge.theirs is None else bridge.theirs.terms.network,
            state=bridge.state.value,
            state_there=None if bridge.theirs is None else bridge.theirs.state.value,
            effective=crossing is not None,
            gateway=None if status.gateway is None else _gateway(status.gateway),
            tunnel=_tunnel(status),
            lease_seconds=LEASE,
            lease_until=status.lease_until,
            prefixes=[] if crossing is None else [*map(str, crossing.prefixes)],
            barred=[] if crossing is None else [*map(str, crossing.barred)],
            rules=[_rule(rule) for rule in status.rules],
        )


def _gateway(gateway: Gateway) -> BridgeGatewayView:
    return BridgeGatewayView(
        peer=PeerName(id=gateway.peer.id, name=gateway.peer.name),
        connected=gateway.connected,
        desired_revision=gateway.desired,
        applied_revision=gateway.status.applied_revision,
        error=gateway.status.applied_error,
    )


def _tunnel(status: BridgeStatus) -> BridgeTunnelView | None:
    if status.tunnel is None:
        return None
    tunnel = status.tunnel
    return BridgeTunnelView(
        up=status.is_up,
        endpoint=tunnel.endpoint,
        latest_handshake=tunnel.latest_handshake,
        rx=tunnel.rx,
        tx=tunnel.tx,
    )


def _rule(rule: Rule) -> BridgeRuleView:
    flow, grant = rule.flow, rule.grant
    shown = None
    if grant is not None:
        given: Literal["here", "there"] = "there" if isinstance(grant, HeldGrant) else "here"
        shown = BridgeGrantView(id=grant.id, given=given, subject=grant.subject, expires_at=grant.expires_at)
    return BridgeRuleView(
        direction="in" if rule.inward else "out",
        service=rule.service or None,
        sources=[*map(str, flow.sources)],
        destination=str(flow.destination),
        protocol=flow.protocol,
        ports=[str(low) if low == high else f"{low}-{high}" for low, high in flow.ports],
        grant=shown,
        packets=rule.passed.packets,
        bytes=rule.passed.size,
        last_seen=rule.passed.grew_at,
    )
