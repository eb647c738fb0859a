"""Who asks: every use case gets the caller, and the audit log names it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from isthmus.domain.ids import ApiTokenId, NetworkId, UserId
from isthmus.server.records import AuditEntry, Outcome


@dataclass(frozen=True, slots=True)
class Caller:
    """`actor` reads `user:NAME`, `agent:PEER-ID`, `local` or `anyone`; `source` is the socket's peer address.

    `networks` None means all of them: who has some gets to hear of no others. What is asked with counts until `until`.
    """

    actor: str
    request_id: str
    source: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    user_id: UserId | None = None
    token_id: ApiTokenId | None = None
    networks: frozenset[NetworkId] | None = None
    until: datetime | None = None

    def those_of(self, networks: Collection[NetworkId]) -> frozenset[NetworkId]:
        """Which of `networks` the caller may know of."""
        return frozenset(networks) if self.networks is None else self.networks.intersection(networks)

    def did(self, action: str, subject: object, now: datetime, **facts: Any) -> AuditEntry:
        """The audit row of something that this caller did; `facts` must hold no secret."""
        if self.source is not None:
            facts["source"] = self.source
        return AuditEntry(now, self.actor, action, str(subject), Outcome.DONE, self.request_id, facts=facts)
