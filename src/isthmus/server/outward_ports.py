"""The way out to other backends: what a use case asks of the own Federator, and how that says no."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from isthmus.domain.errors import Refusal
from isthmus.protocol.federation import CALL_SECONDS
from isthmus.protocol.federator import Examination
from isthmus.protocol.problem import Problem

T = TypeVar("T", bound=Struct)


@dataclass(frozen=True, slots=True)
class Errand:
    """One call to one remote. `request_id` goes along the whole way, `seconds` bound it; a mutation carries an
    `idempotency_key`, the same for every attempt."""

    domain: str
    component: str
    rpc: str
    request_id: str
    idempotency_key: str | None = None
    seconds: float = CALL_SECONDS


class Outward(Protocol):
    """The own Federator, which alone reaches remotes."""

    async def call(self, errand: Errand, body: Struct, response: type[T]) -> T:
        """The remote's answer, decoded strictly. Raises `RemoteRefused` for everything else that can happen."""


class Examiner(Protocol):
    """The own Federator's doctor."""

    async def examine(self, domain: str, request_id: str) -> Examination:
        """Every link of the way to a remote. Raises `RemoteRefused` where the Federator itself says no."""


@dataclass(eq=False)
class RemoteRefused(Refusal):
    """A remote, or a Federator on the way to it, said no; `problem` is what it said, under our request id. `hint` tells
    what to do about it."""

    problem: Problem
    hint: str | None = None

    def __post_init__(self) -> None:
        # Of each refusal another one: whoever maps or records it reads it like that of any other.
        self.code = self.problem.code  # type: ignore[misc]  # elsewhere the class has it

    def details(self) -> dict[str, Any]:
        return {"code": self.problem.code, "stage": self.problem.stage.value}

    def __str__(self) -> str:
        return self.problem.detail or self.problem.title
