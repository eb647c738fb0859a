"""The planner: from what shall be and what is to the steps between them. Pure; a host that is right gets no step."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from isthmus.agent import naming, rules
from isthmus.agent.desired import Desired, Neighbour, Role
from isthmus.agent.observed import HostState, Link, Route, Rule
from isthmus.agent.routing import FAMILIES, Routing, is_ours, routing_for, slot_of
from isthmus.agent.rules import Rules
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
    RemoveInterface,
    RemoveRoute,
    RemoveRule,
    RestoreForwarding,
    RestoreMarks,
    SetMtu,
    Step,
)
from isthmus.domain.addresses import Endpoint, IPAddress, family_of, sort_key
from isthmus.wireguard.change import InterfaceChange, PeerChange
from isthmus.wireguard.keys import PrivateKey, PublicKey
from isthmus.wireguard.state import InterfaceState, PeerState


@dataclass(frozen=True, slots=True)
class Target:
    """Where a config is to be made true. `alias` is our mark on the interface.

    `resolved` has the address of each endpoint that could be found out; `last` are the neighbours of the config that
    was applied before. `forwarding_changed`, `marks_changed` and `listing_changed` (resolv.conf) tell that these can be
    put back.
    """

    interface: str
    alias: str
    private_key: PrivateKey
    resolved: Mapping[Endpoint, Endpoint] = field(default_factory=dict)
    last: Mapping[PublicKey, Neighbour] = field(default_factory=dict)
    forwarding_changed: bool = False
    marks_changed: bool = False
    listing_changed: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`remarks` are sentences about what the config asks for and the host cannot have."""

    steps: tuple[Step, ...]
    remarks: tuple[str, ...] = ()


def plan(desired: Desired, host: HostState, target: Target) -> Plan:
    """The steps that make `desired` true; while a rule leads into the tunnel, WireGuard's own packets are marked."""
    routing = routing_for(target.interface, desired.routes, _endpoints(desired, target))
    taken = {
        route: host.foreign_routes[route.destination]
        for route in routing.routes
        if route.table is None and route.destination in host.foreign_routes
    }
    remarks = [f"the host has its own route to {route.destination} by {device}" for route, device in taken.items()]
    remarks += [
        f"no address was found for {neighbour.endpoint}, the endpoint of {neighbour.name}"
        for neighbour in desired.neighbours.values()
        if neighbour.endpoint is not None and _told_endpoint(neighbour, target) is None
    ]
    wanted = Routing(routing.routes - taken.keys(), routing.rules, routing.mark)
    routed = _with_addresses_of(desired, host)
    filters = Rules.of(desired, wanted.mark)
    narrowed = _narrowed(desired, host.wireguard) if rules.has_bridges(target.interface, host.table) else host.wireguard
    steps = [
        *_interface(host, target),
        # What is shut loses its way before its filter, what is opened gets its filter before its way.
        *_shut(host.wireguard, narrowed),
        *_filters(filters, host, target.interface),
        *_wireguard(desired, narrowed, target, wanted.mark),
        *_link(desired, host.link),
        *_forwarding(filters, host, target),
        # New ways before old ones go: in between, packets have two ways rather than none, or one past the tunnel.
        *_new_routes(wanted, routed, target.interface),
        *(AddRule(rule) for rule in sorted(wanted.rules - host.rules, key=_rule_order)),
        *_old_rules(wanted, host, target.interface),
        *_old_routes(wanted, routed, target.interface),
        *_old_mark(wanted, host, target),
        # Last: until now there was no way to the servers.
        *naming.lookup_steps(desired.naming, host.lookups, listing_changed=target.listing_changed),
    ]
    return Plan(tuple(steps), tuple(sorted(remarks)))


def plan_of_ways(desired: Desired, state: InterfaceState, target: Target) -> Plan:
    """The steps when only the ways of packets change: those of the neighbours, and nothing of the host is looked at."""
    change = InterfaceChange(peers=(*_gone(desired, state), *_peer_changes(desired, state, target)))
    return Plan(() if change.is_empty else (ConfigureWireGuard(change),))


def teardown(host: HostState, target: Target) -> Plan:
    """The steps that leave nothing of ours on the host."""
    steps: list[Step] = list(naming.lookup_steps(None, host.lookups, listing_changed=target.listing_changed))
    steps += _old_rules(Routing(), host, target.interface)
    # Routes in the interface go with it, and only then the rules: nothing passes unfiltered in between.
    if host.link is not None:
        steps.append(RemoveInterface(target.interface))
    if rules.of_interface(target.interface, host.table).chains:
        steps.append(DropRules(rules.drop_script(target.interface, host.table)))
    if not _is_shared(host, target.interface):
        steps += [RestoreForwarding()] if target.forwarding_changed else []
        steps += [RestoreMarks()] if target.marks_changed else []
    return Plan(tuple(steps))


