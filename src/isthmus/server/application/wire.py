"""Domain tunnels as the protocol's messages."""

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from isthmus.domain.addresses import DEFAULT_ROUTES
from isthmus.domain.mesh import tunnel as rules
from isthmus.domain.mesh.crossing import Bridged, Crossing, Flow
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.protocol import agent as wire

BRIDGES = "bridges"


def neighbour(of: rules.Neighbour) -> wire.Neighbour:
    return wire.Neighbour(
        name=of.name,
        public_key=of.public_key,
        allowed_ips=tuple(map(str, of.allowed_ips)),
        role=of.role.value,
        endpoint=None if of.endpoint is None else str(of.endpoint),
        keepalive=of.keepalive,
        candidates=tuple(map(str, of.candidates)),
        takes=tuple(map(str, of.takes)),
        isolated=of.isolated,
        encapsulated=of.encapsulated,
    )


def config(network: Network, me: Peer, tunnel: rules.Tunnel) -> wire.Config:
    """The message for `me`."""
    forwarding = tunnel.forwarding
    return wire.Config(
        network=network.name,
        name=me.name,
        addresses=tuple(map(str, tunnel.addresses)),
        mtu=tunnel.mtu,
        listen_port=tunnel.listen_port,
        neighbours=tuple(map(neighbour, tunnel.neighbours)),
        routes=tuple(map(str, tunnel.routes)),
        forwarding=wire.Forwarding(
            between_peers=forwarding.between_peers,
            offered=tuple(map(str, forwarding.offered)),
        ),
        public_key=me.public_key or "",
        dns=dns(tunnel.dns),
        requires=_requires(tunnel),
        bridged=None if tunnel.bridged is None else bridged(tunnel.bridged, network),
    )


def bridged(of: Bridged, network: Network) -> wire.Bridged:
    crossings = tuple(crossing(each, network) for each in of.crossings)
    return wire.Bridged(of.lease, tuple(map(str, of.prefixes)), crossings)


def crossing(of: Crossing, network: Network) -> wire.Crossing:
    return wire.Crossing(
        id=str(of.id),
        name=of.name,
        public_key=of.public_key,
        prefixes=tuple(map(str, of.prefixes)),
        local=tuple(map(str, of.local)),
        endpoint=None if of.endpoint is None else str(of.endpoint),
        keepalive=network.keepalive or None,
        flows=tuple(map(flow, of.flows)),
        barred=tuple(map(str, of.barred)),
    )


def flow(of: Flow) -> wire.Flow:
    ports = tuple(str(low) if low == high else f"{low}-{high}" for low, high in of.ports)
    return wire.Flow(of.id, tuple(map(str, of.sources)), str(of.destination), of.protocol, ports)


def dns(of: rules.Dns | None) -> wire.Dns | None:
    if of is None:
        return None
    return wire.Dns(of.domain, *(tuple(map(str, each)) for each in (of.cidrs, of.servers, of.upstreams)))


def personal(frame: wire.Config, network: Network, me: Peer, encoded: Iterable[bytes]) -> wire.Config:
    """The config of a peer that shares `frame` but for what is its own, with its neighbours given as JSON."""
    return msgspec.structs.replace(
        frame,
        name=me.name,
        addresses=tuple(map(str, me.addresses)),
        public_key=me.public_key or "",
        listen_port=rules.listen_port(network, me),
        neighbours=joined(encoded),
    )


def common_patch(frame: wire.Config) -> wire.Patch:
    """The fields of a frame that all peers of one make share."""
    return wire.Patch(
        network=frame.network,
        mtu=frame.mtu,
        routes=frame.routes,
        forwarding=frame.forwarding,
        dns=frame.dns,
        requires=frame.requires,
    )


def whole_patch(frame: wire.Config) -> wire.Patch:
    return wire.Patch(**{name: getattr(frame, name) for name in wire.Patch.__struct_fields__})


def _requires(tunnel: rules.Tunnel) -> tuple[str, ...]:
    """What an agent must be able to do to make the tunnel true: leaving it out would let packets go astray.

    A regular peer that knows nothing of bridges reaches nothing behind them, and that is all. A gateway that does would
    send on to the world what others send there.
    """
    needs = []
    if tunnel.forwarding != rules.Forwarding():
        needs.append("forwarding")
    if any(route in DEFAULT_ROUTES for route in tunnel.routes):
        needs.append("full-encapsulation")
    if tunnel.bridged is not None and tunnel.bridged.crossings:
        needs.append(BRIDGES)
    return tuple(needs)


def joined(fragments: Iterable[bytes]) -> tuple[Any, ...]:
    # The encoder copies Raw bytes as they are, and no one but the encoder sees this value.
    return cast("tuple[Any, ...]", msgspec.Raw(b"[" + b",".join(fragments) + b"]"))
