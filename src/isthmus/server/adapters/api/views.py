"""What the API takes and shows. Bodies are strict: no unknown field, no text where a number belongs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from isthmus.domain.mesh import ipam
from isthmus.domain.mesh.limits import Limits, bounds_of
from isthmus.domain.mesh.liveness import State
from isthmus.domain.mesh.network import DirectPaths
from isthmus.domain.mesh.peer import Kind

T = TypeVar("T")

Name = Annotated[str, Field(max_length=63, examples=["office"])]
Cidr = Annotated[str, Field(max_length=49, examples=["10.20.0.0/24"])]
AddressText = Annotated[str, Field(max_length=45, examples=["10.20.0.9"])]
Seconds = Annotated[int, Field(ge=0, le=10**9)]
Line = Annotated[str, Field(max_length=120)]
GroupNames = Annotated[list[Name], Field(max_length=32, examples=[["servers"]])]
UserName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["admin"])]
Password = Annotated[str, Field(max_length=256, json_schema_extra={"format": "password"})]


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Listing(View, Generic[T]):
    """One page. `next` is the cursor of the following one, null on the last."""

    items: Sequence[T]
    next: str | None = None


class ProblemItem(View):
    pointer: str = Field(examples=["/cidr_v4"])
    detail: str
    hint: str | None = None
    code: str | None = Field(default=None, description="of one operation among many")


class Problem(View):
    """RFC 9457, with a frozen `code`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:isthmus:problem:validation_failed"])
    title: str
    status: int
    detail: str
    instance: str
    code: str
    stage: str
    retryable: bool
    request_id: str
    hint: str | None = None
    retry_after: int | None = None
    errors: list[ProblemItem] | None = None


# --- networks


class CapacityView(View):
    total: int
    used: int
    reserved: int
    held: int = Field(description="in quarantine after a peer was deleted")
    free: int

    @classmethod
    def of(cls, capacity: Sequence[ipam.Capacity], version: int) -> "CapacityView | None":
        for part in capacity:
            if part.cidr.version == version:
                return cls.model_validate(part, from_attributes=True)
        return None


class CapacitiesView(View):
    v4: CapacityView | None
    v6: CapacityView | None

    @classmethod
    def of(cls, capacity: Sequence[ipam.Capacity]) -> "CapacitiesView":
        return cls(v4=CapacityView.of(capacity, 4), v6=CapacityView.of(capacity, 6))


def limit_field(name: str) -> Any:
    """What a limit may be; the rule itself is the domain's."""
    lowest, highest = bounds_of(name)
    return Field(default=getattr(Limits(), name), ge=lowest, le=highest)


class LimitsBody(Body):
    """How much change of a peer is ordinary; windows in seconds. What is left out stays as it is."""

    address_changes: int = limit_field("address_changes")
    address_window: int = limit_field("address_window")
    port_changes: int = limit_field("port_changes")
    port_window: int = limit_field("port_window")
    return_window: int = limit_field("return_window")

    def given(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.model_fields_set}


class LimitsView(View):
    address_changes: int
    address_window: int
    port_changes: int
    port_window: int
    return_window: int


Upstreams = Annotated[
    list[Annotated[str, Field(max_length=45, examples=["9.9.9.9"])]],
    Field(description="asked for names that are not the network's; none = those that the jump peer's host asks"),
]


class NetworkBody(Body):
    name: Name
    cidr_v4: Cidr | None = None
    cidr_v6: Annotated[Cidr | None, Field(description="a /64 of the backend's own /48; default: the next free")] = None
    domain: Annotated[str | None, Field(max_length=253, examples=["office.internal"])] = None
    mtu: Annotated[int, Field(ge=1280, le=9000)] = 1420
    listen_port: Annotated[int, Field(ge=1, le=65535)] = 51820
    keepalive: Annotated[int, Field(ge=0, le=65535, description="seconds, 0 = off")] = 25
    limits: LimitsBody = Field(default_factory=LimitsBody)
    direct_paths: Annotated[
        DirectPaths, Field(strict=False, description="auto: in networks of up to 500 dynamic peers")
    ] = DirectPaths.AUTO
    key_max_age: Annotated[Seconds, Field(description="seconds from an hour on; 0 = keys stay", examples=[2592000])] = 0
    dns_upstreams: Upstreams = Field(default=[], max_length=8)
    template: Annotated[Name | None, Field(description="takes what is left out here from this template")] = None


class NetworkPatch(Body):
    """Fields that are left out stay as they are (their defaults here are never used)."""

    name: Name = Field(default_factory=str)
    cidr_v4: Cidr | None = Field(default_factory=lambda: None)
    domain: str = Field(default_factory=str, max_length=253)
    mtu: int = Field(default_factory=int, ge=1280, le=9000)
    listen_port: int = Field(default_factory=int, ge=1, le=65535)
    keepalive: int = Field(default_factory=int, ge=0, le=65535)
    limits: LimitsBody = Field(default_factory=LimitsBody)
    direct_paths: DirectPaths = Field(default=DirectPaths.AUTO, strict=False)
    primary_id: UUID | None = Field(
        default=None, strict=False, description="the jump peer to carry the traffic, null = the first one"
    )
    key_max_age: Seconds = Field(default_factory=int)
    dns_upstreams: Upstreams = Field(default_factory=list, max_length=8)
    force: bool = Field(default=False, description="renumber although static peers need a new config")


class PeerName(View):
    id: UUID
    name: str


