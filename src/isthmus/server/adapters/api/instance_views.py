"""What the API takes and shows of the instances of this backend."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from isthmus.domain.federation.instance import NAME
from isthmus.server.adapters.api.certificate_views import Reason
from isthmus.server.adapters.api.views import Body, PeerName, Seconds, View
from isthmus.server.application.instances import Handed, Standing
from isthmus.server.certificate_records import OwnLeaf
from isthmus.server.instance_ports import Host

Csr = Annotated[
    str,
    Field(
        max_length=100_000,
        description="a certificate request in PEM (PKCS #10), of which the public key alone counts",
        examples=["-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n"],
    ),
]
Lifetime = Annotated[Seconds, Field(description="of the leaf, in seconds, 7 days at most")]
InstanceName = Annotated[str, Field(max_length=63, pattern=f"^{NAME.pattern}$", examples=["billing"])]


class RenewBody(Body):
    csr: Csr
    lifetime: Lifetime = 86_400


class IssueBody(RenewBody):
    name: InstanceName
    peer: Annotated[UUID | None, Field(strict=False, description="the peer on whose host it runs")] = None


class EndBody(Body):
    reason: Reason


class LeafView(View):
    """`fingerprint` is the SHA-256 of its DER."""

    serial: str
    fingerprint: str
    uri: str
    infra_domains: list[str]
    issued_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, leaf: OwnLeaf) -> "LeafView":
        return cls(
            serial=f"{leaf.serial:x}",
            fingerprint=leaf.fingerprint.hex(),
            uri=leaf.uri,
            infra_domains=list(leaf.infra_domains),
            issued_at=leaf.issued_at,
            ends_at=leaf.ends_at,
        )


class InstanceView(View):
    """`made_by`: an operator, the agent of its peer, or this backend itself. `leaf` is the newest; null once the
    instance is revoked."""

    id: UUID
    name: str
    made_by: Literal["backend", "operator", "agent"]
    created_at: datetime | None
    peer: PeerName | None
    network: PeerName | None
    leaf: LeafView | None
    revoked_at: datetime | None
    revoked_by: str
    reason: str

    @classmethod
    def of(cls, standing: Standing) -> "InstanceView":
        return cls.model_validate(_fields(standing))


class HandedView(InstanceView):
    chain: Annotated[str, Field(description="the new leaf, and the CA below the root where there is one; PEM")]

    @classmethod
    def with_chain(cls, handed: Handed) -> "HandedView":
        return cls.model_validate({**_fields(handed.standing), "chain": handed.chain})


def _fields(standing: Standing) -> dict[str, object]:
    shown = ("id", "name", "made_by", "created_at", "revoked_at", "revoked_by", "reason")
    fields: dict[str, object] = {name: getattr(standing, name) for name in shown}
    fields["leaf"] = None if standing.leaf is None else LeafView.of(standing.leaf)
    fields["peer"], fields["network"] = _place(standing.host)
    return fields


def _place(host: Host | None) -> tuple[PeerName | None, PeerName | None]:
    if host is None:
        return None, None
    return PeerName(id=host.peer_id, name=host.peer), PeerName(id=host.network_id, name=host.network)
