"""One call of another backend on its way in: how it arrived, what has been proven of it, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from isthmus.domain.federation.certificate import Identity, LeafFacts
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.view import Known, View
from isthmus.protocol.context import Context
from isthmus.protocol.federation import Rpc

T = TypeVar("T")


@dataclass(slots=True)
class Arrival:
    """One request as it came over the inward socket. `target` and `headers` are raw bytes; `body` reads it all, within
    its bound. `user` is the one at the other end of the socket."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: Callable[[], Awaitable[bytes]]
    user: int

    def only(self, name: str) -> str:
        """The value of a header before the grammar is known to hold; one that comes twice has none."""
        wanted = name.lower().encode("ascii")
        found = [value for literal, value in self.headers if literal.lower() == wanted]
        return found[0].decode("latin-1") if len(found) == 1 else ""


@dataclass(slots=True)
class Passage:
    """One request on its way through the table, and what has been proven of it so far.

    `check` is the row that it has come to, `bound` the remote that it is proven to be of. `is_counted`: its denial is
    one of many of strangers, which have no row of their own. `inside` is undone when the request ends.
    """

    arrival: Arrival
    snapshot: View | None
    request_id: str
    check: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    component: str = ""
    name: str = ""
    network: str = ""
    source: str = ""
    rpc: Rpc | None = None
    origin: BackendDomain | None = None
    known: Known | None = None
    der: bytes = b""
    leaf: LeafFacts | None = None
    identity: Identity | None = None
    is_invited: bool = False
    bound: BackendDomain | None = None
    infra_domain: InfraDomain | None = None
    version: int = 0
    key_id: str = ""
    body: bytes = b""
    context: Context | None = None
    is_counted: bool = False
    inside: ExitStack = field(default_factory=ExitStack)

    @property
    def view(self) -> View:
        return there(self.snapshot)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a component said. `body` has at most `MOST_RESPONSE` bytes."""

    status: int
    content_type: str
    body: bytes


class Components(Protocol):
    async def call(self, context: Context, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises `Denied` with `upstream_unavailable` when the component gives no answer of use."""


class ListenerSecrets(Protocol):
    def is_right(self, listener: str, secret: str) -> bool:
        """Whether `secret` is that of the ingress listener."""


def there(value: T | None) -> T:
    """What an earlier row has found. That it is missing is a defect of the table."""
    if value is None:
        raise RuntimeError("a check ran before the one that it builds on")
    return value