class NetworkView(View):
    id: UUID
    name: str
    cidr_v4: str | None
    cidr_v6: str
    domain: str
    mtu: int
    listen_port: int
    keepalive: int
    limits: LimitsView
    direct_paths: DirectPaths
    has_direct_paths: bool = Field(description="whether agents look for direct paths now")
    primary: PeerName | None = Field(description="the jump peer that carries the traffic now")
    key_max_age: int
    dns_upstreams: list[str]
    revision: int
    created_at: datetime
    version: int
    capacity: CapacitiesView


class NetworkUpdatedView(NetworkView):
    reissue: list[PeerName] = Field(description="static peers whose config must be handed out again")


class SuggestionView(View):
    prefix: int
    cidr_v4: str | None = Field(description="the lowest free CIDR of that size, null when there is none")


class ReservationBody(Body):
    address: AddressText
    note: Annotated[Line | None, Field(examples=["the printer"])] = None


class ReservationView(View):
    address: str
    note: str | None


# --- peers


class PeerBody(Body):
    """A jump peer needs `endpoint`; `public_key` and `keep_private_key` are for static peers."""

    name: Name
    kind: Annotated[Kind, Field(strict=False)] = Kind.DYNAMIC
    endpoint: Annotated[str | None, Field(max_length=262, examples=["198.51.100.7:51820"])] = None
    public_key: Annotated[str | None, Field(max_length=44)] = None
    keep_private_key: bool = False
    address_v4: AddressText | None = None
    address_v6: AddressText | None = None
    isolated: bool = False
    full_encapsulation: bool = False
    additional_allowed_ips: Annotated[list[Cidr], Field(max_length=64)] = []
    owner: Line | None = None
    labels: Annotated[dict[str, Line], Field(max_length=32)] = {}
    groups: GroupNames = []
    token_lifetime: Annotated[Seconds, Field(description="seconds")] = 86400


class PeerPatch(Body):
    """Fields that are left out stay as they are (their defaults here are never used). The kind never changes."""

    name: Name = Field(default_factory=str)
    endpoint: str | None = Field(default_factory=lambda: None, max_length=262)
    public_key: str = Field(default_factory=str, max_length=44)
    isolated: bool = Field(default_factory=bool)
    full_encapsulation: bool = Field(default_factory=bool)
    additional_allowed_ips: list[Cidr] = Field(default_factory=list, max_length=64)
    owner: Line | None = Field(default_factory=lambda: None)
    labels: dict[str, Line] = Field(default_factory=dict, max_length=32)
    groups: list[Name] = Field(default_factory=list, max_length=32)


class GroupView(View):
    """A group is there as long as a peer is in it."""

    network: PeerName
    name: str
    peers: int


class EnrollmentView(View):
    state: Literal["pending", "expired", "enrolled", "not_needed"]
    prefix: str | None = None
    expires_at: datetime | None = None


class StatusView(View):
    """What the host and the jump peers last reported. `state` is online, stale (reports are missing), offline, or
    unknown (nobody could have heard of the peer); `since`: when contact began, or the last sign of life."""

    state: State
    since: datetime | None
    connected: bool
    last_seen: datetime | None
    hostname: str | None
    agent_version: str | None
    applied_revision: int | None
    applied_error: str | None
    endpoint: str | None
    latest_handshake: datetime | None
    rx: int
    tx: int


class KeyView(View):
    """`asked_at` is since when an operator waits for a new key."""

    changed_at: datetime | None
    asked_at: datetime | None


class SessionView(View):
    """`since` the agent enrolled; `rotated_at` is when its present token was made, if it is not the first."""

    since: datetime
    rotated_at: datetime | None


class PeerView(View):
    id: UUID
    network: PeerName
    name: str
    kind: Kind
    role: Annotated[
        Literal["primary", "standby"] | None, Field(description="of a jump peer: whether it carries the traffic now")
    ] = None
    addresses: list[str]
    public_key: str | None
    endpoint: str | None
    isolated: bool
    full_encapsulation: bool
    additional_allowed_ips: list[str]
    owner: str | None
    labels: dict[str, str]
    groups: list[str]
    version: int = Field(description="what the ETag of the peer says")
    blocked: bool = Field(description="left out of every config by an open incident")
    created_at: datetime
    enrollment: EnrollmentView
    key: KeyView
    session: SessionView | None = Field(default=None, description="null without one: the agent has to enroll")
    desired_revision: int
    status: StatusView


class IssuedView(View):
    """`token` is shown this once."""

    token: str
    expires_at: datetime


class ConfigView(View):
    """A wg-quick file and a name for it."""

    text: str
    filename: str
    qr_svg: str | None = Field(
        description="the text as an SVG element; null without a private key, which a phone needs"
    )
    reaches: int = Field(description="jump peers in it; 0 until one has enrolled, so ask again then")


class CreatedView(View):
    """What is shown once: a token for the peer's agent, or the config of a static peer."""

    peer: PeerView
    enrollment: IssuedView | None
    config: ConfigView | None


class RotationView(View):
    """What was asked for. Its `public_key` becomes another one once the agent has made it."""

    peer: PeerName
    public_key: str
    asked_at: datetime | None
    waits_for: Literal["agent", "jump_peer", "others"] | None = Field(
        description="whose agents have to connect first, others for two minutes at most; null when it happens now"
    )
    reissue: list[PeerName] = Field(description="static peers whose config must be handed out again afterwards")


class TokenLifetimeBody(Body):
    lifetime: Annotated[Seconds, Field(description="seconds")] = 86400


# --- health


class LiveView(View):
    status: Literal["alive"]


class ReadyView(View):
    status: Literal["ready", "not_ready"]
    parts: dict[str, str]