def _is_shared(host: HostState, interface: str) -> bool:
    """Whether another agent on this host may need the same settings."""
    return bool(host.table.chains - rules.of_interface(interface, host.table).chains)


def _endpoints(desired: Desired, target: Target) -> Iterator[IPAddress]:
    for neighbour in desired.neighbours.values():
        found = target.resolved.get(neighbour.endpoint) if neighbour.endpoint else None
        if found is not None:
            yield ip_address(found.host)


def _interface(host: HostState, target: Target) -> Iterator[Step]:
    if host.link is None:
        yield CreateInterface(target.interface)
    if host.link is None or host.link.alias != target.alias:
        yield MarkInterface(target.alias)


def _wireguard(desired: Desired, state: InterfaceState | None, target: Target, mark: int) -> Iterator[Step]:
    state = state or InterfaceState(public_key=None, listen_port=0, fwmark=0, peers={})
    key_differs = state.public_key != target.private_key.public()
    port_differs = desired.listen_port is not None and desired.listen_port != state.listen_port
    # Another key ends every session: those that this host begins, it begins at once.
    again = anew(_begun_here(desired), state) if key_differs and state.public_key is not None else ()
    change = InterfaceChange(
        private_key=target.private_key if key_differs else None,
        listen_port=desired.listen_port if port_differs else None,
        fwmark=mark if mark not in (0, state.fwmark) else None,
        peers=(*_gone(desired, state), *again, *_peer_changes(desired, state, target)),
    )
    if not change.is_empty:
        yield ConfigureWireGuard(change)


def _gone(desired: Desired, state: InterfaceState) -> list[PeerChange]:
    return [PeerChange(key, remove=True) for key in sorted(state.peers.keys() - desired.neighbours.keys())]


def anew(neighbours: Iterable[Neighbour], state: InterfaceState) -> tuple[PeerChange, ...]:
    """Takes neighbours away and adds them again as they are: WireGuard then waits for no earlier try, and with a
    keepalive begins the handshake at once. Those that are not there, or nowhere to be reached, are passed over."""
    changes = []
    for neighbour in sorted(neighbours, key=lambda each: each.public_key):
        present = state.peers.get(neighbour.public_key)
        if present is not None and present.endpoint is not None:
            allowed = tuple(sorted(present.allowed_ips, key=sort_key))
            changes.append(PeerChange(present.public_key, remove=True))
            changes.append(PeerChange(present.public_key, False, present.endpoint, allowed, present.keepalive or None))
    return tuple(changes)


def unanswered(desired: Desired, state: InterfaceState) -> tuple[PeerChange, ...]:
    """Begins the handshake anew with each neighbour that never answered one of this host's."""
    silent = {key for key, present in state.peers.items() if present.latest_handshake is None}
    # A direct neighbour has its own planner, who makes it anew with each candidate.
    begun = (each for each in _begun_here(desired) if each.role is not Role.DIRECT)
    return anew((each for each in begun if each.public_key in silent), state)


def _begun_here(desired: Desired) -> Iterator[Neighbour]:
    """The neighbours that this host begins handshakes with; the members of a jump peer come by themselves."""
    return (each for each in desired.neighbours.values() if each.endpoint is not None or each.keepalive)


def _peer_changes(desired: Desired, state: InterfaceState, target: Target) -> list[PeerChange]:
    # Of many neighbours nearly all are as they shall be: no change is made for these, and only changes are sorted.
    changes = []
    for key, neighbour in desired.neighbours.items():
        present = state.peers.get(key)
        endpoint = _endpoint(neighbour, present, target)
        allowed_ips, keepalive = (present.allowed_ips, present.keepalive) if present is not None else (frozenset(), 0)
        has_others = neighbour.allowed_ips != allowed_ips
        if present is None or has_others or endpoint is not None or neighbour.keepalive != keepalive:
            changes.append(
                PeerChange(
                    key,
                    endpoint=endpoint,
                    allowed_ips=tuple(sorted(neighbour.allowed_ips, key=sort_key)) if has_others else None,
                    keepalive=neighbour.keepalive if neighbour.keepalive != keepalive else None,
                )
            )
    return sorted(changes, key=lambda each: each.public_key)


def _endpoint(neighbour: Neighbour, present: PeerState | None, target: Target) -> Endpoint | None:
    """The endpoint to tell WireGuard, or None: what a peer roamed to is overwritten by a new decision only."""
    if neighbour.endpoint is None:
        return None
    if neighbour.role is Role.DIRECT:
        # Where it is heard from is the way that was found: only a peer that is made anew is told where to begin.
        return neighbour.endpoint if present is None or present.endpoint is None else None
    last = target.last.get(neighbour.public_key)
    decided = last is not None and last.endpoint == neighbour.endpoint
    if present is not None and present.endpoint is not None and decided:
        return None
    found = target.resolved.get(neighbour.endpoint)
    return None if present is not None and present.endpoint == found else found


