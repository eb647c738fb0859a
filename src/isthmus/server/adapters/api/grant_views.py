"""What the API takes and shows of grants and services."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from isthmus.domain.federation.axes import as_texts
from isthmus.domain.federation.grant import Axis, AxisMode, Disclose, Grant, GrantToken, HeldGrant, Offered
from isthmus.domain.federation.service import Service
from isthmus.domain.federation.serving import ports_as_texts
from isthmus.server.adapters.api.views import Body, View
from isthmus.server.application.explain import Explanation
from isthmus.server.application.grants import Issued

Allowed = Annotated[list[Any], Field(max_length=256)]
Scopes = Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=16)]
Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", examples=["service"])]
ResourceId = Annotated[str, Field(min_length=1, max_length=255)]
Note = Annotated[str, Field(max_length=255)]
Ports = Annotated[list[Annotated[str, Field(max_length=11)]], Field(max_length=16, examples=[["443", "8000-8080"]])]
Protocol = Literal["tcp", "udp"]
Fact = Annotated[str | None, Field(max_length=64)]


class GrantBody(Body):
    """An axis (`instances`, `networks`, `sources`) that is left out or empty restricts nothing."""

    subject: Annotated[str, Field(max_length=320, examples=["bob@b.example"])]
    kind: Kind
    resource_id: Annotated[ResourceId | None, Field(description="left out: the whole kind")] = None
    scopes: Scopes = Field(examples=[["connect", "read"]])
    instances: Allowed | None = None
    networks: Allowed | None = None
    sources: Annotated[Allowed | None, Field(examples=[["fd00:abcd:1234::/48"]])] = None
    expires_at: Annotated[AwareDatetime | None, Field(strict=False, description="left out: in 30 days")] = None
    disclose: Annotated[Disclose, Field(strict=False)] = Disclose.GRANTEE
    note: Note = ""


class GrantPatch(Body):
    """Fields that are left out stay as they are. Of an axis, null opens it, and a list stays one when it is empty: then
    it admits nothing."""

    scopes: Scopes = Field(default_factory=list)
    instances: Allowed | None = None
    networks: Allowed | None = None
    sources: Allowed | None = None
    expires_at: Annotated[AwareDatetime | None, Field(strict=False)] = None
    disclose: Annotated[Disclose, Field(strict=False)] = Disclose.GRANTEE
    note: Note = ""


class GrantRevokeBody(Body):
    reason: Annotated[str, Field(max_length=500, examples=["the contract ended"])]


class RotateBody(Body):
    overlap: Annotated[int, Field(ge=0, le=10**9, description="seconds for which the tokens of before still work")] = 0


class ExplainBody(Body):
    """Either a request id, or a call that might be made. A fact that is left out is missing from that call."""

    request_id: Fact = None
    instance: Fact = None
    network: Annotated[Fact, Field(description="the id of a network of ours, or `wan`")] = None
    source: Fact = None
    scope: Fact = None
    resource_id: ResourceId | None = None


class AxisView(View):
    """`any` restricts nothing; a `list` admits its entries alone."""

    mode: AxisMode
    entries: list[str]

    @classmethod
    def of(cls, axis: Axis[Any]) -> "AxisView":
        return cls(mode=axis.mode, entries=as_texts(axis))


class GrantTokenView(View):
    public_id: str
    created_at: datetime
    expires_at: datetime | None


class GrantView(View):
    """`state` is live, expired or revoked."""

    id: UUID
    remote: str
    subject: str
    grantor: str
    kind: str
    resource_id: str | None
    scopes: list[str]
    instances: AxisView
    networks: AxisView
    sources: AxisView
    state: Literal["live", "expired", "revoked"]
    issued_at: datetime
    expires_at: datetime
    disclose: Disclose
    note: str
    revoked_at: datetime | None
    revoked_by: str
    revoked_reason: str
    last_used_at: datetime | None
    version: int

    @classmethod
    def of(cls, grant: Grant, now: datetime) -> "GrantView":
        return cls(**grant_fields(grant, now))


class GrantDetailsView(GrantView):
    """`tokens` are those that may still be used, by the public part of each."""

    tokens: list[GrantTokenView]

    @classmethod
    def with_tokens(cls, grant: Grant, tokens: Sequence[GrantToken], now: datetime) -> "GrantDetailsView":
        usable = [each for each in tokens if each.expires_at is None or each.expires_at > now]
        return cls(**grant_fields(grant, now), tokens=[GrantTokenView.model_validate(each) for each in usable])


class IssuedGrantView(View):
    """`token` is shown this once."""

    grant: GrantView
    token: str
    warnings: list[str]

    @classmethod
    def of(cls, issued: Issued, now: datetime) -> "IssuedGrantView":
        return cls(grant=GrantView.of(issued.grant, now), token=issued.token, warnings=list(issued.warnings))


def grant_fields(grant: Grant, now: datetime) -> dict[str, Any]:
    same = (
        "id", "remote", "subject", "grantor", "kind", "resource_id", "issued_at", "expires_at", "disclose", "note",
        "revoked_at", "revoked_by", "revoked_reason", "last_used_at", "version",
    )  # fmt: skip
    return {name: getattr(grant, name) for name in same} | {
        "scopes": sorted(each.value for each in grant.scopes),
        "instances": AxisView.of(grant.instances),
        "networks": AxisView.of(grant.networks),
        "sources": AxisView.of(grant.sources),
        "state": "revoked" if grant.revoked_at else "live" if grant.is_live(now) else "expired",
    }


class OfferedView(View):
    name: str
    network: str
    protocol: Protocol
    address: str
    ports: list[str]

    @classmethod
    def of(cls, offered: Offered) -> "OfferedView":
        ports = ports_as_texts(offered.ports)
        return cls(
            name=offered.name,
            network=offered.network,
            protocol=offered.protocol,
            address=str(offered.address),
            ports=ports,
        )


class HeldGrantView(View):
    """A grant of a remote to somebody of ours, as that remote said last. Networks are those of the remote."""

    id: UUID
    remote: str
    subject: str
    kind: str
    resource_id: str | None
    scopes: list[str]
    instances: AxisView
    networks: AxisView
    sources: AxisView
    services: list[OfferedView]
    state: Literal["live", "expired", "ended"]
    issued_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, held: HeldGrant, now: datetime) -> "HeldGrantView":
        same = ("id", "remote", "subject", "kind", "resource_id", "issued_at", "expires_at", "ended_at")
        return cls(
            **{name: getattr(held, name) for name in same},
            scopes=sorted(each.value for each in held.scopes),
            instances=AxisView.of(held.instances),
            networks=AxisView.of(held.networks),
            sources=AxisView.of(held.sources),
            services=[OfferedView.of(each) for each in held.services],
            state="ended" if held.ended_at else "live" if held.is_live(now) else "expired",
        )


class AxisExplained(View):
    axis: str
    mode: AxisMode
    allowed: list[str]
    supplied: str | None
    admitted: bool


class CheckView(View):
    """`refusal` is empty where the check passed."""

    check: str
    refusal: str


class ExplanationView(View):
    """`deciding` is the check that the caller is told of, null where the call passes. `recorded` is what the caller was
    really told, null for a supposed call; the grant and the bridge are judged as they are now."""

    grant: UUID
    at: datetime
    allowed: bool
    deciding: str | None
    code: str
    checks: list[CheckView]
    axes: list[AxisExplained]
    bridge: UUID | None
    bridge_state: str
    recorded: str | None

    @classmethod
    def of(cls, found: Explanation) -> "ExplanationView":
        bridge = found.bridge
        state = "not needed" if not found.needs_bridge else "none" if bridge is None else bridge.state.value
        if bridge is not None and bridge.state == "active" and not bridge.is_effective:
            state = "active here alone"
        return cls(
            grant=found.grant.id,
            at=found.at,
            allowed=found.verdict.deciding is None,
            deciding=found.verdict.deciding,
            code=found.verdict.code,
            checks=[CheckView(check=name, refusal=said) for name, said in found.verdict.checks.items()],
            axes=[AxisExplained(axis=name, **told) for name, told in found.axes.items()],
            bridge=None if bridge is None else bridge.id,
            bridge_state=state,
            recorded=found.recorded,
        )


class ServiceBody(Body):
    name: Annotated[str, Field(max_length=63, examples=["wiki"])]
    network_id: Annotated[UUID, Field(strict=False, examples=["0193f2c4-7d5e-7a10-8c00-5b1f0e6d2a31"])]
    protocol: Protocol = "tcp"
    address: Annotated[str, Field(max_length=64, examples=["10.20.0.7"])]
    ports: Ports
    note: Note = ""


class ServicePatch(Body):
    """Fields that are left out stay as they are."""

    name: Annotated[str, Field(max_length=63)] = ""
    protocol: Protocol = "tcp"
    address: Annotated[str, Field(max_length=64)] = ""
    ports: Ports = Field(default_factory=list)
    note: Note = ""


class ServiceView(View):
    id: UUID
    name: str
    network_id: UUID
    protocol: Protocol
    address: str
    ports: list[str]
    created_at: datetime
    note: str
    version: int

    @classmethod
    def of(cls, service: Service) -> "ServiceView":
        same = ("id", "name", "network_id", "protocol", "created_at", "note", "version")
        fields = {name: getattr(service, name) for name in same}
        return cls(**fields, address=str(service.address), ports=ports_as_texts(service.ports))
