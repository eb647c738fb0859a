"""The gate: the one place that says whether a federated call may have its effect."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from isthmus.domain.errors import InvalidValue, NotFound
from isthmus.domain.federation.authorization import (
    WAN,
    Demand,
    Facts,
    Question,
    Standing,
    Wan,
    check_component,
    check_standing,
    decide,
)
from isthmus.domain.federation.axes import parse_network_id, source_of
from isthmus.domain.federation.bridge import Bridge
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.disclosure import Failures, denial_of, facts_of
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Remote, State, Strategy
from isthmus.domain.ids import NetworkId
from isthmus.protocol.context import Context
from isthmus.protocol.federation import STANDING, Admits
from isthmus.server.application.calls import Call, Permit
from isthmus.server.application.grant_tokens import GrantTokens
from isthmus.server.ports import Store, Transaction

STATES: Mapping[Admits, State] = {
    Admits.PENDING: State.PENDING,
    Admits.SUSPENDED: State.SUSPENDED,
    Admits.ACTIVE: State.ACTIVE,
}
# Without these a remote could not even end what it has with us: they are for every remote, whatever else it may use.
FOR_ALL = frozenset({"handshake", "heartbeat", "bridges"})


class Gatekeeper:
    def __init__(self, tokens: GrantTokens) -> None:
        self._tokens = tokens
        self._failures = Failures()
        self._used: dict[UUID, datetime] = {}

    async def authorize(self, call: Call, tx: Transaction, *, hold: bool) -> Permit:
        """The one gate of every endpoint, asked in the transaction of the effect. Raises `Denied`.

        With `hold` the remote's entry stays as it is until the end of the transaction, and with it its bridges and
        grants: whoever changes them locks it first. So a revocation waits for the effect, or the effect sees it.
        """
        context, admits = call.context, call.entry.admits
        federation = await tx.federation.get()
        if federation is None:
            raise Denied("federation_denied", "no_federation")
        if context.invitation:
            if Admits.INVITED not in admits or context.remote or context.network != WAN:
                raise Denied("federation_denied", "invitation.elsewhere")
            return Permit(None, federation.domain)
        states = frozenset(STATES[each] for each in admits if each in STATES)
        standing = await standing_of(tx, context, federation.strategy, hold=hold)
        check_standing(standing, context.generation, states, call.at)
        if standing.remote is not None and call.component not in FOR_ALL:
            check_component(standing.remote, call.component)
        question = await self._question(call, tx, standing.remote)
        verdict = decide(question)
        if verdict.deciding is not None:
            failures = 0
            if question.grant is not None and verdict.code == "axis_denied":
                failures = self._failures.count(question.grant.id, call.at)
            raise denial_of(question, verdict, failures)
        if question.grant is not None:
            call.afterwards.append(partial(self._note, question.grant.id, call.at))
        return Permit(standing.remote, federation.domain, question.grant, facts_of(question))

    async def _question(self, call: Call, tx: Transaction, remote: Remote | None) -> Question:
        demand = demand_of(call)
        facts = facts_in(call.context)
        grant = None if demand is None else await self._tokens.grant_of(tx, call.authorization, call.at)
        return Question(
            facts=facts,
            now=call.at,
            remote=BackendDomain(call.context.remote),
            generation=call.context.generation,
            bridge=await bridge_of(tx, remote, facts),
            # Whom the strategy `all` lets in without an entry has no bridges.
            wan_permitted=call.component in STANDING or remote is None or remote.wan_permitted,
            demand=demand,
            presented=call.authorization is not None,
            grant=grant,
        )

    def _note(self, grant_id: UUID, at: datetime) -> None:
        self._used[grant_id] = at

    async def flush(self, store: Store) -> None:
        """Write down when grants were used last; what a crash loses of it is of no weight."""
        used, self._used = self._used, {}
        if used:
            async with store.transaction() as tx:
                await tx.grants.used(list(used.items()))


def demand_of(call: Call) -> Demand | None:
    """What the call needs a grant for, by what the table says of it."""
    scope = call.entry.scope
    return None if scope is None else Demand(scope, call.body.kind, call.body.id)


def facts_in(context: Context) -> Facts:
    return Facts(instance_fact(context.instance), network_fact(context.network), source_of(context.source))


def instance_fact(text: str) -> InstanceId | None:
    try:
        return InstanceId(UUID(text))
    except ValueError:
        return None


def network_fact(text: str) -> NetworkId | Wan | None:
    if text == WAN:
        return WAN
    try:
        return parse_network_id(text, "")
    except InvalidValue:
        return None


async def bridge_of(tx: Transaction, remote: Remote | None, facts: Facts) -> Bridge | None:
    if remote is None or facts.network is None or facts.network == WAN:
        return None
    return await tx.bridges.live(remote.domain, facts.network)


async def standing_of(tx: Transaction, context: Context, strategy: Strategy, *, hold: bool) -> Standing:
    domain = BackendDomain(context.remote)
    try:
        instance = InstanceId(UUID(context.instance))
    except ValueError:
        raise Denied("federation_denied", "no_instance") from None
    try:
        remote = await (tx.remotes.lock(domain) if hold else tx.remotes.get(domain))
    except NotFound:
        remote = None
    known = await tx.remote_instances.get(domain, instance)
    return Standing(remote, strategy, known is not None and known.blocked_at is not None)
