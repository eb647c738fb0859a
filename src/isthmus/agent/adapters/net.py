"""Links, addresses, routes, rules and nftables by ip(8) and nft(8): observed as JSON, changed in batches."""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from isthmus.agent.adapters import sysctl, tools
from isthmus.agent.adapters.changes import HostChanges
from isthmus.agent.adapters.counters import counted
from isthmus.agent.adapters.wg_userspace import forget_socket
from isthmus.agent.errors import ToolFailed
from isthmus.agent.nft import TABLE, Names, own
from isthmus.agent.observed import HostState, Link, Route, Rule
from isthmus.agent.routing import FAMILIES, PROTOCOL
from isthmus.agent.steps import (
    AddAddress,
    AddRoute,
    AddRule,
    LinkStep,
    LinkUp,
    MarkInterface,
    RemoveAddress,
    RemoveInterface,
    RemoveRoute,
    RemoveRule,
    SetMtu,
)
from isthmus.domain.addresses import Endpoint, Family, IPAddress, IPNetwork, host_network

RESOLVE_SECONDS = 5.0
_MAIN = "254"
_TUNNELS = ("tun", "tap", "wireguard", "ipip", "sit", "gre", "vti", "xfrm", "ip6tnl", "vxlan", "geneve")
# Networks of containers and virtual machines inside the host, which have the same addresses on many hosts.
_INNER = ("docker", "br-", "veth", "virbr", "cni", "podman", "flannel", "cali", "lxc", "lxd")


class LinuxNet:
    """The network namespace of this process. With `changes` it looks again only after the kernel told of one."""

    def __init__(self, changes: HostChanges | None = None) -> None:
        self._changes = changes
        self._seen: dict[str, HostState] = {}

    async def observe(self, interface: str) -> HostState:
        # Asked first, so that a change during the look leads to another look.
        if self._changes is None or not self._changes.is_same():
            self._seen.clear()
        if interface not in self._seen:
            self._seen[interface] = await self._look(interface)
        # No notification tells of these.
        return replace(
            self._seen[interface],
            forwards=frozenset(filter(sysctl.forwards, FAMILIES)),
            honours_marks=sysctl.honours_marks(),
        )

    async def _look(self, interface: str) -> HostState:
        link, (table, digest), v4, v6, local = await asyncio.gather(
            _link(interface),
            _table(interface),
            _policy(4, interface),
            _policy(6, interface),
            _local_addresses(interface),
        )
        return HostState(
            link=link,
            routes=frozenset(v4.routes | v6.routes),
            foreign_routes=v4.foreign_routes | v6.foreign_routes,
            rules=frozenset(v4.rules | v6.rules),
            table=table,
            digest=digest,
            local=local,
        )

    async def apply(self, interface: str, steps: Sequence[LinkStep]) -> None:
        for family, group in itertools.groupby(steps, key=_family):
            batch = "".join(f"{_command(interface, step)}\n" for step in group)
            await tools.run(["ip", *family, "-batch", "-"], batch)
        if any(isinstance(step, RemoveInterface) for step in steps):
            forget_socket(interface)

    async def load(self, script: str) -> None:
        await tools.run(["nft", "-f", "-"], script)

    def counters(self) -> dict[str, tuple[int, int]]:
        return counted(TABLE)

    async def resolve(self, endpoint: Endpoint) -> Endpoint | None:
        """IPv4 is tried first where a name has both: its NATs and firewalls are the ones that were tested."""
        with contextlib.suppress(ValueError):
            return Endpoint(str(ipaddress.ip_address(endpoint.host)), endpoint.port)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                answers = await asyncio.get_running_loop().getaddrinfo(
                    endpoint.host, endpoint.port, type=socket.SOCK_DGRAM
                )
        except (OSError, TimeoutError):
            return None
        found = sorted({ipaddress.ip_address(answer[4][0]) for answer in answers}, key=lambda ip: (ip.version, int(ip)))
        return Endpoint(str(found[0]), endpoint.port) if found else None


def _family(step: LinkStep) -> tuple[str, ...]:
    """The option of ip(8) for a step that does not tell its family by an address."""
    return (f"-{step.rule.family}",) if isinstance(step, AddRule | RemoveRule) else ()


def _command(interface: str, step: LinkStep) -> str:
    match step:
        case AddRoute(route):
            return f"route add {_route(route)} dev {interface} proto {PROTOCOL}"
        case RemoveRoute(route):
            return f"route delete {_route(route)} dev {interface} proto {PROTOCOL}"
        case AddRule(rule):
            return f"rule add {_rule(rule)}"
        case RemoveRule(rule):
            return f"rule delete {_rule(rule)}"
        case AddAddress(address):
            return f"address add {host_network(address)} dev {interface}"
        case RemoveAddress(address):
            return f"address delete {host_network(address)} dev {interface}"
        case _:
            return _link_command(interface, step)


def _link_command(interface: str, step: MarkInterface | RemoveInterface | SetMtu | LinkUp) -> str:
    match step:
        case MarkInterface(alias):
            return f"link set dev {interface} alias {alias}"
        case RemoveInterface():
            return f"link delete dev {interface}"
        case SetMtu(mtu):
            return f"link set dev {interface} mtu {mtu}"
        case LinkUp():
            return f"link set dev {interface} up"


