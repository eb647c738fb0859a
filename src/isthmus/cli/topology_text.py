"""A network as a map, as text for people. Pure."""

from collections import Counter
from datetime import datetime
from typing import Any

from isthmus.cli.text import Column, age, fields, table

Topology = dict[str, Any]

PEERS = (
    Column("NAME"),
    Column("KIND"),
    Column("STATE"),
    Column("SINCE"),
    Column("DIRECT"),
    Column("RELAYED"),
    Column("UNKNOWN"),
)
BRIDGES = (Column("REMOTE"), Column("NETWORK THERE"), Column("STATE"), Column("PASSES"), Column("TUNNEL"))
WAYS = ("direct", "relayed", "unknown")


def overview(found: Topology, now: datetime, width: int | None) -> str:
    """What there is in numbers, a line for each peer with its ways to others, a line for each bridge."""
    parts = [_summary(found)]
    if found["nodes"]:
        parts.append(table(PEERS, _peers(found, now), width))
    if found["bridges"]:
        parts.append(table(BRIDGES, map(_bridge, found["bridges"]), width))
    return "\n\n".join(parts)


def _summary(found: Topology) -> str:
    edges, left_out = found["edges"], found["edges_left_out"]
    ways = Counter(edge["way"] for edge in edges)
    states = Counter(node["state"] for node in found["nodes"])
    said = [f"{ways[way]} {way}" for way in WAYS if ways[way]]
    said += [f"{left_out} more between regular peers"] if left_out else []
    peers = [f"{count} {state}" for state, count in states.most_common()]
    peers += [f"{found['nodes_left_out']} more"] if found["nodes_left_out"] else []
    return fields([("network", found["network"]["name"]), ("peers", peers), ("tunnels", said)])


def _peers(found: Topology, now: datetime) -> list[tuple[object, ...]]:
    ways: Counter[tuple[str, str]] = Counter()
    for edge in found["edges"]:
        ways.update([(edge["one"], edge["way"]), (edge["other"], edge["way"])])
    return [
        (
            node["name"],
            f"{node['kind']}, {node['role']}" if node["role"] else node["kind"],
            node["state"],
            age(node["since"], now) if node["since"] else None,
            *(ways[node["id"], way] for way in WAYS),
        )
        for node in found["nodes"]
    ]


def _bridge(bridge: dict[str, Any]) -> tuple[object, ...]:
    there = f"{bridge['state']} here, {bridge['state_there'] or 'nothing said'} there"
    return bridge["remote"], bridge["network_there"], there, bridge["effective"], "up" if bridge["up"] else "down"
