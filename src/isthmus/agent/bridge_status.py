"""What `isthmus agent status` shows of bridges."""

from collections.abc import Mapping

import msgspec

from isthmus.agent import bridge_rules
from isthmus.agent.apply import Applier
from isthmus.agent.bridging import Crossing
from isthmus.agent.desired import Desired, read
from isthmus.domain.errors import Refusal
from isthmus.wireguard.keys import PublicKey
from isthmus.wireguard.state import PeerState


class FlowStatus(msgspec.Struct, frozen=True):
    """`id` is that of a grant, `ingress` or `remote-ingress`; what passed in both directions, `size` in bytes."""

    id: str
    packets: int
    size: int


class BridgeStatus(msgspec.Struct, frozen=True):
    """One bridge on its gateway. Packets `dropped` belonged to no flow, `forged` ones came by another way than the
    tunnel that their source lives in; `latest_handshake` with the other side's gateway in Unix seconds."""

    id: str
    name: str
    prefixes: list[str]
    latest_handshake: int | None
    flows: list[FlowStatus]
    dropped: int
    forged: int


class BridgedStatus(msgspec.Struct, frozen=True):
    """`prefixes` are what bridges lead to. `lease` are the seconds for which they stay open if the server is not heard;
    with 0 they are shut. A host that is no gateway has no `bridges`."""

    prefixes: list[str]
    lease: int
    bridges: list[BridgeStatus]


def bridged_status(applier: Applier, peers: Mapping[PublicKey, PeerState]) -> BridgedStatus | None:
    """None where no bridge leads."""
    desired = _desired(applier)
    if desired is None or not desired.bridged.prefixes:
        return None
    bridged = desired.bridged
    counted = applier.counted() if bridged.crossings else {}
    return BridgedStatus(
        prefixes=list(map(str, bridged.prefixes)),
        lease=round(max(0.0, applier.lease.left(bridged.lease))),
        bridges=[_bridge(applier.interface, each, peers.get(each.public_key), counted) for each in bridged.crossings],
    )


def _desired(applier: Applier) -> Desired | None:
    try:
        return read(applier.applied.config) if applier.applied else None
    except Refusal:
        # Written by a newer version.
        return None


def _bridge(
    interface: str, crossing: Crossing, peer: PeerState | None, counted: Mapping[str, tuple[int, int]]
) -> BridgeStatus:
    flows = {flow: bridge_rules.flow_counter(interface, crossing, flow) for flow in bridge_rules.flow_ids(crossing)}
    return BridgeStatus(
        id=str(crossing.id),
        name=crossing.name,
        prefixes=list(map(str, crossing.prefixes)),
        latest_handshake=peer.latest_handshake if peer else None,
        flows=[FlowStatus(flow, *counted.get(name, (0, 0))) for flow, name in flows.items()],
        dropped=counted.get(bridge_rules.dropped_counter(interface, crossing), (0, 0))[0],
        forged=counted.get(bridge_rules.forged_counter(interface, crossing), (0, 0))[0],
    )
