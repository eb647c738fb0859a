"""What the use cases of the federation need of the store and of the world."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from isthmus.domain.federation.finding import Cause
from isthmus.domain.federation.invitation import Invitation
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId
from isthmus.domain.federation.remote import Remote, Revocation
from isthmus.domain.ids import NetworkId
from isthmus.protocol.federator import Credential
from isthmus.server.federation_records import (
    Acceptance,
    Federation,
    Lane,
    LaneState,
    Message,
    OverlayIngress,
    RemoteFinding,
    RemoteInstance,
)


class FederationFacts(Protocol):
    async def get(self) -> Federation | None:
        """None before `isthmus federation init`."""

    async def lock(self) -> Federation:
        """The facts, which nobody else changes until this transaction ends. Raises `NotFound`."""

    async def add(self, federation: Federation) -> None:
        """Raises `Conflict` where there is one already."""

    async def save(self, federation: Federation) -> None:
        """Writes all fields but `generation`."""

    async def generation(self) -> int:
        """0 before `isthmus federation init`."""

    async def advance(self) -> int:
        """Raise the generation; transactions that do so commit in its order. 0 where there is nothing to raise."""


class OverlayIngresses(Protocol):
    """Whoever changes one has locked its network. It goes with its peer."""

    async def get(self, network_id: NetworkId) -> OverlayIngress | None: ...
    async def all(self) -> list[OverlayIngress]:
        """In order of network."""

    async def put(self, ingress: OverlayIngress) -> None:
        """The network's only one from now on."""

    async def drop(self, network_id: NetworkId) -> bool:
        """Whether there was one."""


class Remotes(Protocol):
    async def get(self, domain: BackendDomain) -> Remote:
        """The live entry of `domain`, else the last revoked one. Raises `NotFound`."""

    async def lock(self, domain: BackendDomain) -> Remote:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def by_id(self, remote_id: UUID) -> Remote:
        """Raises `NotFound`."""

    async def page(self, limit: int, after: str | None = None) -> list[Remote]:
        """One entry of each domain that was not removed, as `get` gives it, in order of domain."""

    async def all(self) -> list[Remote]:
        """One entry of each domain, as `get` gives it, in order of domain."""

    async def generations(self, domain: BackendDomain) -> list[Remote]:
        """All entries that there ever were of a domain, the newest first."""

    async def add(self, remote: Remote) -> None:
        """Raises `RemoteExists` where there is a live entry of its domain."""

    async def save(self, remote: Remote) -> None: ...
    async def put_acceptance(self, acceptance: Acceptance) -> None: ...
    async def acceptances(self) -> list[Acceptance]: ...
    async def drop_acceptance(self, remote_id: UUID) -> None: ...


class Invitations(Protocol):
    async def get(self, invitation_id: UUID) -> Invitation | None: ...
    async def lock(self, invitation_id: UUID) -> Invitation | None:
        """The invitation, which nobody else can use until this transaction ends."""

    async def all(self) -> list[Invitation]:
        """Oldest first."""

    async def add(self, invitation: Invitation) -> None: ...
    async def save(self, invitation: Invitation) -> None: ...
    async def prune(self, before: datetime) -> int:
        """Delete those that ended before that moment; returns how many it were."""


class RemoteInstances(Protocol):
    async def seen(self, sightings: Sequence[tuple[BackendDomain, InstanceId, datetime]]) -> None:
        """Register who is new, as far as a domain has room for more, and note the latest time of the others."""

    async def of(self, domain: BackendDomain) -> list[RemoteInstance]: ...
    async def get(self, domain: BackendDomain, instance: InstanceId) -> RemoteInstance | None: ...
    async def save(self, instance: RemoteInstance) -> None:
        """Adds it where it is new."""

    async def blocked(self) -> list[RemoteInstance]: ...
    async def prune(self, before: datetime) -> int:
        """Forget those that nobody blocked and that have not called since then; returns how many it were."""


class Revocations(Protocol):
    async def add(self, revocation: Revocation, revocation_id: UUID) -> None: ...
    async def all(self) -> list[Revocation]: ...
    async def of(self, domain: BackendDomain) -> list[Revocation]: ...


class Nonces(Protocol):
    async def remember(self, domain: str, nonce: str, expires_at: datetime) -> None:
        """Raises `NonceSeen`."""

    async def prune(self, now: datetime) -> int:
        """Forget those that expired; returns how many it were."""

    async def unreported(self, row_ids: Sequence[str], until: datetime) -> set[str]:
        """Those of these ids of audit rows that come for the first time; all are remembered `until` then."""


class Outbox(Protocol):
    """Messages to remotes. Who adds one has locked its remote."""

    async def add(self, message: Message) -> None: ...
    async def save(self, message: Message) -> None: ...
    async def delete(self, remote_id: UUID, lane: Lane, up_to: int) -> None: ...
    async def get(self, remote_id: UUID, lane: Lane, number: int) -> Message | None: ...
    async def of_lane(self, remote_id: UUID, lane: Lane) -> list[Message]:
        """Oldest first."""

    async def heads(self, now: datetime) -> list[Message]:
        """Of each lane of each remote the first message, if it is due and not parked; revocations first."""

    async def of(self, remote_id: UUID, limit: int = 100) -> list[Message]: ...
    async def wake(self, domain: BackendDomain, now: datetime) -> int:
        """Make all messages of a domain due that wait and are not parked; returns how many it were."""

    async def clear(self, remote_id: UUID, lanes: Iterable[Lane]) -> None: ...
    async def drop_subject(self, remote_id: UUID, subject: str) -> None:
        """Delete what waits on one subject, in whatever lane."""

    async def lane(self, remote_id: UUID, lane: Lane) -> LaneState: ...
    async def lanes(self, remote_id: UUID) -> list[LaneState]: ...
    async def save_lane(self, state: LaneState) -> None:
        """Adds it where it is new."""


class Findings(Protocol):
    async def put(self, finding: RemoteFinding) -> None:
        """Adds it, or counts it to the open one of its kind, domain and subject; one that was cleared begins anew."""

    async def show(self, cause: Cause) -> None:
        """Give the finding of this cause the evidence of now, and count nothing."""

    async def clear(
        self, kind: str, domain: str, now: datetime, *, subject: str = "", seen_until: datetime | None = None
    ) -> bool:
        """Its cause is gone; with `seen_until` only if it was not seen after that. Whether one was open."""

    async def page(self, limit: int, after: UUID | None = None, *, cleared: bool = False) -> list[RemoteFinding]:
        """Newest first; with `cleared` also those whose cause is gone."""


@dataclass(frozen=True, slots=True)
class OwnTrust:
    """What proves us to others: DER certificates of our authorities, and fingerprints of leaves of ours that must not
    be presented any more."""

    authorities: tuple[bytes, ...]
    bundle_sequence: int
    revoked: tuple[bytes, ...] = ()


class KnowsTrust(Protocol):
    async def trust(self) -> OwnTrust: ...


class OwnCertificates(KnowsTrust, Protocol):
    """The backend's own CA, leaves, keys and bundle."""

    async def prepare(self, domain: BackendDomain, infra_domains: Sequence[InfraDomain]) -> None:
        """Make what is not there yet, and leaves for these names."""

    async def bundle(self) -> str:
        """Our bundle as a compact JWS."""

    async def invitation_leaf(self, invitation: UUID, until: datetime) -> Credential:
        """A leaf and its key that speak for the holder of an invitation."""
