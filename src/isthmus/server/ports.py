"""What the server's use cases need of the world: a store of transactions, a clock, secrets, and who is told."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Network
from typing import Protocol
from uuid import UUID

from isthmus.domain.addresses import Family, IPAddress, IPNetwork
from isthmus.domain.ids import (
    ApiTokenId,
    Digest,
    IncidentId,
    NetworkId,
    PeerId,
    PublicKey,
    SessionId,
    TemplateId,
    UserId,
)
from isthmus.domain.mesh.enrollment import EnrollmentToken, Session
from isthmus.domain.mesh.incident import Incident
from isthmus.domain.mesh.ipam import Range
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.domain.mesh.template import Template
from isthmus.server.audit_ports import AuditChain, Witnesses
from isthmus.server.certificate_ports import OwnTrustRows
from isthmus.server.directory_ports import DirectoryUsers, KeptAnswers
from isthmus.server.federation_ports import (
    FederationFacts,
    Findings,
    Invitations,
    Nonces,
    Outbox,
    OverlayIngresses,
    RemoteInstances,
    Remotes,
    Revocations,
)
from isthmus.server.figure_ports import Totals
from isthmus.server.instance_ports import OwnInstances
from isthmus.server.records import (
    ApiToken,
    AuditEntry,
    AuditRow,
    Change,
    Commit,
    Group,
    Held,
    Holding,
    IncidentFilter,
    KeptKey,
    Page,
    PeerFilter,
    PeerStatus,
    User,
)
from isthmus.server.trust_ports import Bridges, CrossingRows, Grants, HeldGrants, Services


class StoreUnavailable(Exception):
    """The database did not answer or refused a commit; nothing of the transaction has happened."""


class Networks(Protocol):
    async def get(self, network_id: NetworkId) -> Network:
        """Raises `NotFound`."""

    async def lock(self, network_id: NetworkId) -> Network:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def lock_all(self) -> list[Network]:
        """All networks in order of id; nobody adds or changes one until this transaction ends."""

    async def page(
        self, page: Page, name: str | None = None, within: frozenset[NetworkId] | None = None
    ) -> list[Network]:
        """Networks in order of id, of those in `within` where it is given."""

    async def all(self) -> list[Network]: ...
    async def add(self, network: Network) -> None: ...
    async def save(self, network: Network) -> None: ...
    async def delete(self, network_id: NetworkId) -> None:
        """Deletes the network and all that belongs to it, except audit rows."""


class Peers(Protocol):
    async def get(self, peer_id: PeerId) -> Peer:
        """Raises `NotFound`."""

    async def page(self, page: Page, where: PeerFilter) -> list[Peer]: ...
    async def of_network(self, network_id: NetworkId) -> list[Peer]: ...
    async def in_every_config(self, network_id: NetworkId) -> list[Peer]:
        """The peers that every regular peer is told of: jump peers, and those with ranges behind them."""

    async def count(self, network_id: NetworkId, kind: Kind | None = None) -> int: ...
    async def offers(self, network_id: NetworkId) -> list[tuple[PeerId, str, IPNetwork]]:
        """Every range that a peer of the network offers, with the peer's id and name."""

    async def named(self, network_id: NetworkId, names: Sequence[str]) -> list[Peer]:
        """Those peers of the network that have one of the names."""

    async def with_keys(self, keys: Sequence[PublicKey]) -> dict[PublicKey, NetworkId]:
        """The networks of the peers that have these keys; keys that nobody has are left out."""

    async def groups(
        self, networks: frozenset[NetworkId] | None, limit: int, after: tuple[NetworkId, str] | None = None
    ) -> list[Group]:
        """Groups of some networks or of all, in order of network and name, those up to `after` left out."""

    async def add(self, peer: Peer) -> None:
        """Raises `NameTaken` or `KeyTaken`."""

    async def save(self, peer: Peer) -> None:
        """Writes all fields, addresses excepted: those follow `Holdings`. Raises `NameTaken` or `KeyTaken`."""

    async def delete(self, peer_id: PeerId) -> None:
        """Deletes the peer with its tokens, sessions, status and kept key; its addresses stay held."""


class Holdings(Protocol):
    """Addresses that are held and the ranges that are free, of networks that are locked."""

    async def lowest_free(self, network_id: NetworkId, family: Family) -> Range | None: ...
    async def free_around(self, network_id: NetworkId, address: IPAddress) -> Range | None:
        """The free range that contains `address`."""

    async def free_beside(self, network_id: NetworkId, address: IPAddress) -> tuple[Range | None, Range | None]:
        """The nearest free ranges below and above `address`."""

    async def swap_free(self, network_id: NetworkId, old: Iterable[Range], new: Iterable[Range]) -> None: ...
    async def reset_free(self, network_id: NetworkId, family: Family, ranges: Iterable[Range]) -> None: ...
    async def hold(self, *held: Holding) -> None:
        """Raises `AddressTaken` when one of the addresses is held already."""

    async def change(self, holding: Holding) -> None: ...
    async def drop(self, network_id: NetworkId, addresses: Iterable[IPAddress]) -> None: ...
    async def get(self, network_id: NetworkId, address: IPAddress) -> Holding | None: ...
    async def of_network(self, network_id: NetworkId, held: Held | None = None) -> list[Holding]: ...
    async def expired(self, network_id: NetworkId, now: datetime) -> list[Holding]:
        """Addresses whose quarantine is over."""

    async def counts(self, network_id: NetworkId) -> dict[tuple[Family, Held], int]: ...


