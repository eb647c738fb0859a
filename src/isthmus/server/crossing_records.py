"""Crossings as JSON, which the database keeps and the revision log as well."""

from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint, IPNetwork
from isthmus.domain.ids import PublicKey
from isthmus.domain.mesh.crossing import Crossing, Flow, Outline

BRIDGE_CHANGED = "bridge.changed"
"""The event of revisions whose subject is a bridge."""


def crossing_state(crossing: Crossing) -> dict[str, Any]:
    return {
        "id": str(crossing.id),
        "name": crossing.name,
        "public_key": crossing.public_key,
        "endpoint": None if crossing.endpoint is None else str(crossing.endpoint),
        "prefixes": _texts(crossing.prefixes),
        "local": _texts(crossing.local),
        "flows": [
            {
                "id": flow.id,
                "sources": _texts(flow.sources),
                "destination": str(flow.destination),
                "protocol": flow.protocol,
                "ports": [list(ports) for ports in flow.ports],
            }
            for flow in crossing.flows
        ],
        "barred": _texts(crossing.barred),
    }


def crossing_of(state: dict[str, Any]) -> Crossing:
    return Crossing(
        id=UUID(state["id"]),
        name=state["name"],
        public_key=PublicKey(state["public_key"]),
        endpoint=None if state["endpoint"] is None else Endpoint.parse(state["endpoint"]),
        prefixes=_networks(state["prefixes"]),
        local=_networks(state["local"]),
        flows=tuple(
            Flow(
                id=flow["id"],
                sources=_networks(flow["sources"]),
                destination=ip_address(flow["destination"]),
                protocol=flow["protocol"],
                ports=tuple((low, high) for low, high in flow["ports"]),
            )
            for flow in state["flows"]
        ),
        barred=_networks(state["barred"]),
    )


def outline_in(state: dict[str, Any]) -> Outline:
    return Outline(UUID(state["id"]), state["name"], PublicKey(state["public_key"]), _networks(state["prefixes"]))


def _texts(networks: tuple[IPNetwork, ...]) -> list[str]:
    return [*map(str, networks)]


def _networks(texts: list[str]) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, texts))
