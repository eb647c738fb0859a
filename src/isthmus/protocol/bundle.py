"""A bundle on the wire: a SPIFFE bundle (JWKS) with what Isthmus adds, signed as a compact JWS by a message key."""

from base64 import b64decode, b64encode, urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, RSAKey
from msgspec import Meta, Struct

from isthmus.domain.federation.bundle import Bundle, BundleRefused, Known, check_limits, check_successor
from isthmus.domain.federation.names import BackendDomain, InfraDomain, is_domain
from isthmus.protocol.message_key import PUBLIC_BYTES, MessageKey, encoded, key_id
from isthmus.protocol.sealing import LONGEST, SealBroken, claimed, proven, sealed
from isthmus.x509.leaf import read_leaf

TYPE = "isthmus-bundle+json"
AUTHORITY_USE = "x509-svid"
MESSAGE_USE = "isthmus-message"

Text = Annotated[str, Meta(max_length=4096)]


class Jwk(Struct, frozen=True, omit_defaults=True):
    """A key of the bundle; those of a `use` that is not known are passed over, as SPIFFE asks."""

    kty: Text
    use: Text = ""
    kid: Text = ""
    crv: Text = ""
    x: Text = ""
    y: Text = ""
    n: Text = ""
    e: Text = ""
    x5c: Annotated[list[Annotated[str, Meta(max_length=24 * 1024)]], Meta(max_length=4)] = []


class Document(Struct, frozen=True):
    keys: Annotated[list[Jwk], Meta(max_length=64)]
    spiffe_sequence: int
    spiffe_refresh_hint: int
    domain: Annotated[str, Meta(max_length=253)]
    infra_domains: Annotated[list[Annotated[str, Meta(max_length=253)]], Meta(max_length=64)]
    versions: Annotated[list[Annotated[int, Meta(ge=0, le=2**31)]], Meta(max_length=256)]
    revoked_serials: Annotated[list[Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,40}\Z")]], Meta(max_length=1024)] = []


def seal(bundle: Bundle, key: MessageKey) -> str:
    """`bundle` signed by `key`. Raises `BundleRefused` where it is more than a remote would take."""
    check_limits(bundle)
    text = sealed(encode(bundle), TYPE, key)
    if len(text) > LONGEST:
        raise BundleRefused("limits", f"signed, it is longer than {LONGEST} bytes")
    return text


def open_first(text: str) -> Bundle:
    """The bundle of a backend that is not known yet: one of the message keys that it names must have signed it, which
    proves that its sender holds that key, and no more. Raises `BundleRefused`."""
    with _refusing():
        _, payload = claimed(text, TYPE)
        bundle = decode(payload)
        proven(text, TYPE, bundle.message_keys)
    return bundle


def open_next(text: str, known: Known) -> tuple[Bundle, bool]:
    """The bundle of a backend that is known, signed by a message key of the one before it, and whether it is news.
    Raises `BundleRefused`."""
    with _refusing():
        bundle = decode(proven(text, TYPE, known.message_keys))
    return bundle, check_successor(bundle, known)


def encode(bundle: Bundle) -> bytes:
    keys = [*map(_authority, bundle.authorities)]
    for name, public in sorted(bundle.message_keys.items()):
        keys.append(Jwk(kty="OKP", use=MESSAGE_USE, kid=name, crv="Ed25519", x=encoded(public)))
    document = Document(
        keys=keys,
        spiffe_sequence=bundle.sequence,
        spiffe_refresh_hint=int(bundle.refresh_hint.total_seconds()),
        domain=bundle.domain,
        infra_domains=list(bundle.infra_domains),
        versions=list(bundle.versions),
        revoked_serials=[f"{serial:x}" for serial in bundle.revoked],
    )
    return msgspec.json.encode(document)


def decode(payload: bytes) -> Bundle:
    """What `payload` says, whoever signed it. Raises `BundleRefused`."""
    try:
        document = msgspec.json.decode(payload, type=Document)
        bundle = Bundle(
            domain=BackendDomain(_domain(document.domain)),
            sequence=document.spiffe_sequence,
            infra_domains=tuple(InfraDomain(_domain(name)) for name in document.infra_domains),
            authorities=tuple(_certificate(key) for key in document.keys if key.use == AUTHORITY_USE),
            message_keys=dict(_message_key(key) for key in document.keys if key.use == MESSAGE_USE),
            versions=tuple(document.versions),
            refresh_hint=timedelta(seconds=document.spiffe_refresh_hint),
            revoked=tuple(int(serial, 16) for serial in document.revoked_serials),
        )
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise BundleRefused("unreadable", str(error)[:200]) from None
    check_limits(bundle)
    return bundle


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except SealBroken as broken:
        raise BundleRefused(broken.rule, broken.detail) from None


def _authority(der: bytes) -> Jwk:
    public = x509.load_der_x509_certificate(der).public_key()
    if not isinstance(public, EllipticCurvePublicKey | RSAPublicKey):
        raise BundleRefused("limits", "an authority has an ECDSA or RSA key")
    kind = ECKey if isinstance(public, EllipticCurvePublicKey) else RSAKey
    key = kind.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    members = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    return msgspec.convert(members | {"use": AUTHORITY_USE, "x5c": [b64encode(der).decode()]}, Jwk)


def _certificate(key: Jwk) -> bytes:
    if len(key.x5c) != 1:
        raise ValueError("an authority has exactly one certificate")
    try:
        der = b64decode(key.x5c[0], validate=True)
    except NotBase64:
        raise ValueError("an authority that is not base64") from None
    facts = read_leaf(der)
    if not facts.is_ca or not facts.may_sign:
        raise ValueError("an authority that is no CA")
    return der


def _message_key(key: Jwk) -> tuple[str, bytes]:
    if (key.kty, key.crv) != ("OKP", "Ed25519") or len(key.x) != 43:
        raise ValueError("a message key that is not Ed25519")
    public = urlsafe_b64decode(key.x + "=")
    if len(public) != PUBLIC_BYTES or encoded(public) != key.x or key.kid != key_id(public):
        raise ValueError("a message key whose id is not its thumbprint")
    return key.kid, public


def _domain(text: str) -> str:
    if not is_domain(text):
        raise ValueError("a name that is no domain")
    return text