class Enrollments(Protocol):
    async def put(self, token: EnrollmentToken) -> None:
        """Stores the peer's token; an older one of the same peer ends."""

    async def find(self, digest: Digest) -> EnrollmentToken | None: ...
    async def lock(self, digest: Digest) -> EnrollmentToken | None:
        """The token, which nobody else can claim until this transaction ends."""

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, EnrollmentToken]: ...
    async def save(self, token: EnrollmentToken) -> None: ...


class Sessions(Protocol):
    async def add(self, session: Session) -> None: ...
    async def with_digest(self, digest: Digest) -> Session | None: ...
    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, list[Session]]:
        """The tokens of each peer that has one, the newest last."""

    async def end(self, session_id: SessionId) -> None: ...
    async def end_of_peer(self, peer_id: PeerId) -> None: ...


class Incidents(Protocol):
    """Incidents and the access control list. Whoever opens or resolves one has locked its network."""

    async def get(self, incident_id: IncidentId) -> Incident:
        """Raises `NotFound`."""

    async def page(self, page: Page, where: IncidentFilter) -> list[Incident]:
        """Newest first; with `after`, those that were opened before that one."""

    async def open_of_peer(self, peer_id: PeerId) -> list[Incident]: ...
    async def add(self, incident: Incident) -> None:
        """Raises `IncidentOpen` where one of this type is open for this peer."""

    async def save(self, incident: Incident) -> None: ...
    async def block(self, peer_id: PeerId, incident_id: IncidentId) -> None: ...
    async def unblock(self, incident_id: IncidentId) -> None: ...
    async def blocking(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, tuple[IncidentId, ...]]:
        """The open incidents that block each of these peers, oldest first; those that none blocks are left out."""


class Statuses(Protocol):
    async def save(self, statuses: Sequence[PeerStatus]) -> None:
        """Upserts in one statement; rows of peers that are gone are left out silently."""

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, PeerStatus]: ...


class Accounts(Protocol):
    async def user_named(self, name: str) -> User | None: ...
    async def user(self, user_id: UserId) -> User | None: ...
    async def user_identified(self, issuer: str, subject: str) -> User | None:
        """The account of who signs in with an identity provider."""

    async def users(self) -> list[User]: ...
    async def lock_users(self) -> list[User]:
        """The same, and nobody else changes one until this transaction ends."""

    async def add_user(self, user: User) -> None: ...
    async def save_user(self, user: User) -> None: ...
    async def delete_user(self, user_id: UserId) -> None:
        """Deletes the user with all tokens."""

    async def token_with_digest(self, digest: Digest) -> tuple[ApiToken, User] | None:
        """The token and its user."""

    async def tokens(self, page: Page, user_id: UserId | None = None) -> list[ApiToken]: ...
    async def add_token(self, token: ApiToken) -> None: ...
    async def touch_tokens(self, used: dict[ApiTokenId, datetime]) -> None: ...
    async def delete_token(self, token_id: ApiTokenId, user_id: UserId | None = None) -> bool:
        """Whether there was one to delete; with `user_id` among this user's only."""

    async def delete_tokens_of(self, user_id: UserId) -> None: ...


class Journal(Protocol):
    """The revision log and the audit log, written in the transaction of what they tell."""

    async def append(self, change: Change) -> None: ...
    async def changes(self, network_id: NetworkId, after: int, limit: int = 100) -> list[Change]: ...
    async def latest(self, network_id: NetworkId, revision: int) -> list[Change]:
        """Of each peer the last change up to `revision`, of the network itself the last of each event, in order."""

    async def history_begins(self, network_id: NetworkId) -> int:
        """The first revision whose state can be known; above the present one where none can."""

    async def set_history_begins(self, network_id: NetworkId, revision: int) -> None: ...
    async def forget(self, network_id: NetworkId, revision: int, most: int) -> int:
        """Delete at most so many changes that no state at `revision` or later needs; returns how many it were."""

    async def audit(self, entries: Iterable[AuditEntry]) -> None: ...
    async def audit_page(self, limit: int, after: int | None = None) -> list[AuditRow]:
        """Rows newest first; with `after`, those older than that number."""

    async def audit_of_request(self, request_id: str) -> list[AuditRow]:
        """The rows with that request id, newest first, a few at most."""


class KeptKeys(Protocol):
    async def put(self, key: KeptKey) -> None: ...
    async def get(self, peer_id: PeerId) -> KeptKey | None: ...
    async def delete(self, peer_id: PeerId) -> None: ...


