"""Configs and hosts for the agent's tests."""

import hashlib
from dataclasses import replace
from typing import Any, cast

import msgspec

from isthmus.agent.apply import Surroundings
from isthmus.agent.desired import Desired, read
from isthmus.agent.naming import Naming
from isthmus.agent.nft import Names
from isthmus.agent.observed import HostState, Link, Lookups, Route
from isthmus.agent.plan import Target
from isthmus.agent.ports import Resolver
from isthmus.agent.steps import (
    AddAddress,
    AddRoute,
    AddRule,
    ConfigureWireGuard,
    CreateInterface,
    DropRules,
    EnableForwarding,
    HonourMarks,
    LinkUp,
    LoadRules,
    MarkInterface,
    RemoveAddress,
    RemoveRoute,
    RemoveRule,
    SetMtu,
    Step,
)
from isthmus.domain.addresses import Endpoint
from isthmus.protocol.agent import Config, Forwarding, Neighbour
from isthmus.wireguard.change import InterfaceChange
from isthmus.wireguard.keys import PrivateKey
from isthmus.wireguard.state import InterfaceState, PeerState

INTERFACE = "ist-office"
ALIAS = "isthmus:p-1"
OWN_KEY = PrivateKey(bytes([7]) * 32)
GATEWAY = Endpoint("198.51.100.7", 51820)


class StandInNames:
    """A host on which nobody looks up names, nor answers for them."""

    async def observe(self, interface: str) -> Lookups:
        return Lookups()

    async def serve(self, interface: str, naming: Naming | None) -> tuple[str, ...]:
        return ()


def around(host: Any) -> Surroundings:
    """What an applier has to do with, where `host` stands in for network and WireGuard."""
    names = StandInNames()
    return Surroundings(lambda _: host, host, sysctls=host, resolver=cast("Resolver", names), names=names)


def a_key(number: int) -> str:
    return str(PrivateKey(hashlib.sha256(str(number).encode()).digest()).public())


def a_neighbour(number: int = 1, **changes: Any) -> Neighbour:
    """A member of 10.20.0.0/16 whose address ends in `number`."""
    host = f"{number >> 8}.{number & 255}"
    given: dict[str, Any] = {
        "name": f"peer-{number}",
        "public_key": a_key(1000 + number),
        "allowed_ips": (f"10.20.{host}/32", f"fd00:20::{number:x}/128"),
    }
    return Neighbour(**(given | changes))


def a_gateway(routes: tuple[str, ...] = ("10.20.0.0/16", "fd00:20::/64"), **changes: Any) -> Neighbour:
    given: dict[str, Any] = {
        "name": "gw",
        "public_key": a_key(1),
        "allowed_ips": routes,
        "role": "primary",
        "endpoint": str(GATEWAY),
        "keepalive": 25,
    }
    return Neighbour(**(given | changes))


def a_config(*neighbours: Neighbour, **changes: Any) -> Config:
    given = {
        "network": "office",
        "name": "me",
        "addresses": ("10.20.9.9", "fd00:20::99"),
        "mtu": 1420,
        "listen_port": None,
        "neighbours": neighbours,
        "routes": ("10.20.0.0/16", "fd00:20::/64"),
        "forwarding": Forwarding(),
    }
    return msgspec.convert(msgspec.to_builtins(given | changes), Config)


def desired(*neighbours: Neighbour, **changes: Any) -> Desired:
    return read(a_config(*neighbours, **changes))


def a_target(last: Desired | None = None, **changes: Any) -> Target:
    resolved = {GATEWAY: GATEWAY, Endpoint("198.51.100.8", 51820): Endpoint("198.51.100.8", 51820)}
    target = Target(INTERFACE, ALIAS, OWN_KEY, resolved=resolved, last=last.neighbours if last else {})
    return replace(target, **changes)


def carried_out(steps: tuple[Step, ...], host: HostState) -> HostState:
    """The host after `steps`: what Linux and WireGuard make of them, as far as the planner looks at it."""
    for step in steps:
        host = _after(step, host)
    return host


