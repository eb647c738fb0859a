"""The backend's own certificates: CA, leaves, message keys, and the bundle that remotes know us by."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import Path

from isthmus.server.adapters.api.certificate_views import (
    BundleView,
    CertificateDetails,
    CertificatesView,
    CertificateView,
    ImportBody,
    RevokeBody,
    RollBody,
)
from isthmus.server.adapters.api.routes.router import api_router
from isthmus.server.adapters.http.deps import By, Calls
from isthmus.server.application.certificate_list import entry
from isthmus.server.application.certificates import Existing

router = api_router("certificates")
Serial = Annotated[str, Path(pattern="^[0-9a-f]{1,40}$", description="hexadecimal digits")]
Name = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{4,64}$", description="an id, or as much as makes it unique")]


@router.get("/certificates", operation_id="listCertificates")
async def list_certificates(calls: Calls) -> CertificatesView:
    """CA, message keys and leaves, which of them are in use, and what happens to each when."""
    return await CertificatesView.of(calls.federation.certificates)


@router.get("/certificates/bundle", operation_id="getBundle")
async def get_bundle(calls: Calls) -> BundleView:
    """The bundle that remotes know us by."""
    return BundleView.of(await calls.federation.certificates.bundle())


@router.post("/certificates/renew", operation_id="renewCertificates")
async def renew_certificates(calls: Calls, by: By) -> CertificatesView:
    """New leaves for Federator and ingress, at once. Both take them up by themselves."""
    await calls.federation.certificates.renew(by)
    return await CertificatesView.of(calls.federation.certificates)


@router.post("/certificates/roll", operation_id="rollCertificates")
async def roll_certificates(body: RollBody, calls: Calls, by: By) -> CertificatesView:
    """Make another CA or message key. It is published first, and used once remotes have had the time to hear of it."""
    certificates = calls.federation.certificates
    await (certificates.roll_authority(by) if body.what == "authority" else certificates.roll_key(by))
    return await CertificatesView.of(certificates)


@router.post("/certificates/import", operation_id="importAuthority")
async def import_authority(body: ImportBody, calls: Calls, by: By) -> CertificatesView:
    """Take a CA that was made elsewhere, from files on the server's machine, as the one that comes next."""
    existing = Existing(FilePath(body.certificate_file), FilePath(body.key_file), body.key_stays)
    await calls.federation.certificates.import_authority(by, existing)
    return await CertificatesView.of(calls.federation.certificates)


@router.get("/certificates/{certificate}", operation_id="getCertificate")
async def get_certificate(certificate: Name, calls: Calls) -> CertificateDetails:
    """One certificate or key."""
    found = entry(await calls.federation.certificates.entries(), certificate)
    return CertificateDetails(**CertificateView.of(found).model_dump(), pem=found.pem)


@router.post("/certificates/{serial}/revoke", operation_id="revokeCertificate")
async def revoke_certificate(serial: Serial, body: RevokeBody, calls: Calls, by: By) -> CertificatesView:
    """End a leaf before its time. Remotes are told, and where it is in use a new one takes its place at once."""
    await calls.federation.certificates.revoke(by, int(serial, 16), body.reason)
    return await CertificatesView.of(calls.federation.certificates)
