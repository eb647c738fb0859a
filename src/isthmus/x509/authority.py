"""A backend's own CA: making one, and issuing its leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.domain.federation.certificate import BACKDATED, LONGEST_OWN_LIFE
from isthmus.domain.federation.names import InfraDomain

AUTHORITY_LIFE = timedelta(days=3650)
LONGEST_NAME = 64
"""Of a common or organisation name, by X.520."""

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
LeafKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a leaf shall say. `uri` is `instance_uri(…)` or `invitation_uri(…)`; `serves` adds serverAuth."""

    uri: str
    infra_domains: tuple[InfraDomain, ...]
    serves: bool = False


@dataclass(frozen=True, slots=True)
class Certified:
    """A new leaf for a key of somebody else. `chain` is PEM: the leaf, and the issuing CA where that is no root."""

    certificate: x509.Certificate
    chain: bytes

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True)
class Issued(Certified):
    """A new leaf with its key, in PEM (PKCS #8)."""

    key: bytes

    def __repr__(self) -> str:
        return f"Issued(serial={self.certificate.serial_number:x})"


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA that issues. `above` are the certificates over it, up to its root, where it is no root itself."""

    certificate: x509.Certificate
    key: SigningKey
    above: tuple[x509.Certificate, ...] = ()

    def __repr__(self) -> str:
        return f"Authority({self.certificate.subject.rfc4514_string()})"

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the issuing certificate's DER."""
        return self.certificate.fingerprint(SHA256())

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """DER of the authorities that remotes must know, the issuing one first."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.above))

    @property
    def pem(self) -> bytes:
        return b"".join(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.above))

    def key_pem(self) -> bytes:
        return private_pem(self.key)

    def issue(self, wanted: Wanted, now: datetime, life: timedelta) -> Issued:
        """A leaf with a new P-256 key; else as `certify`."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self.certify(key.public_key(), wanted, now, life)
        return Issued(made.certificate, made.chain, private_pem(key))

    def certify(self, key: LeafKey, wanted: Wanted, now: datetime, life: timedelta) -> Certified:
        """A leaf for the public key `key`, valid until `now + life` (≤ 7 days), though never longer than the CA itself.

        Raises `ValueError` where no time would be left.
        """
        if not timedelta() < life <= LONGEST_OWN_LIFE:
            raise ValueError(f"a leaf may live up to {LONGEST_OWN_LIFE.days} days")
        starts = max(now - BACKDATED, self.certificate.not_valid_before_utc).replace(microsecond=0)
        ends = min(now + life, self.certificate.not_valid_after_utc).replace(microsecond=0)
        if ends <= now:
            raise ValueError("the CA has expired")
        names = [x509.DNSName(name) for name in wanted.infra_domains]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if wanted.serves else [])]
        own = self.certificate.extensions
        certificate = (
            x509.CertificateBuilder()
            # No subject: names stand in the SAN alone, which must be critical then.
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(
                x509.SubjectAlternativeName([*names, x509.UniformResourceIdentifier(wanted.uri)]), critical=True
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(_issuer_id(own, self.key), critical=False)
            .sign(self.key, SHA256())
        )
        below = [certificate, *([self.certificate] if self.above else [])]
        return Certified(certificate, b"".join(each.public_bytes(Encoding.PEM) for each in below))


def make_authority(domain: str, now: datetime, life: timedelta = AUTHORITY_LIFE) -> Authority:
    """A new self-signed CA (ECDSA P-256) that may issue leaves and no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Two CAs of one backend, as during a roll-over, must not share a name.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, domain[:LONGEST_NAME]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Isthmus CA {identifier.digest.hex()[:16]}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - BACKDATED).replace(microsecond=0))
        .not_valid_after((now + life).replace(microsecond=0))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )
    return Authority(certificate, key)


def private_pem(key: SigningKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem_of(authorities: Sequence[bytes]) -> list[str]:
    """PEM of DER certificates."""
    found = (x509.load_der_x509_certificate(der) for der in authorities)
    return [each.public_bytes(Encoding.PEM).decode() for each in found]


def _issuer_id(own: x509.Extensions, key: SigningKey) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = own.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
