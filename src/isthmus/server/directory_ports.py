"""What the directory and the components need of the store and of the world: people, kept answers, our own names."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from isthmus.domain.federation.directory import User
from isthmus.domain.federation.names import BackendDomain
from isthmus.server.records import Page


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Which mutation an idempotency key stands for: that of one call by one remote, as long as its entry lives."""

    remote: str
    generation: int
    component: str
    rpc: str
    key: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a mutation was answered. `body` is the SHA-256 of the request's body."""

    key: AnswerKey
    body: bytes
    answer: bytes
    at: datetime


class DirectoryUsers(Protocol):
    """The people of this backend, each with its overrides."""

    async def get(self, user_id: UUID) -> User:
        """Raises `NotFound`."""

    async def lock(self, user_id: UUID) -> User:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def with_handle(self, handle: str) -> User | None: ...
    async def page(self, page: Page, handle: str | None = None) -> list[User]: ...
    async def beginning_with(self, begins: str, remote: BackendDomain, limit: int) -> list[User]:
        """Users that `remote` may search for and whose handle or name begins with `begins`, in order of handle."""

    async def add(self, user: User) -> None:
        """Raises `HandleTaken`."""

    async def save(self, user: User) -> None:
        """Writes all fields and overrides. Raises `HandleTaken` or `NotFound`."""

    async def delete(self, user_id: UUID) -> None:
        """Raises `NotFound`."""


class KeptAnswers(Protocol):
    async def get(self, key: AnswerKey) -> KeptAnswer | None: ...
    async def add(self, answer: KeptAnswer) -> None:
        """Raises `Conflict` where the key has one."""

    async def forget(self, before: datetime, most: int) -> int:
        """Delete at most so many answers that are older; returns how many it were."""


class Ourselves(Protocol):
    """What this backend is called."""

    async def domain(self) -> BackendDomain | None:
        """None before `isthmus federation init`."""


class Instances(Protocol):
    """The processes of this backend that speak to others."""

    def name_of(self, instance: UUID) -> str | None: ...
