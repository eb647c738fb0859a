"""What the audit chain needs of the store, and what is kept of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from isthmus.domain.audit import Seal
from isthmus.server.records import AuditRow


@dataclass(frozen=True, slots=True)
class Link:
    """The hash of the row with this number; `GENESIS` where `number` is 0."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class OwnSeal:
    """A seal of our own log, with the raw public half of the key that made it."""

    seal: Seal
    public_key: bytes


@dataclass(frozen=True, slots=True)
class LinkedRow:
    """A row of the log; `hash` None as long as it is not linked."""

    row: AuditRow
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Rows that match all that is given. A text that ends in `*` matches what begins with the rest of it."""

    action: str | None = None
    actor: str | None = None
    subject: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """What a remote said last of its log and signed: the text of a seal, whose number is `number`."""

    remote_id: UUID
    number: int
    head: str
    heard_at: datetime


class AuditChain(Protocol):
    """Links and seals of the audit log."""

    async def lock(self) -> None:
        """Nobody else adds links or seals until this transaction ends."""

    async def last_number(self) -> int:
        """The number that a row was given last; 0 where there is none."""

    async def head(self) -> Link:
        """The last link."""

    async def link_of(self, number: int) -> Link | None: ...
    async def unlinked(self, after: int, limit: int) -> list[AuditRow]:
        """Rows behind number `after`, in order."""

    async def link(self, links: Sequence[Link]) -> None: ...
    async def seal(self, seal: OwnSeal) -> None: ...
    async def last_seal(self) -> OwnSeal | None: ...
    async def seals(self, after: int, limit: int) -> list[OwnSeal]:
        """Seals of rows behind number `after`, in order."""

    async def rows(self, behind: int, up_to: int, limit: int, wanted: AuditFilter) -> list[LinkedRow]:
        """Rows with `behind` < number ≤ `up_to`, in order."""

    async def rows_back(self, behind: int, up_to: int, limit: int, wanted: AuditFilter) -> list[LinkedRow]:
        """The same, the newest first."""


class Witnesses(Protocol):
    """Heads of the logs of remotes."""

    async def put(self, witness: Witness) -> None:
        """Adds it, or notes when it was heard again."""

    async def of(self, remote_id: UUID) -> list[Witness]:
        """In order of their numbers."""

    async def greatest(self, remote_id: UUID) -> Witness | None:
        """Of those with the greatest number one that was heard first."""

    async def drop(self, remote_id: UUID, heads: Sequence[str]) -> None: ...
