"""Why a call is, was or would be denied: allowed beside supplied, for the operator of the side that owns the grant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.authorization import WAN, Demand, Facts, Question, Verdict, decide
from isthmus.domain.federation.axes import parse_instance, parse_network_id, source_of
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.disclosure import compared
from isthmus.domain.federation.grant import Grant
from isthmus.domain.federation.granting import parse_scopes
from isthmus.domain.federation.remote import Remote
from isthmus.server.application.gate import bridge_of, instance_fact, network_fact
from isthmus.server.ports import Clock, Store, Transaction
from isthmus.server.records import AuditRow


@dataclass(frozen=True, slots=True)
class Supposed:
    """A call that might be made. What is None is missing from it; `scope` and `resource_id` are those of the grant
    where they are not named."""

    instance: str | None = None
    network: str | None = None
    source: str | None = None
    scope: str | None = None
    resource_id: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`axes` hold allowed and supplied of each axis. `recorded` is the code with which the call was really denied,
    empty where it was let pass, None where it is a supposed one. The grant is judged as it is now."""

    grant: Grant
    at: datetime
    verdict: Verdict
    axes: Mapping[str, Mapping[str, Any]]
    bridge: Bridge | None
    needs_bridge: bool
    recorded: str | None = None


class ExplainService:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def supposed(self, grant_id: UUID, call: Supposed) -> Explanation:
        facts = facts_of(call)
        async with self._store.reading() as tx:
            grant = await tx.grants.get(grant_id)
            scope = min(grant.scopes) if call.scope is None else next(iter(parse_scopes([call.scope])))
            demand = Demand(scope, grant.kind, call.resource_id or grant.resource_id)
            return await explained(tx, grant, (facts, demand), self._clock.now())

    async def recorded(self, grant_id: UUID, request_id: str) -> Explanation:
        """The call with that request id. Raises `NotFound` where the log has none that used this grant."""
        async with self._store.reading() as tx:
            grant = await tx.grants.get(grant_id)
            rows = await tx.journal.audit_of_request(request_id)
            row = next((each for each in rows if each.entry.facts.get("grant") == str(grant_id)), None)
            if row is None:
                raise NotFound("call of this grant with the request id", request_id[:64])
            return await explained(tx, grant, asked_in(row), row.entry.at, recorded=row)


async def explained(
    tx: Transaction, grant: Grant, asked: tuple[Facts, Demand], at: datetime, recorded: AuditRow | None = None
) -> Explanation:
    facts, demand = asked
    remote = await remote_of(tx, grant)
    bridge = await bridge_of(tx, remote, facts)
    question = Question(
        facts=facts,
        now=at,
        remote=grant.remote,
        generation=0 if remote is None else remote.generation,
        bridge=bridge,
        wan_permitted=remote is not None and remote.wan_permitted,
        demand=demand,
        presented=True,
        grant=grant,
    )
    code = None if recorded is None else str(recorded.entry.facts.get("code", ""))
    return Explanation(grant, at, decide(question), compared(grant, question), bridge, facts.network != WAN, code)


async def remote_of(tx: Transaction, grant: Grant) -> Remote | None:
    try:
        return await tx.remotes.get(grant.remote)
    except NotFound:
        return None


def facts_of(call: Supposed) -> Facts:
    """Raises `InvalidValue`."""
    source = None if call.source is None else source_of(call.source)
    if call.source is not None and source is None:
        raise InvalidValue("/source", "is no IP address", "for example fd00::7")
    network = call.network
    return Facts(
        instance=None if call.instance is None else parse_instance(call.instance, "/instance"),
        network=WAN if network == WAN else None if network is None else parse_network_id(network, "/network"),
        source=source,
    )


def asked_in(row: AuditRow) -> tuple[Facts, Demand]:
    told = row.entry.facts
    facts = Facts(
        instance_fact(str(told.get("instance"))),
        network_fact(str(told.get("network"))),
        source_of(str(told.get("source"))),
    )
    scope = next(iter(parse_scopes([str(told.get("scope"))])))
    return facts, Demand(scope, str(told.get("kind")), told.get("resource"))