class Templates(Protocol):
    async def get(self, template_id: TemplateId) -> Template:
        """Raises `NotFound`."""

    async def lock(self, template_id: TemplateId) -> Template:
        """The same, and nobody else changes it until this transaction ends. Raises `NotFound`."""

    async def page(self, page: Page, name: str | None = None) -> list[Template]: ...
    async def add(self, template: Template) -> None:
        """Raises `TemplateNameTaken`."""

    async def save(self, template: Template) -> None:
        """Raises `TemplateNameTaken` or `NotFound`."""

    async def delete(self, template_id: TemplateId) -> None:
        """Raises `NotFound`."""


class BackendFacts(Protocol):
    async def ula(self) -> IPv6Network | None:
        """The backend's /48, None before the first start."""

    async def set_ula(self, ula: IPv6Network) -> None: ...


class Transaction(Protocol):
    """All or nothing. Reads see one state; `lock` methods make later writes safe from races."""

    @property
    def networks(self) -> Networks: ...
    @property
    def peers(self) -> Peers: ...
    @property
    def holdings(self) -> Holdings: ...
    @property
    def enrollments(self) -> Enrollments: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def incidents(self) -> Incidents: ...
    @property
    def statuses(self) -> Statuses: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def chain(self) -> AuditChain: ...
    @property
    def witnesses(self) -> Witnesses: ...
    @property
    def templates(self) -> Templates: ...
    @property
    def kept_keys(self) -> KeptKeys: ...
    @property
    def backend(self) -> BackendFacts: ...
    @property
    def directory(self) -> DirectoryUsers: ...
    @property
    def answers(self) -> KeptAnswers: ...
    @property
    def federation(self) -> FederationFacts: ...
    @property
    def overlay_ingresses(self) -> OverlayIngresses: ...
    @property
    def remotes(self) -> Remotes: ...
    @property
    def invitations(self) -> Invitations: ...
    @property
    def remote_instances(self) -> RemoteInstances: ...
    @property
    def revocations(self) -> Revocations: ...
    @property
    def nonces(self) -> Nonces: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def findings(self) -> Findings: ...
    @property
    def own_trust(self) -> OwnTrustRows: ...
    @property
    def instances(self) -> OwnInstances: ...
    @property
    def grants(self) -> Grants: ...
    @property
    def held_grants(self) -> HeldGrants: ...
    @property
    def services(self) -> Services: ...
    @property
    def bridges(self) -> Bridges: ...
    @property
    def crossings(self) -> CrossingRows: ...
    @property
    def totals(self) -> Totals: ...


class Store(Protocol):
    """Raises `StoreUnavailable` where the database fails, and `Conflict` where a constraint does.

    Who is in `on_written` hears after each commit which kinds of what belongs to no network it may have changed, and
    who is in `on_map_written` of each that may have changed networks, their peers and tokens of these, or bridges.
    """

    on_written: list[Callable[[frozenset[str]], None]]
    on_map_written: list[Callable[[], None]]

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits when the block ends, rolls back when it raises. Durable once the block has ended."""

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        """One consistent state to read; a write through it is an error."""

    async def check(self) -> None:
        """Returns when the store can be written to, raises `StoreUnavailable` when not."""

    async def close(self) -> None: ...


@dataclass(eq=False)
class Conflict(Exception):
    """A constraint of the store was hit: `constraint` is its name in the schema."""

    constraint: str


class AddressTaken(Conflict):
    """Somebody else holds that address."""


class NameTaken(Conflict):
    """Another peer of the network has that name."""


class KeyTaken(Conflict):
    """Another peer of the backend has that public key."""


class TemplateNameTaken(Conflict):
    """Another template has that name."""


class IncidentOpen(Conflict):
    """An incident of that type is open for that peer."""


class HandleTaken(Conflict):
    """Another user of the directory has that handle."""


class InstanceNameTaken(Conflict):
    """A live instance has that name."""


class RemoteExists(Conflict):
    """There is a live entry of that domain."""


class ServiceNameTaken(Conflict):
    """Another service has that name."""


class BridgeExists(Conflict):
    """There is a live bridge of that network with that remote."""


class NonceSeen(Conflict):
    """That nonce of that domain was used before."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC."""


class Ids(Protocol):
    def new(self) -> UUID:
        """A fresh id that sorts after those made before it (UUID version 7, RFC 9562)."""


class Passwords(Protocol):
    """Slow hashes, computed away from the event loop."""

    async def hashed(self, password: str) -> str: ...
    async def verify(self, password: str, encoded: str | None) -> bool:
        """Takes as long for an unknown user (`encoded` None) as for a known one."""


class Vault(Protocol):
    """AES-256-GCM under a key that is kept outside the database."""

    def seal(self, secret: bytes, owner: UUID) -> bytes: ...
    def open(self, sealed: bytes, owner: UUID) -> bytes: ...
    def digest(self, text: str) -> Digest:
        """HMAC-SHA-256 under a key that is derived from that one: who reads the database alone can check no guess."""


class Listeners(Protocol):
    """Who hears of a commit; called after it, in the order of revisions of each network."""

    def changed(self, commit: Commit) -> None: ...


class Presence(Protocol):
    """Which peers' agents are connected at this moment."""

    def is_connected(self, peer_id: PeerId) -> bool: ...
