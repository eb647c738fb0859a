"""Whether a call that the Federator has admitted may have its effect, by what holds in the transaction of that effect.

The Federator decides by a snapshot, which is a moment old; what was suspended or revoked since then ends here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from isthmus.domain.addresses import IPAddress
from isthmus.domain.federation.axes import lies_in
from isthmus.domain.federation.bridge import Bridge, Hold
from isthmus.domain.federation.bridge import State as BridgeState
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.grant import Axis, Grant, Scope
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Direction, Remote, State, Strategy
from isthmus.domain.ids import NetworkId

DENIALS: Mapping[State, str] = {State.SUSPENDED: "remote_suspended", State.REVOKED: "remote_revoked"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What this backend makes of a caller: the remote's live entry, whom it federates with at all, and whether an
    operator has blocked the instance."""

    remote: Remote | None
    strategy: Strategy
    is_blocked: bool = False


def check_standing(standing: Standing, generation: int, states: frozenset[State], now: datetime) -> None:
    """`generation` is that of the entry by which the caller was admitted, 0 of one without. Raises `Denied`."""
    remote = standing.remote
    if standing.strategy is Strategy.NONE:
        raise Denied("federation_denied", "strategy_none")
    if remote is None:
        if standing.strategy is not Strategy.ALL or State.ACTIVE not in states:
            raise Denied("federation_denied", "not_listed")
        return
    if remote.generation != generation:
        # What the former entry was allowed is not for the new one, and the other way round.
        raise Denied("federation_denied", "generation")
    if remote.removed_at is not None:
        raise Denied("federation_denied", "not_listed")
    if remote.state not in states:
        raise Denied(DENIALS.get(remote.state, "federation_denied"), f"remote_{remote.state}")
    if remote.is_expired(now):
        raise Denied("federation_denied", "remote_expired")
    if standing.is_blocked:
        raise Denied("instance_blocked")


def check_component(remote: Remote, component: str) -> None:
    """Whether `remote` may call `component` at all. Raises `Denied`."""
    if not remote.direction.has(Direction.IN):
        raise Denied("federation_denied", "direction")
    if remote.components is not None and component not in remote.components:
        raise Denied("federation_denied", "component_not_allowed")


Wan = Literal["wan"]
WAN: Wan = "wan"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is proven of a call. A fact that is missing, or is not what it should be, is None."""

    instance: InstanceId | None = None
    network: NetworkId | Wan | None = None
    source: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call needs a grant for. `resource_id` None: it names no single resource."""

    scope: Scope
    kind: str
    resource_id: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """All that the decision about a call is made of.

    `demand` None: the call needs no grant. `grant` is the one whose token was proven, None where none was; `presented`
    says whether there was a token at all. `bridge` is the live one of the remote for the network of the facts.
    """

    facts: Facts
    now: datetime
    remote: BackendDomain
    generation: int
    bridge: Bridge | None = None
    wan_permitted: bool = False
    demand: Demand | None = None
    presented: bool = False
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Each check that was asked, in order, with the code of its refusal; empty where it passed."""

    checks: Mapping[str, str]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check for check, code in self.checks.items() if code)

    @property
    def deciding(self) -> str | None:
        """The check that the caller is told of: the first that failed."""
        return next(iter(self.failed), None)

    @property
    def code(self) -> str:
        return "" if self.deciding is None else self.checks[self.deciding]


def decide(question: Question) -> Verdict:
    """Whether a call may have its effect. Without a grant of the caller's own nothing else is looked at."""
    way = {"way": way_refusal(question)}
    if question.demand is None:
        return Verdict(way)
    token = token_refusal(question)
    if token or question.grant is None:
        return Verdict({"token": token})
    grant, demand = question.grant, question.demand
    of_grant = {name: check(grant, demand, question.now) for name, check in GRANT_CHECKS.items()}
    of_axes = {name: "" if admits(grant, question.facts) else "axis_denied" for name, admits in AXES.items()}
    return Verdict({"token": token} | of_grant | way | of_axes)


def token_refusal(question: Question) -> str:
    """Unknown, malformed and somebody else's are one: whoever tries tokens learns nothing."""
    if not question.presented:
        return "grant_token_required"
    grant = question.grant
    is_theirs = grant is not None and (grant.remote, grant.remote_generation) == (question.remote, question.generation)
    return "" if is_theirs else "grant_invalid"


def life_refusal(grant: Grant, _: Demand, now: datetime) -> str:
    if grant.revoked_at is not None:
        return "grant_revoked"
    return "" if now < grant.expires_at else "grant_expired"


def kind_refusal(grant: Grant, demand: Demand, _: datetime) -> str:
    return "" if grant.kind == demand.kind else "grant_kind_mismatch"


def resource_refusal(grant: Grant, demand: Demand, _: datetime) -> str:
    """A grant for one resource never covers a call that names none."""
    return "" if grant.resource_id in (None, demand.resource_id) else "grant_resource_mismatch"


def scope_refusal(grant: Grant, demand: Demand, _: datetime) -> str:
    return "" if demand.scope in grant.scopes else "grant_scope_missing"


def way_refusal(question: Question) -> str:
    """An overlay counts by an active bridge of this very remote, whatever any list says."""
    if question.facts.network == WAN:
        return "" if question.wan_permitted else "wan_not_permitted"
    bridge = question.bridge
    if bridge is None or question.facts.network is None or not is_of(bridge, question):
        return "bridge_not_active"
    if bridge.is_effective:
        return ""
    by_incident = bridge.state is BridgeState.SUSPENDED and Hold.INCIDENT in bridge.holds
    return "incident_block" if by_incident else "bridge_not_active"


def is_of(bridge: Bridge, question: Question) -> bool:
    theirs = (bridge.remote, bridge.remote_generation) == (question.remote, question.generation)
    return theirs and bridge.network_id == question.facts.network


def applies_to_instance(grant: Grant, facts: Facts) -> bool:
    return grant.instances.admits(lambda each: each == facts.instance)


def applies_to_network(grant: Grant, facts: Facts) -> bool:
    return grant.networks.admits(lambda each: each == facts.network)


def applies_to_source(grant: Grant, facts: Facts) -> bool:
    source = facts.source
    return grant.sources.admits(lambda each: source is not None and lies_in(source, each))


GRANT_CHECKS: Mapping[str, Callable[[Grant, Demand, datetime], str]] = {
    "life": life_refusal,
    "kind": kind_refusal,
    "resource": resource_refusal,
    "scope": scope_refusal,
}
AXES: Mapping[str, Callable[[Grant, Facts], bool]] = {
    "instance": applies_to_instance,
    "network": applies_to_network,
    "source": applies_to_source,
}


def axis_of(grant: Grant, name: str) -> Axis[Any]:
    axes: dict[str, Axis[Any]] = {"instance": grant.instances, "network": grant.networks, "source": grant.sources}
    return axes[name]


def supplied_of(facts: Facts, name: str) -> str | None:
    """What the call had for an axis, as text."""
    value = {"instance": facts.instance, "network": facts.network, "source": facts.source}[name]
    return None if value is None else str(value)
