"""What the server stores of the backend's own certificates and keys. Private keys stay in files."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from isthmus.domain.federation.names import InfraDomain
from isthmus.domain.federation.rollover import Rolling


class Purpose(StrEnum):
    """What a leaf is for: the Federator's calls, the ingress's listeners, the first call of somebody invited, or an
    instance that an operator or an agent asked for."""

    FEDERATOR = "federator"
    INGRESS = "ingress"
    INVITATION = "invitation"
    INSTANCE = "instance"


PAIRS = (Purpose.FEDERATOR, Purpose.INGRESS)


@dataclass(frozen=True, slots=True)
class OwnAuthority(Rolling):
    """A CA of this backend. `certificates` are DER, the issuing one first; `fingerprint` is that one's SHA-256."""

    fingerprint: bytes
    certificates: tuple[bytes, ...]
    ends_at: datetime
    is_imported: bool = False


@dataclass(frozen=True, slots=True)
class OwnKey(Rolling):
    """A message key: its thumbprint, and its public half, raw."""

    id: str
    public: bytes


@dataclass(frozen=True, slots=True)
class OwnLeaf:
    """A leaf that was issued; it is forgotten a while after it expired."""

    serial: int
    fingerprint: bytes
    authority: bytes
    purpose: Purpose
    uri: str
    infra_domains: tuple[InfraDomain, ...]
    issued_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OwnBundle:
    """The bundle as it was last published: a compact JWS, its sequence and digest. `federator` and `ingress` are the
    instances of this backend."""

    federator: UUID
    ingress: UUID
    sequence: int = 0
    digest: bytes = b""
    signed: str = ""
