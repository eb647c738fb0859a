"""A federated call as a component gets it, and what a component is made of.

A component is a table of endpoints. The plane (`adapters/components`) has verified the context and decoded the body by
the time an endpoint is asked; every endpoint is behind the gate (`gate.py`), in the transaction that its effect is in.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.grant import Grant
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote
from isthmus.protocol.context import Context
from isthmus.protocol.federation import RPCS, Rpc
from isthmus.server.application.caller import Caller
from isthmus.server.ports import Transaction
from isthmus.server.records import AuditEntry, Outcome


@dataclass(frozen=True, slots=True)
class Permit:
    """That the gate has let a call pass. Nothing else makes one, and no endpoint is asked without.

    `facts` are those of grant and bridge, for the audit log.
    """

    remote: Remote | None
    """None for the holder of an invitation, and for a remote without an entry where the strategy is `all`."""
    own_domain: BackendDomain
    grant: Grant | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


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
        """What the gate found of the caller. Raises `RuntimeError` in an endpoint that was asked past it."""
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
        judged = self.permitted.facts if self.permitted is not None else {}
        return self.caller.did(action, subject, self.at, **{**facts_of(self.context), **judged, **facts})


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


def is_endpoint(found: object) -> bool:
    """Whether `found` is of a kind that is asked behind the gate; what else answers has not been let through it."""
    return isinstance(found, Reading | Writing | Outside)


class TableDiffers(RuntimeError):
    """What the components answer is not what the table of federated calls says, or is answered past the gate."""


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
        "assurance": context.assurance,
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
