"""A federated call as a component gets it, the one function that says whether it may happen, and what it is made of.

A component is a table of endpoints. The plane (`adapters/components`) has verified the context and decoded the body by
the time an endpoint is asked; every endpoint passes `authorize`, in the transaction that its effect is in.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from msgspec import Struct

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.authorization import Standing, check_component, check_standing
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.remote import Remote, State, Strategy
from isthmus.protocol.context import Context
from isthmus.protocol.federation import RPCS, Admits, Rpc
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Transaction
from isthmus.server.records import AuditEntry, Outcome


@dataclass(frozen=True, slots=True)
class Permit:
    """That `authorize` has let a call pass. Nothing else makes one, and no endpoint is asked without."""

    remote: Remote | None
    """None for the holder of an invitation, and for a remote without an entry where the strategy is `all`."""
    own_domain: BackendDomain


@dataclass(slots=True)
class Call:
    """`body` is an instance of the request type that the table names. `at` is when it was taken up.

    `afterwards` run once the transaction has been committed, in order; they must neither fail nor wait.
    """

    component: str
    rpc: str
    context: Context
    body: Any
    at: datetime
    idempotency_key: str | None = None
    authorization: str | None = None
    permitted: Permit | None = None
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    _entry: AuditEntry | None = None

    @property
    def entry(self) -> Rpc:
        return RPCS[self.component, self.rpc]

    @property
    def permit(self) -> Permit:
        """What `authorize` found of the caller. Raises `RuntimeError` in an endpoint that was asked past it."""
        if self.permitted is None:
            raise RuntimeError(f"{self.action} was asked without a permit")
        return self.permitted

    @property
    def action(self) -> str:
        return f"{self.component}/{self.rpc}"

    @property
    def caller(self) -> Caller:
        """Who asks, for use cases and the audit log: `remote:<domain>/<instance>`, or `anyone` with an invitation."""
        return Caller(actor_of(self.context), self.context.request_id, self.context.source)

    def did(self, action: str, subject: object, **facts: Any) -> None:
        """Say what a mutation has done. It is the one audit row that the plane writes of it."""
        if self._entry is not None:
            raise RuntimeError(f"{self.action} has said twice what it did")
        self._entry = self._told(action, subject, **facts)

    def row(self) -> AuditEntry:
        """The audit row of this mutation, in the words of its endpoint where it gave some."""
        return self._entry or self._told(self.action, self.context.remote or self.context.origin)

    def _told(self, action: str, subject: object, **facts: Any) -> AuditEntry:
        return self.caller.did(action, subject, self.at, **facts_of(self.context), **facts)


Within: TypeAlias = Callable[[Call, Transaction], Awaitable[Struct]]
Alone: TypeAlias = Callable[[Call], Awaitable[Struct]]


@dataclass(frozen=True, slots=True)
class Reading:
    """Answers from one consistent state of the store."""

    answer: Within


@dataclass(frozen=True, slots=True)
class Writing:
    """Answers and changes the store in one transaction. The plane writes its audit row, and keeps its answer under the
    idempotency key where the table calls it a mutation."""

    answer: Within


@dataclass(frozen=True, slots=True)
class Outside:
    """Answers without the store, which it must not hold while it waits for others."""

    answer: Alone


Endpoint: TypeAlias = Reading | Writing | Outside
Component: TypeAlias = Mapping[str, Endpoint]
"""The endpoints of one component by the names of their calls."""


class TableDiffers(RuntimeError):
    """What the components answer is not what the table of federated calls says."""


STATES: Mapping[Admits, State] = {
    Admits.PENDING: State.PENDING,
    Admits.SUSPENDED: State.SUSPENDED,
    Admits.ACTIVE: State.ACTIVE,
}
# Without these a remote could not even end what it has with us: they are for every remote, whatever else it may use.
FOR_ALL = frozenset({"handshake", "heartbeat"})


async def authorize(call: Call, tx: Transaction, *, hold: bool) -> Permit:
    """The one gate of every endpoint, asked in the transaction of the effect. Raises `Denied`.

    With `hold` the remote's entry stays as it is until the end of the transaction: a revocation waits for that.
    """
    context, admits = call.context, call.entry.admits
    federation = await tx.federation.get()
    if federation is None:
        raise Denied("federation_denied", "no_federation")
    if context.invitation:
        if Admits.INVITED not in admits or context.remote:
            raise Denied("federation_denied", "invitation.elsewhere")
        return Permit(None, federation.domain)
    states = frozenset(STATES[each] for each in admits if each in STATES)
    standing = await standing_of(tx, context, federation.strategy, hold=hold)
    check_standing(standing, context.generation, states, call.at)
    if standing.remote is not None and call.component not in FOR_ALL:
        check_component(standing.remote, call.component)
    return Permit(standing.remote, federation.domain)


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


def actor_of(context: Context) -> str:
    return f"remote:{context.remote}/{context.instance}" if context.remote else "anyone"


def facts_of(context: Context) -> dict[str, Any]:
    """What the Federator has proven of the caller, for the audit log."""
    facts: dict[str, Any] = {
        "origin": context.origin,
        "instance": context.instance,
        "leaf": context.leaf,
        "network": context.network,
        "listener": context.listener,
        "snapshot": context.snapshot,
        "stage": "component",
    }
    more = {"invitation": context.invitation, "caller_request_id": context.caller_request_id}
    return facts | {name: value for name, value in more.items() if value}


def denied(call: Call, denial: Denied) -> AuditEntry:
    """The audit row of a call that a component said no to."""
    context = call.context
    facts = {**denial.facts, "code": denial.code, **facts_of(context), "source": context.source}
    subject = context.remote or context.origin
    actor, outcome = actor_of(context), Outcome.DENIED
    return AuditEntry(call.at, actor, call.action, subject, outcome, context.request_id, denial.reason, facts)
