"""What the two sides of the Federator need of the world and of each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from isthmus.domain.federation.certificate import LeafFacts
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.federation.view import View
from isthmus.protocol.federator import Nonce


class Overloaded(Exception):
    """There is no room for another audit row: what would need one must not be done."""


class AlreadySeen(Exception):
    """The server has had this nonce before."""


class ReportRefused(Exception):
    """The server does not take what a report holds; sending it again would not help."""


class ServerUnavailable(Exception):
    """The server does not answer, or not as it should."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Our client certificate with its key, both PEM; `chain` holds the leaf first."""

    chain: bytes
    key: bytes = field(repr=False)
    leaf: LeafFacts

    @property
    def fingerprint(self) -> bytes:
        return self.leaf.fingerprint


class Pairs(Protocol):
    """Our client certificate as the files have it."""

    @property
    def current(self) -> Pair:
        """The last good one."""

    @property
    def fault(self) -> str:
        """Why what the files hold now is not used; empty when it is."""

    def subscribe(self, listener: Callable[[Pair], None]) -> None:
        """`listener` is called at once with every new pair, and now with the present one."""


class Snapshots(Protocol):
    """The newest snapshot of the server."""

    @property
    def current(self) -> View | None:
        """None before the first one, and when the last one is older than `SNAPSHOT_LIFE`. Take it once per request."""

    @property
    def age(self) -> float:
        """Seconds since the server last confirmed it."""

    async def first(self, seconds: float) -> None:
        """Wait until there is one, but no longer than that."""

    def subscribe(self, listener: Callable[[View], None]) -> None:
        """`listener` is called at once with every new snapshot, and now with the present one if there is one."""


class Discovered(Protocol):
    """Where a remote says that it is reached."""

    @property
    def names(self) -> frozenset[str]:
        """The infra domains that DNS names, pinned ones and others."""


class Discovery(Protocol):
    async def targets(self, domain: BackendDomain, view: View) -> Discovered:
        """Where a remote of that snapshot is. One lookup serves all who wait for it; answers are cached. Raises
        `Denied` with `discovery_no_service`, or with `discovery_unavailable` and `retry_after`."""

    async def is_ready(self) -> bool:
        """Whether the resolver answers at all."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An audit row before it has an id. `actor`, `subject` and the facts may hold text of the caller: the log escapes
    and bounds it. `proven` is the remote that is proven to have caused it; rows of others are sampled."""

    action: str
    actor: str
    subject: str
    outcome: Literal["done", "denied"]
    request_id: str
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    proven: BackendDomain | None = None


class Rows(Protocol):
    """The audit log of the server, reached in batches of at most 100 ms."""

    def tell(self, fact: Fact) -> bool:
        """Whether the fact gets a row of its own; else it is counted. Raises `Overloaded` when the fact is of a proven
        remote and the queue has no room."""

    def sighted(self, domain: BackendDomain, instance: InstanceId) -> None:
        """An admitted caller was there."""

    def suspect(self, kind: str, domain: str, evidence: Mapping[str, Any]) -> None:
        """Something that an operator should look at."""

    def cleared(self, kind: str, domain: str) -> None:
        """What was told by `suspect` is over."""

    @property
    def has_room(self) -> bool:
        """Whether a fact of a proven remote would be taken."""


class Nonces(Protocol):
    async def claim(self, nonce: Nonce) -> None:
        """Raises `AlreadySeen`, `ServerUnavailable`."""


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""

    @property
    def jump(self) -> float:
        """By how many seconds the clock of the machine is not where it should be; 0.0 while it is believed."""
