"""Certificate authorities of remotes and of attackers, and leaves of any shape."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
LEEWAY = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A leaf with its key, in PEM and on disk for the `ssl` module."""

    chain: Path
    key: Path
    der: bytes


@dataclass
class Ca:
    """`name` is the subject: two of one name are what an attacker would make."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self._issued = 0
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._subject)
            .issuer_name(self._subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def leaf(
        self,
        infra: str,
        *,
        usages: tuple[x509.ObjectIdentifier, ...] | None = (Usage.CLIENT_AUTH, Usage.SERVER_AUTH),
        starts: timedelta = -LEEWAY,
        ends: timedelta = DAY,
    ) -> Pair:
        """A leaf for `infra` and an instance of its own. `usages` None leaves the extension out."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        names = [x509.DNSName(infra), x509.UniformResourceIdentifier(f"spiffe://a.example/instance/{uuid4()}")]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(DIGITAL_SIGNATURE, critical=True)
        )
        if usages is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return self._written(builder.sign(self.key, hashes.SHA256()), key)

    def _written(self, leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
        self._issued += 1
        folder = self.folder / f"{self.name}-{self._issued}"
        folder.mkdir()
        chain, key_file = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file.write_bytes(key.private_bytes(*encoding))
        return Pair(chain, key_file, leaf.public_bytes(serialization.Encoding.DER))
