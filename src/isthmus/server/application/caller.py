"""Who asks: every use case gets the caller, and the audit log names it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from isthmus.domain.ids import ApiTokenId, UserId
from isthmus.server.records import AuditEntry, Outcome

ALL_SCOPES = frozenset({"read", "write", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """`actor` reads `user:NAME`, `agent:PEER-ID`, `local` or `anyone`; `source` is the socket's peer address."""

    actor: str
    request_id: str
    source: str | None = None
    scopes: frozenset[str] = field(default_factory=frozenset)
    user_id: UserId | None = None
    token_id: ApiTokenId | None = None

    def did(self, action: str, subject: object, now: datetime, **facts: Any) -> AuditEntry:
        """The audit row of something that this caller did; `facts` must hold no secret."""
        if self.source is not None:
            facts["source"] = self.source
        return AuditEntry(now, self.actor, action, str(subject), Outcome.DONE, self.request_id, facts=facts)
