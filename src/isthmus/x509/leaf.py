"""Certificates of others: bytes to facts. Whatever they hold, the answer is facts or a `ValueError`."""

import binascii
import re
from hashlib import sha256
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.domain.federation.certificate import LeafFacts

LONGEST_DER = 16 * 1024
LONGEST_PEM = 24 * 1024
ONE_PEM = re.compile(r"\s*-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII)
UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)

OTHER = "other"

T = TypeVar("T", bound=x509.ExtensionType)


def read_one_pem(text: str) -> bytes:
    """The DER of the one certificate that `text` holds, and nothing beside it. Raises `ValueError`."""
    found = ONE_PEM.fullmatch(text) if len(text) <= LONGEST_PEM else None
    if found is None:
        raise ValueError("not exactly one certificate in PEM")
    text = "".join(found[1].split())
    try:
        der = binascii.a2b_base64(text)
    except binascii.Error:
        raise ValueError("a certificate that is not base64") from None
    # The decoder forgives more than one certificate's text may hold.
    if binascii.b2a_base64(der, newline=False).decode() != text:
        raise ValueError("a certificate that is not base64")
    load(der)
    return der


def load(der: bytes) -> x509.Certificate:
    """Raises `ValueError`."""
    if len(der) > LONGEST_DER:
        raise ValueError("a certificate that is too large")
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise ValueError(f"not a certificate: {error}") from None


def read_leaf(der: bytes) -> LeafFacts:
    """What the certificate says of itself. Raises `ValueError` where it cannot be read whole."""
    certificate = load(der)
    try:
        extensions = certificate.extensions
        names = _extension(extensions, x509.SubjectAlternativeName)
        constraints = _extension(extensions, x509.BasicConstraints)
        key_usage = _extension(extensions, x509.KeyUsage)
        extended = _extension(extensions, x509.ExtendedKeyUsage)
        key, kind = key_of(certificate)
        return LeafFacts(
            fingerprint=sha256(der).digest(),
            serial=certificate.serial_number,
            key=key,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            is_ca=constraints is not None and constraints.ca,
            may_sign=key_usage is not None and (key_usage.key_cert_sign or key_usage.crl_sign),
            digital_signature=key_usage is not None and key_usage.digital_signature,
            usages=None if extended is None else frozenset(usage.dotted_string for usage in extended),
            dns_names=() if names is None else tuple(names.get_values_for_type(x509.DNSName)),
            uris=() if names is None else tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
            key_kind=kind,
            signature_hash=_hash_of(certificate),
        )
    except UNREADABLE as error:
        raise ValueError(f"not a certificate: {error}") from None


def key_of(certificate: x509.Certificate) -> tuple[bytes, str]:
    """SHA-256 of the SubjectPublicKeyInfo and the kind of key. The info is encoded anew, so one key has one digest
    however its owner spelt it. Empty digest for kinds that never count."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b"", OTHER
    kind = kind_of(key)
    if kind == OTHER:
        return b"", OTHER
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest(), kind


def kind_of(key: PublicKeyTypes) -> str:
    """As `LeafFacts.key_kind` has it."""
    if isinstance(key, EllipticCurvePublicKey):
        return f"ec:{key.curve.name}"
    if isinstance(key, RSAPublicKey):
        return f"rsa:{key.key_size}"
    return "ed25519" if isinstance(key, Ed25519PublicKey) else OTHER


def _hash_of(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "other"
    return "" if algorithm is None else algorithm.name


def _extension(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
