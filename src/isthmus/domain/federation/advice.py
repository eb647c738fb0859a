"""Advice on grants and bridges: which of them an operator should look at, and why. Each rule sees facts alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from isthmus.domain.addresses import IPNetwork
from isthmus.domain.federation import finding
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.bridge import State as BridgeState
from isthmus.domain.federation.finding import Cause
from isthmus.domain.federation.grant import Axis, AxisMode, Grant, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.ids import NetworkId

POWERFUL = frozenset({Scope.ADMIN, Scope.MIGRATE})
UNUSED = timedelta(days=90)
EXPIRING = timedelta(days=7)
EXPIRING_SHARE = 0.25
"""A grant of a day is not about to expire for the whole of it."""
STALE = timedelta(days=7)
SETTLING = timedelta(minutes=5)
"""How long the two sides of a bridge may differ: what one says takes its time to arrive."""
MOST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is at one moment: our networks with their ranges, the instances of each remote that are known here,
    and all bridges that are not revoked."""

    now: datetime
    networks: Mapping[NetworkId, Sequence[IPNetwork]] = field(default_factory=dict)
    instances: Mapping[BackendDomain, Set[InstanceId]] = field(default_factory=dict)
    bridges: Sequence[Bridge] = ()


def of_grants(grants: Iterable[Grant], facts: Facts) -> Iterator[Cause]:
    """All that is to be said of grants; of those that are not live, nothing."""
    for grant in grants:
        if not grant.is_live(facts.now):
            continue
        for kind, rule in GRANT_RULES.items():
            evidence = rule(grant, facts)
            if evidence is not None:
                yield Cause(kind, grant.remote, str(grant.id), {"grantee": grant.subject, **evidence})


def of_bridges(facts: Facts) -> Iterator[Cause]:
    """All that is to be said of the bridges themselves."""
    for bridge in facts.bridges:
        for kind, rule in BRIDGE_RULES.items():
            evidence = rule(bridge, facts)
            if evidence is not None:
                yield Cause(kind, bridge.remote, str(bridge.id), evidence)


Evidence = dict[str, Any] | None


def axes(grant: Grant) -> Mapping[str, Axis[Any]]:
    return {"instance": grant.instances, "network": grant.networks, "source": grant.sources}


def open_axes(grant: Grant) -> list[str]:
    return [name for name, axis in axes(grant).items() if axis.mode is AxisMode.ANY]


def unrestricted(grant: Grant, _: Facts) -> Evidence:
    """Powerful scopes for everybody there, from everywhere."""
    powerful = grant.scopes & POWERFUL
    return {"scopes": sorted(powerful)} if powerful and len(open_axes(grant)) == len(axes(grant)) else None


def partly_open(grant: Grant, _: Facts) -> Evidence:
    """Powerful scopes, and an axis that restricts nothing beside one that does."""
    powerful, opened = grant.scopes & POWERFUL, open_axes(grant)
    if powerful and 0 < len(opened) < len(axes(grant)):
        return {"scopes": sorted(powerful), "axes": opened}
    return None


def empty(grant: Grant, _: Facts) -> Evidence:
    """A list without entries: it denies every call."""
    found = [name for name, axis in axes(grant).items() if axis.mode is AxisMode.LIST and not axis.entries]
    return {"axes": found} if found else None


def broad(grant: Grant, _: Facts) -> Evidence:
    """Every scope that there is, or more than reading on all resources of a kind."""
    is_whole_kind = grant.resource_id is None and bool(grant.scopes - {Scope.READ})
    if is_whole_kind or grant.scopes == frozenset(Scope):
        return {"kind": grant.kind, "resource": grant.resource_id or "all", "scopes": sorted(grant.scopes)}
    return None


def references_unknown(grant: Grant, facts: Facts) -> Evidence:
    networks = grant.networks.entries - facts.networks.keys()
    instances = grant.instances.entries - facts.instances.get(grant.remote, frozenset())
    found = {"networks": networks, "instances": instances}
    return {name: _shown(which) for name, which in found.items() if which} or None


def source_outside(grant: Grant, facts: Facts) -> Evidence:
    """Sources that no accepted prefix of the named networks has in common. Over the WAN, every source is possible."""
    bridges = [
        bridge
        for bridge in facts.bridges
        if bridge.remote == grant.remote and bridge.network_id in grant.networks.entries
    ]
    prefixes = [prefix for bridge in bridges for prefix in bridge.accepted]
    outside = [source for source in grant.sources.entries if not any(map(source.overlaps, prefixes))]
    return {"sources": _shown(outside)} if prefixes and outside else None


def expiring(grant: Grant, facts: Facts) -> Evidence:
    lead = min(EXPIRING, EXPIRING_SHARE * (grant.expires_at - grant.issued_at))
    return {"until": grant.expires_at.isoformat()} if grant.expires_at - facts.now <= lead else None


def unused(grant: Grant, facts: Facts) -> Evidence:
    since = grant.last_used_at or grant.issued_at
    return {"since": since.isoformat()} if facts.now - since >= UNUSED else None


def mismatched(bridge: Bridge, facts: Facts) -> Evidence:
    """Accepted here, and not in the same state there, for longer than messages take."""
    there = None if bridge.theirs is None else bridge.theirs.state
    if bridge.state is BridgeState.PROPOSED or there is bridge.state or facts.now - bridge.changed_at < SETTLING:
        return None
    return {"here": bridge.state.value, "there": "unknown" if there is None else there.value}


def stale(bridge: Bridge, facts: Facts) -> Evidence:
    if bridge.state is BridgeState.PROPOSED and facts.now - bridge.created_at >= STALE:
        return {"proposed_by": bridge.proposed_by.value, "since": bridge.created_at.isoformat()}
    return None


def overlapping(bridge: Bridge, facts: Facts) -> Evidence:
    """Accepted prefixes that have addresses in common with a network of ours, or with another remote's."""
    ours = [cidr for cidrs in facts.networks.values() for cidr in cidrs]
    others = [prefix for other in facts.bridges if other.remote != bridge.remote for prefix in other.accepted]
    pairs = ((prefix, other) for prefix in bridge.accepted for other in (*ours, *others))
    found = [f"{prefix} and {other}" for prefix, other in pairs if prefix.overlaps(other)]
    return {"prefixes": _shown(found)} if found else None


def _shown(values: Iterable[object]) -> list[str]:
    return sorted(map(str, values))[:MOST_SHOWN]


GRANT_RULES: Mapping[str, Callable[[Grant, Facts], Evidence]] = {
    finding.GRANT_UNRESTRICTED_SCOPE: unrestricted,
    finding.GRANT_AXIS_OPEN: partly_open,
    finding.GRANT_AXIS_EMPTY: empty,
    finding.BROAD_SCOPE_GRANT: broad,
    finding.GRANT_REFERENCES_UNKNOWN: references_unknown,
    finding.GRANT_SOURCE_OUTSIDE_PREFIX: source_outside,
    finding.GRANT_EXPIRING: expiring,
    finding.GRANT_UNUSED_90D: unused,
}
BRIDGE_RULES: Mapping[str, Callable[[Bridge, Facts], Evidence]] = {
    finding.BRIDGE_STATE_MISMATCH: mismatched,
    finding.BRIDGE_STALE_PROPOSED: stale,
    finding.PREFIX_OVERLAP: overlapping,
}