def _after(step: Step, host: HostState) -> HostState:
    match step:
        case CreateInterface():
            return replace(host, link=Link("tun", 1500, False), wireguard=InterfaceState(None, 0, 0, {}))
        case ConfigureWireGuard(change):
            assert host.wireguard is not None
            return replace(host, wireguard=_configured(host.wireguard, change))
        case AddRoute() | RemoveRoute() | AddRule() | RemoveRule():
            return _routed(step, host)
        case EnableForwarding(family):
            return replace(host, forwards=host.forwards | {family})
        case HonourMarks():
            return replace(host, honours_marks=True)
        case LoadRules(script):
            digest = script.rpartition('comment "')[2].partition('"')[0]
            return replace(host, digest=digest, table=loaded(script, host.table))
        case DropRules():
            return replace(host, digest=None, table=Names())
        case RemoveAddress(address):
            assert host.link is not None
            link = replace(host.link, addresses=host.link.addresses - {address})
            return replace(host, link=link, routes=_routes_left(host, link, address.version))
        case _:
            assert host.link is not None
            return replace(host, link=_linked(step, host.link))


def loaded(script: str, before: Names) -> Names:
    """What is in the table after a script that takes things away and ends with those that shall be."""
    gone = {line.split()[4] for line in script.splitlines() if line.startswith("delete ")}
    made: dict[str, set[str]] = {"chain": set(), "set": set(), "counter": set()}
    for line in script.rpartition("\ntable ")[2].splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind in made and rest.endswith("{"):
            made[kind].add(rest.split()[0])
    return Names(
        frozenset(before.chains - gone | made["chain"]),
        frozenset(before.sets - gone | made["set"]),
        frozenset(before.counters - gone | made["counter"]),
    )


def _routes_left(host: HostState, link: Link, version: int) -> frozenset[Route]:
    """With the last IPv4 address of a device Linux takes away all IPv4 routes into it."""
    if version == 6 or any(address.version == 4 for address in link.addresses):
        return host.routes
    return frozenset(route for route in host.routes if route.destination.version == 6)


def _routed(step: AddRoute | RemoveRoute | AddRule | RemoveRule, host: HostState) -> HostState:
    match step:
        case AddRoute(route):
            return replace(host, routes=host.routes | {route})
        case RemoveRoute(route):
            assert route in host.routes
            return replace(host, routes=host.routes - {route})
        case AddRule(rule):
            assert rule not in host.rules
            return replace(host, rules=host.rules | {rule})
        case RemoveRule(rule):
            assert rule in host.rules
            return replace(host, rules=host.rules - {rule})


def _linked(step: Step, link: Link) -> Link:
    match step:
        case MarkInterface(alias):
            return replace(link, alias=alias)
        case SetMtu(mtu):
            return replace(link, mtu=mtu)
        case LinkUp():
            return replace(link, is_up=True)
        case AddAddress(address):
            return replace(link, addresses=link.addresses | {address})
    raise AssertionError(step)


def _configured(state: InterfaceState, change: InterfaceChange) -> InterfaceState:
    peers = dict(state.peers)
    for peer in change.peers:
        if peer.remove:
            del peers[peer.public_key]
            continue
        present = peers.get(peer.public_key, PeerState(peer.public_key))
        allowed = present.allowed_ips if peer.allowed_ips is None else frozenset(peer.allowed_ips)
        for key, other in peers.items():
            peers[key] = replace(other, allowed_ips=other.allowed_ips - allowed)
        peers[peer.public_key] = replace(
            present,
            endpoint=peer.endpoint or present.endpoint,
            allowed_ips=allowed,
            keepalive=present.keepalive if peer.keepalive is None else peer.keepalive,
        )
    return InterfaceState(
        public_key=change.private_key.public() if change.private_key else state.public_key,
        listen_port=state.listen_port if change.listen_port is None else change.listen_port,
        fwmark=state.fwmark if change.fwmark is None else change.fwmark,
        peers=peers,
    )