def _route(route: Route) -> str:
    return str(route.destination) if route.table is None else f"{route.destination} table {route.table}"


def _rule(rule: Rule) -> str:
    words = [f"priority {rule.priority}"]
    if rule.unless_mark is not None:
        words.append(f"not fwmark {rule.unless_mark:#x}")
    words.append(f"table {rule.table or _MAIN} protocol {PROTOCOL}")
    if rule.suppress_up_to is not None:
        words.append(f"suppress_prefixlength {rule.suppress_up_to}")
    return " ".join(words)


async def _ip(*arguments: str) -> list[dict[str, Any]]:
    output = await tools.run(["ip", "-json", "-N", *arguments])
    # ip prints an empty object where a name was not found, and nothing for an empty list.
    return [item for item in json.loads(output or "[]") if item]


async def _link(interface: str) -> Link | None:
    status, output, complaint = await tools.attempt(["ip", "-json", "-details", "address", "show", "dev", interface])
    if status != 0:
        if "does not exist" in complaint:
            return None
        raise ToolFailed(f"ip address show dev {interface}: {complaint}")
    item = next(item for item in json.loads(output) if item)
    addresses = (info for info in item["addr_info"] if info["scope"] != "link")
    return Link(
        kind=item.get("linkinfo", {}).get("info_kind", ""),
        mtu=item["mtu"],
        is_up="UP" in item["flags"],
        alias=item.get("ifalias", ""),
        addresses=frozenset(ipaddress.ip_address(info["local"]) for info in addresses),
    )


async def _local_addresses(interface: str) -> tuple[IPAddress, ...]:
    """Where the host is found from outside: no tunnel's end, nothing inside of it, and no address on its way out."""
    found: list[tuple[bool, bool, int, str]] = []
    for item in await _ip("-details", "address", "show", "up", "scope", "global"):
        kind = item.get("linkinfo", {}).get("info_kind", "")
        if item["ifname"] == interface or kind in _TUNNELS or item["ifname"].startswith(_INNER):
            continue
        for info in item["addr_info"]:
            if "local" in info and not any(info.get(flag) for flag in ("deprecated", "tentative", "dadfailed")):
                # One that lasts before one that the system changes every day.
                found.append((info["family"] != "inet", bool(info.get("temporary")), len(found), info["local"]))
    return tuple(ipaddress.ip_address(local) for *_, local in sorted(found))


@dataclass(frozen=True, slots=True)
class _Policy:
    """How packets of one family find their way."""

    routes: set[Route]
    foreign_routes: dict[IPNetwork, str]
    rules: set[Rule]


async def _policy(family: Family, interface: str) -> _Policy:
    return _Policy(
        *await asyncio.gather(_own_routes(family, interface), _foreign_routes(family, interface), _own_rules(family))
    )


async def _own_routes(family: Family, interface: str) -> set[Route]:
    items = await _ip(f"-{family}", "route", "show", "table", "all", "proto", str(PROTOCOL))
    return {
        Route(_destination(item["dst"], family), None if (table := item.get("table", _MAIN)) == _MAIN else int(table))
        for item in items
        if item.get("dev") == interface
    }


async def _foreign_routes(family: Family, interface: str) -> dict[IPNetwork, str]:
    items = await _ip(f"-{family}", "route", "show", "table", "main")
    return {
        _destination(item["dst"], family): item.get("dev", "another way")
        for item in items
        if item.get("dev") != interface and item["dst"] != "default"
    }


def _destination(text: str, family: Family) -> IPNetwork:
    if text == "default":
        text = "0.0.0.0/0" if family == 4 else "::/0"
    return ipaddress.ip_network(text)


async def _own_rules(family: Family) -> set[Rule]:
    items = await _ip(f"-{family}", "rule", "show")
    return {_as_rule(item, family) for item in items if item.get("protocol") == str(PROTOCOL)}


def _as_rule(item: dict[str, Any], family: Family) -> Rule:
    return Rule(
        family=family,
        priority=item["priority"],
        table=None if item["table"] == _MAIN else int(item["table"]),
        unless_mark=int(item["fwmark"], 16) if "not" in item and "fwmark" in item else None,
        suppress_up_to=item.get("suppress_prefixlen"),
    )


async def _table(interface: str) -> tuple[Names, str | None]:
    """What is in our table, and the digest of this interface's rules. A host without nft has neither."""
    try:
        status, output, complaint = await tools.attempt(["nft", "--json", "--terse", "list", "table", *TABLE.split()])
    except ToolFailed:
        return Names(), None
    if status != 0:
        if "No such file" in complaint:
            return Names(), None
        raise ToolFailed(f"nft list table {TABLE}: {complaint}")
    items = json.loads(output)["nftables"]
    kinds = ("chain", "set", "counter")
    chains, sets, counters = (frozenset(item[kind]["name"] for item in items if kind in item) for kind in kinds)
    noted = own(interface, "digest")
    digests = [item["rule"].get("comment") for item in items if item.get("rule", {}).get("chain") == noted]
    return Names(chains, sets, counters), digests[0] if digests else None
