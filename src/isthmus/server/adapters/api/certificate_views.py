"""What the API takes and shows of the backend's own certificates."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from isthmus.protocol.bundle import open_first
from isthmus.server.adapters.api.views import Body, View
from isthmus.server.application.certificate_list import Entry
from isthmus.server.application.certificates import CertificateService

File = Annotated[str, Field(min_length=2, max_length=4096, pattern=r"^/[^\x00]+$", examples=["/etc/isthmus/ca.pem"])]
Reason = Annotated[
    str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$", examples=["the key was copied"])
]


class ImportBody(Body):
    """Absolute paths on the server's machine: a private key does not travel."""

    certificate_file: File
    key_file: File
    key_stays: Annotated[bool, Field(description="use the key where it is, instead of a copy")] = False


class RevokeBody(Body):
    reason: Reason


class RollBody(Body):
    what: Annotated[Literal["authority", "message_key"], Field(examples=["message_key"])]


class CertificateView(View):
    """`id` is the fingerprint of an authority, the thumbprint of a message key, the serial number of a leaf.
    `changes_at` says when it will be renewed, used or dropped: which of them, `change` says."""

    kind: Literal["authority", "message_key", "leaf"]
    id: str
    use: Literal["next", "current", "past", "issued", "replaced", "revoked", "expired"]
    purpose: Literal["federator", "ingress", "invitation", "instance"] | None
    uri: str
    infra_domains: list[str]
    begins_at: datetime
    ends_at: datetime | None
    change: Literal["renewed", "used", "dropped", ""]
    changes_at: datetime | None
    is_imported: bool
    reason: str

    @classmethod
    def of(cls, entry: Entry) -> "CertificateView":
        return cls(
            kind=entry.kind,
            id=entry.id,
            use=entry.use,
            purpose=None if entry.purpose is None else entry.purpose.value,
            uri=entry.uri,
            infra_domains=list(entry.infra_domains),
            begins_at=entry.begins_at,
            ends_at=entry.ends_at,
            change=entry.change,
            changes_at=entry.changes_at,
            is_imported=entry.is_imported,
            reason=entry.reason,
        )


class CertificatesView(View):
    """`problem` says what keeps certificates from being renewed, null where nothing does."""

    items: list[CertificateView]
    problem: str | None

    @classmethod
    async def of(cls, certificates: CertificateService) -> "CertificatesView":
        found = [CertificateView.of(entry) for entry in await certificates.entries()]
        return cls(items=found, problem=certificates.problem)


class CertificateDetails(CertificateView):
    pem: Annotated[str, Field(description="the certificates of an authority, the issuing one first")]


class BundleView(View):
    """What remotes know us by. `signed` is a compact JWS."""

    domain: str
    sequence: int
    digest: str
    refresh_hint: int
    infra_domains: list[str]
    authorities: int
    message_keys: list[str]
    revoked: list[str]
    signed: str

    @classmethod
    def of(cls, signed: str) -> "BundleView":
        bundle = open_first(signed)
        return cls(
            domain=bundle.domain,
            sequence=bundle.sequence,
            digest=bundle.digest.hex(),
            refresh_hint=int(bundle.refresh_hint.total_seconds()),
            infra_domains=list(bundle.infra_domains),
            authorities=len(bundle.authorities),
            message_keys=list(bundle.message_keys),
            revoked=[f"{serial:x}" for serial in bundle.revoked],
            signed=signed,
        )
