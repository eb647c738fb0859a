"""Certificates for tests, good and bad: `a_leaf(ca, uris=(…, …))` says only what is wrong with it.

`isthmus.x509.authority` could not make them: it refuses what attackers do.
"""

import subprocess
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.builders import NOON

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
INSTANCE = UUID("0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b")


def a_uri(domain: str = "a.example", instance: UUID = INSTANCE) -> str:
    return f"spiffe://{domain}/instance/{instance}"


def a_p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def a_weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505  # weak on purpose


@dataclass(frozen=True)
class Forged:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Sheet:
    """All that goes into a certificate; None leaves the extension out."""

    names: tuple[str, ...] | None = ("infra.a.example",)
    uris: tuple[str, ...] = (a_uri(),)
    common_name: str = ""
    ca: bool | None = False
    digital_signature: bool = True
    key_cert_sign: bool = False
    has_key_usage: bool = True
    usages: tuple[x509.ObjectIdentifier, ...] | None = (CLIENT,)
    starts: datetime = NOON - timedelta(hours=1)
    ends: datetime = NOON + timedelta(hours=23)
    key: Key = field(default_factory=a_p256_key)
    hash: HashAlgorithm | None = field(default_factory=SHA256)
    more: tuple[tuple[x509.ExtensionType, bool], ...] = ()


def a_leaf(issuer: Forged | None, **fields: Any) -> Forged:
    """A leaf of `issuer`, or one that signed itself."""
    return forge(replace(Sheet(), **fields), issuer)


def an_authority(name: str = "A's CA", issuer: Forged | None = None, **fields: Any) -> Forged:
    """A CA, self-signed or below `issuer`."""
    plain = Sheet(None, (), name, True, False, True, usages=None, ends=NOON + timedelta(days=365))
    return forge(replace(plain, **fields), issuer)


def forge(sheet: Sheet, issuer: Forged | None) -> Forged:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, sheet.common_name)] if sheet.common_name else [])
    signer = issuer.key if issuer else sheet.key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(sheet.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(sheet.starts)
        .not_valid_after(sheet.ends)
    )
    for extension, critical in (*extensions(sheet), *sheet.more):
        builder = builder.add_extension(extension, critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else sheet.hash
    return Forged(builder.sign(signer, algorithm), sheet.key)  # type: ignore[arg-type]


def extensions(sheet: Sheet) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    names = [x509.DNSName(name) for name in sheet.names or ()]
    uris = [x509.UniformResourceIdentifier(uri) for uri in sheet.uris]
    if names or uris:
        found.append((x509.SubjectAlternativeName([*names, *uris]), False))
    if sheet.ca is not None:
        found.append((x509.BasicConstraints(sheet.ca, None), True))
    if sheet.has_key_usage:
        bits = [sheet.digital_signature, False, False, False, False, sheet.key_cert_sign, False, False, False]
        found.append((x509.KeyUsage(*bits), True))
    if sheet.usages is not None:
        found.append((x509.ExtendedKeyUsage(sheet.usages), False))
    return found


def a_sha1_leaf(issuer: Forged, folder: Path, uri: str = a_uri()) -> Forged:
    """A leaf of A that is good but for its signature, which `cryptography` would not make."""
    good, request = a_leaf(issuer), folder / "request.pem"
    (folder / "leaf.key").write_bytes(good.key_pem)
    (folder / "ca.key").write_bytes(issuer.key_pem)
    (folder / "ca.pem").write_bytes(issuer.pem)
    names = f"subjectAltName=DNS:infra.a.example,URI:{uri}"
    (folder / "extensions").write_text(f"{names}\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n")
    for command in (
        f"openssl req -new -key {folder}/leaf.key -subj / -out {request}",
        f"openssl x509 -req -sha1 -days 1 -in {request} -CA {folder}/ca.pem -CAkey {folder}/ca.key"
        f" -extfile {folder}/extensions -outform DER -out {folder}/leaf.der",
    ):
        subprocess.run(command.split(), check=True, capture_output=True, timeout=10)
    return Forged(x509.load_der_x509_certificate((folder / "leaf.der").read_bytes()), good.key)