def _told_endpoint(neighbour: Neighbour, target: Target) -> Endpoint | None:
    """What to tell WireGuard: the candidates of direct neighbours are addresses already."""
    endpoint = neighbour.endpoint
    return endpoint if endpoint is None or neighbour.role is Role.DIRECT else target.resolved.get(endpoint)


def _link(desired: Desired, link: Link | None) -> Iterator[Step]:
    link = link or Link(kind="", mtu=0, is_up=False)
    if link.mtu != desired.mtu:
        yield SetMtu(desired.mtu)
    for address in sorted(desired.addresses - link.addresses, key=_order):
        yield AddAddress(address)
    # Only now: with the last IPv4 address of a device Linux takes away all IPv4 routes into it.
    for address in sorted(link.addresses - desired.addresses, key=_order):
        yield RemoveAddress(address)
    if not link.is_up:
        yield LinkUp()


def _with_addresses_of(desired: Desired, host: HostState) -> HostState:
    """The host once its addresses are the desired ones, as far as routes are concerned."""
    before = host.link.addresses if host.link is not None else frozenset()
    loses_ipv4 = _has_ipv4(before) and not _has_ipv4(desired.addresses)
    kept = frozenset(route for route in host.routes if family_of(route.destination) == 6 or not loses_ipv4)
    return replace(host, routes=kept)


def _has_ipv4(addresses: Iterable[IPAddress]) -> bool:
    return any(address.version == 4 for address in addresses)


def _narrowed(desired: Desired, state: InterfaceState | None) -> InterfaceState | None:
    """The interface without the ways that shall not be any more: neighbours, and prefixes of those that stay."""
    if state is None:
        return None
    wanted = desired.neighbours
    kept = {key: peer for key, peer in state.peers.items() if key in wanted}
    peers = {key: replace(peer, allowed_ips=peer.allowed_ips & wanted[key].allowed_ips) for key, peer in kept.items()}
    return replace(state, peers=peers)


def _shut(state: InterfaceState | None, narrowed: InterfaceState | None) -> Iterator[Step]:
    if state is None or narrowed is None or state == narrowed:
        return
    changes = [PeerChange(key, remove=True) for key in sorted(state.peers.keys() - narrowed.peers.keys())]
    for key, peer in sorted(narrowed.peers.items()):
        if peer.allowed_ips != state.peers[key].allowed_ips:
            changes.append(PeerChange(key, allowed_ips=tuple(sorted(peer.allowed_ips, key=sort_key))))
    yield ConfigureWireGuard(InterfaceChange(peers=tuple(changes)))


def _filters(wanted: Rules, host: HostState, interface: str) -> Iterator[Step]:
    if wanted.is_needed:
        if host.digest != rules.digest(interface, wanted):
            yield LoadRules(rules.load_script(interface, wanted, host.table))
    elif rules.of_interface(interface, host.table).chains:
        yield DropRules(rules.drop_script(interface, host.table))


def _forwarding(wanted: Rules, host: HostState, target: Target) -> Iterator[Step]:
    """Only after the rules are loaded, so that nothing is forwarded that they would stop."""
    if wanted.forwards:
        yield from (EnableForwarding(family) for family in FAMILIES if family not in host.forwards)
    elif target.forwarding_changed and not _is_shared(host, target.interface):
        yield RestoreForwarding()
    if wanted.mark and not host.honours_marks:
        yield HonourMarks()


def _new_routes(wanted: Routing, host: HostState, interface: str) -> Iterator[Step]:
    # A link that comes up anew has lost its routes.
    kept = _own_routes(host, interface) if host.link is not None and host.link.is_up else frozenset()
    for route in sorted(wanted.routes - kept, key=_route_order):
        yield AddRoute(route)


def _old_rules(wanted: Routing, host: HostState, interface: str) -> Iterator[Step]:
    ours = {rule for rule in host.rules if is_ours(rule, interface)}
    # The rule that leads away from the main table goes first.
    for rule in sorted(ours - wanted.rules, key=_rule_order, reverse=True):
        yield RemoveRule(rule)


def _old_routes(wanted: Routing, host: HostState, interface: str) -> Iterator[Step]:
    for route in sorted(_own_routes(host, interface) - wanted.routes, key=_route_order):
        yield RemoveRoute(route)


def _old_mark(wanted: Routing, host: HostState, target: Target) -> Iterator[Step]:
    if wanted.mark:
        return
    if host.wireguard is not None and host.wireguard.fwmark:
        yield ConfigureWireGuard(InterfaceChange(fwmark=0))
    if target.marks_changed and not _is_shared(host, target.interface):
        yield RestoreMarks()


def _own_routes(host: HostState, interface: str) -> frozenset[Route]:
    return frozenset(route for route in host.routes if route.table in (None, slot_of(interface).table))


def _order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


def _route_order(route: Route) -> tuple[int, int, int]:
    return sort_key(route.destination)


def _rule_order(rule: Rule) -> tuple[int, int]:
    return rule.family, rule.priority
