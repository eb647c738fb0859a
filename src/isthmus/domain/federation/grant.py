"""A grant: what one subject of a remote may do with a resource of ours, and by which three axes that is restricted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Literal, TypeVar
from uuid import UUID

from isthmus.domain.addresses import IPAddress, IPNetwork
from isthmus.domain.federation.names import BackendDomain, InstanceId
from isthmus.domain.ids import Digest, NetworkId

T = TypeVar("T")


class Scope(StrEnum):
    """None implies another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    MIGRATE = "migrate"
    CONNECT = "connect"


class AxisMode(StrEnum):
    ANY = "any"
    LIST = "list"


class Disclose(StrEnum):
    """How much a denial tells the grant's own remote of what would have been allowed."""

    GRANTEE = "grantee"
    COUNT = "count"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Axis(Generic[T]):
    """One allowlist. `any` is a stored mode, so that removing the last entry of a list never opens it."""

    mode: AxisMode = AxisMode.ANY
    entries: frozenset[T] = frozenset()

    def admits(self, matches: Callable[[T], bool]) -> bool:
        return self.mode is AxisMode.ANY or any(map(matches, self.entries))


@dataclass(frozen=True, slots=True)
class Grant:
    """`remote_generation` is that of the remote's entry: a later one revives nothing. `resource_id` None means the
    whole kind. `version` counts changes; it is the revision that the remote is told."""

    id: UUID
    remote: BackendDomain
    remote_generation: int
    subject: str
    grantor: str
    kind: str
    resource_id: str | None
    scopes: frozenset[Scope]
    issued_at: datetime
    expires_at: datetime
    instances: Axis[InstanceId] = Axis()
    networks: Axis[NetworkId] = Axis()
    sources: Axis[IPNetwork] = Axis()
    disclose: Disclose = Disclose.GRANTEE
    note: str = ""
    revoked_at: datetime | None = None
    revoked_by: str = ""
    revoked_reason: str = ""
    last_used_at: datetime | None = None
    version: int = 1

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class GrantToken:
    """`public_id` is the part of the token that names it; `digest` is keyed. It ends with its grant, and at
    `expires_at` where it was replaced by another."""

    public_id: str
    grant_id: UUID
    digest: Digest
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """A service behind a grant that we hold: where it is in the network that the other side calls `network`."""

    name: str
    network: str
    protocol: Literal["tcp", "udp"]
    address: IPAddress
    ports: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant that a remote has given to one of ours, as it said last: it decides there, this only follows. Its axes
    are as they are there: networks are those of the remote. `services` are what it opens with the scope `connect`, more
    than one where it is for the whole kind."""

    id: UUID
    remote: BackendDomain
    remote_generation: int
    subject: str
    kind: str
    resource_id: str | None
    scopes: frozenset[Scope]
    issued_at: datetime
    expires_at: datetime
    instances: Axis[InstanceId] = Axis()
    networks: Axis[NetworkId] = Axis()
    sources: Axis[IPNetwork] = Axis()
    services: tuple[Offered, ...] = ()
    ended_at: datetime | None = None
    revision: int = 1

    def is_live(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.expires_at
