"""What the API takes and shows of the federation: our own facts, remotes, invitations, findings."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from isthmus.domain.federation.finding import Severity, kind_of
from isthmus.domain.federation.invitation import Invitation
from isthmus.domain.federation.remote import Direction, Remote, Revocation, State, Strategy, Trust
from isthmus.protocol.problem import Problem as RemoteProblem
from isthmus.server.adapters.api.views import Body, PeerName, View
from isthmus.server.application.federation_facts import DEFAULT_LISTEN, srv_records
from isthmus.server.application.remotes import Details, shown
from isthmus.server.federation_records import DEFAULT_PORT, Federation, Lane, RemoteFinding

Domain = Annotated[str, Field(max_length=253, examples=["b.example"])]
InfraDomains = Annotated[list[Domain], Field(max_length=16, examples=[["infra.b.example"]])]
Service = Annotated[str, Field(max_length=63, examples=["isthmus-federator"])]
Listen = Annotated[str, Field(max_length=64, examples=[DEFAULT_LISTEN])]
Reason = Annotated[str, Field(min_length=1, max_length=500, examples=["the key was on a stolen laptop"])]
Rate = Annotated[float, Field(ge=0, le=100_000, strict=False)]
Burst = Annotated[int, Field(ge=1, le=100_000)]
ANY_STRATEGY = Annotated[Strategy, Field(strict=False)]
Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in hexadecimal digits")]


class InitBody(Body):
    domain: Domain
    infra_domains: Annotated[InfraDomains, Field(min_length=1)]
    strategy: ANY_STRATEGY = Strategy.LIST
    service: Service = "isthmus-federator"
    listen: Listen = DEFAULT_LISTEN


class FederationPatch(Body):
    """Fields that are left out stay as they are. `shared_roots` replaces all of them by the certificates of one PEM."""

    infra_domains: InfraDomains = Field(default_factory=list)
    strategy: ANY_STRATEGY = Strategy.LIST
    service: Service = ""
    listen: Listen = ""
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(max_length=32)] = Field(default_factory=list)
    shared_roots: Annotated[str, Field(max_length=200_000)] = ""


class ListenerView(View):
    id: str
    address: str
    port: int
    network: str


class FederationView(View):
    """`srv_records` are to be published in the DNS zone of the domain."""

    domain: str
    infra_domains: list[str]
    strategy: Strategy
    service: str
    listeners: list[ListenerView]
    ports: list[int]
    shared_roots: Annotated[int, Field(description="how many there are")]
    generation: int
    version: int
    srv_records: list[str]

    @classmethod
    def of(cls, facts: Federation) -> "FederationView":
        return cls(
            domain=facts.domain,
            infra_domains=list(facts.infra_domains),
            strategy=facts.strategy,
            service=facts.service,
            listeners=[ListenerView.model_validate(each) for each in facts.listeners],
            ports=list(facts.ports),
            shared_roots=len(facts.shared_roots),
            generation=facts.generation,
            version=facts.version,
            srv_records=srv_records(facts),
        )


class RemoteLimitsBody(Body):
    """Requests and mutations a second with their bursts, and requests at a time; what is left out stays."""

    requests: Rate = 0
    requests_burst: Burst = 1
    mutations: Rate = 0
    mutations_burst: Burst = 1
    parallel: Annotated[int, Field(ge=1, le=10_000)] = 1


class SharedRemoteBody(Body):
    """A remote that the shared roots vouch for."""

    domain: Domain
    infra_domains: Annotated[InfraDomains, Field(min_length=1)]


class RemotePatch(Body):
    """Fields that are left out stay as they are; null for all components, and for no expiry."""

    direction: Annotated[Direction, Field(strict=False)] = Direction.BOTH
    components: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=64)] | None = None
    infra_domains: InfraDomains = Field(default_factory=list)
    limits: RemoteLimitsBody = Field(default_factory=RemoteLimitsBody)
    expires_at: Annotated[AwareDatetime | None, Field(strict=False)] = None
    contact: Annotated[str, Field(max_length=120)] = ""
    notes: Annotated[str, Field(max_length=120)] = ""
    needs_dnssec: bool = False
    needs_tlsa: bool = False
    known_instances_only: bool = False
    wan_permitted: bool = True


class RemoteLimitsView(View):
    requests: float
    requests_burst: int
    mutations: float
    mutations_burst: int
    parallel: int


class RemoteView(View):
    """`state` is what we make of the remote, `state_there` what it last said that it makes of us."""

    id: UUID
    domain: str
    generation: int
    state: State
    state_there: State | None
    changed_at: datetime
    direction: Direction
    components: list[str] | None
    trust: Trust
    infra_domains: list[str]
    limits: RemoteLimitsView
    expires_at: datetime | None
    needs_dnssec: bool
    needs_tlsa: bool
    known_instances_only: bool
    wan_permitted: bool
    confirmed_here: bool
    confirmed_there: bool
    short_code: str
    bundle_sequence: int
    bundle_digest: str
    contact: str
    notes: str
    version: int

    @classmethod
    def of(cls, remote: Remote) -> "RemoteView":
        return cls(**remote_fields(remote))


def remote_fields(remote: Remote) -> dict[str, Any]:
    same = (
        "id", "domain", "generation", "state", "state_there", "changed_at", "direction", "trust", "expires_at",
        "needs_dnssec", "needs_tlsa", "known_instances_only", "wan_permitted",
        "confirmed_here", "confirmed_there", "short_code", "bundle_sequence", "contact",
        "notes", "version",
    )  # fmt: skip
    return {name: getattr(remote, name) for name in same} | {
        "components": None if remote.components is None else sorted(remote.components),
        "infra_domains": list(remote.infra_domains),
        "limits": RemoteLimitsView.model_validate(remote.limits),
        "bundle_digest": remote.bundle_digest.hex(),
    }


class RemoteInstanceView(View):
    instance: UUID
    first_seen: datetime | None
    last_seen: datetime | None
    blocked_at: datetime | None
    reason: str


class RevocationView(View):
    """One of `fingerprint`, `serial`, `key` and `instance` says what counts no more."""

    at: datetime
    reason: str
    fingerprint: str | None = None
    serial: str | None = None
    key: str | None = None
    instance: UUID | None = None

    @classmethod
    def of(cls, revocation: Revocation) -> "RevocationView":
        return cls.model_validate({"at": revocation.at, "reason": revocation.reason, **shown(revocation)})


class LaneView(View):
    lane: Lane
    sent: int
    acknowledged: int
    received: int


class MessageView(View):
    """A message that the remote has not acknowledged. `parked` is the code with which it refuses it for ever."""

    lane: Lane
    number: int
    component: str
    rpc: str
    created_at: datetime
    next_at: datetime
    attempts: int
    error: str
    parked: str


class RetriedView(View):
    messages: Annotated[int, Field(description="how many are tried again")]


class DropBody(Body):
    reason: Reason


class DroppedView(View):
    """`instead`: what takes the number of the one that was dropped, for numbers have no gaps."""

    instead: MessageView | None


class EarlierView(View):
    generation: int
    state: State
    changed_at: datetime


class RemoteDetailsView(RemoteView):
    """`accepting_until` is there as long as the other side has not heard that we accepted its invitation."""

    instances: list[RemoteInstanceView]
    revocations: list[RevocationView]
    lanes: list[LaneView]
    waiting: list[MessageView]
    accepting_until: datetime | None
    earlier: list[EarlierView]

    @classmethod
    def with_details(cls, details: Details) -> "RemoteDetailsView":
        return cls(
            **remote_fields(details.remote),
            instances=[RemoteInstanceView.model_validate(each) for each in details.instances],
            revocations=[RevocationView.of(each) for each in details.revocations],
            lanes=[LaneView.model_validate(each) for each in details.lanes],
            waiting=[MessageView.model_validate(each) for each in details.waiting],
            accepting_until=None if details.acceptance is None else details.acceptance.expires_at,
            earlier=[EarlierView.model_validate(each) for each in details.earlier],
        )


class InviteBody(Body):
    domain: Domain
    lifetime: Annotated[int, Field(description="seconds, a day at most")] = 86_400
    network_id: Annotated[UUID | None, Field(strict=False, description="a bridge of it is proposed then")] = None


class InvitationView(View):
    id: UUID
    domain: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    withdrawn_at: datetime | None
    state: Literal["open", "used", "withdrawn", "expired"]

    @classmethod
    def of(cls, invitation: Invitation, now: datetime) -> "InvitationView":
        return cls(**invitation_fields(invitation, now))


class InvitedView(InvitationView):
    """`text` is shown once; whoever holds it can become the remote."""

    text: str


def invitation_fields(invitation: Invitation, now: datetime) -> dict[str, Any]:
    names = ("id", "domain", "created_at", "created_by", "expires_at", "used_at", "withdrawn_at")
    if invitation.used_at is not None:
        state = "used"
    elif invitation.withdrawn_at is not None:
        state = "withdrawn"
    else:
        state = "open" if invitation.is_open(now) else "expired"
    return {name: getattr(invitation, name) for name in names} | {"state": state}


class AcceptBody(Body):
    invitation: Annotated[str, Field(max_length=65_536, json_schema_extra={"format": "password"})]
    network_id: Annotated[UUID | None, Field(strict=False, description="of ours, for the bridge they propose")] = None


class RemoteProblemView(View):
    """Why another backend could not be reached, or what it said."""

    code: str
    detail: str
    retryable: bool
    remote_code: str


class AcceptedView(View):
    """`problem`: the other side could not be told yet; it is tried again until the invitation expires."""

    remote: RemoteView
    problem: RemoteProblemView | None

    @classmethod
    def of(cls, remote: Remote, problem: RemoteProblem | None) -> "AcceptedView":
        told = None
        if problem is not None:
            code = getattr(problem.remote, "code", "")
            told = RemoteProblemView(
                code=problem.code, detail=problem.detail, retryable=problem.retryable, remote_code=code
            )
        return cls(remote=RemoteView.of(remote), problem=told)


class ConfirmBody(Body):
    short_code: Annotated[str, Field(max_length=32, examples=["K7PD-9QXM-3T4W"])]


class RevocationBody(Body):
    """Exactly one of the four; `serial` in hexadecimal digits."""

    reason: Reason
    fingerprint: Hex32 | None = None
    serial: Annotated[str, Field(pattern="^[0-9a-f]{1,40}$")] | None = None
    key: Hex32 | None = None
    instance: Annotated[UUID | None, Field(strict=False)] = None


class BlockBody(Body):
    reason: Reason


class FindingView(View):
    """`domain` is the remote, or this backend; `subject` what of it, a grant or a bridge by its id. `first_at`: since
    when; `mend`: what to do about it. `cleared_at` is there once its cause is gone; what comes back after that begins
    anew."""

    id: UUID
    kind: str
    severity: Severity
    domain: str
    subject: str
    first_at: datetime
    last_at: datetime
    count: int
    evidence: dict[str, Any]
    mend: str
    cleared_at: datetime | None

    @classmethod
    def of(cls, found: RemoteFinding) -> "FindingView":
        kind = kind_of(found.kind)
        names = ("id", "kind", "domain", "subject", "first_at", "last_at", "count", "evidence", "cleared_at")
        fields = {name: getattr(found, name) for name in names}
        return cls(**fields, severity=kind.severity, mend=kind.mend)


class LinkView(View):
    """One link of the chain to a remote. `side` is who must act."""

    step: str
    ok: bool
    observed: str
    expected: str
    mend: str
    side: str


class ExaminationView(View):
    domain: str
    ok: bool
    findings: list[LinkView]


class OverlayIngressBody(Body):
    peer_id: UUID = Field(
        strict=False,
        description="the peer whose host runs the ingress",
        examples=["0193f2c4-7d5e-7a10-8c00-5b1f0e6d2a31"],
    )
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)


class OverlayIngressView(View):
    peer: PeerName
    addresses: list[str] = Field(description="where it listens while a bridge of the network is effective")
    port: int
