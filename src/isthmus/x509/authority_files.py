"""A CA that exists already, from files: checked before anything is issued by it, with words for every fault."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.domain.federation.bundle import MOST_AUTHORITIES
from isthmus.domain.federation.certificate import CLIENT_AUTH, LEAST_RSA, OWN_LIFE, SERVER_AUTH
from isthmus.x509.authority import Authority, SigningKey, Wanted
from isthmus.x509.chain import ChainBroken, check_chain
from isthmus.x509.leaf import UNREADABLE, read_leaf
from isthmus.x509.pair import BLOCK, PairUnusable, public_half, read_file, read_key

LEAST_LEFT = timedelta(days=30)


def load_authority(certificate: Path, key: Path) -> Authority:
    """The CA whose certificate is the first in `certificate`, with those above it. Raises `PairUnusable`."""
    chain = _certificates(certificate, read_file(certificate, "certificate"))
    secret = read_key(key, read_file(key, "key"))
    own = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own != public_half(secret):
        raise PairUnusable(key, "key_of_another", f"this is the key of another certificate than that in {certificate}")
    return Authority(chain[0], _signing_key(key, secret), tuple(chain[1:]))


def check_authority(authority: Authority, path: Path, wanted: Wanted | None, now: datetime) -> None:
    """Check that remotes would take leaves of this CA, by issuing one that says what is `wanted`; None where that is
    not known yet. `path` is named in messages. Raises `PairUnusable`."""
    if authority.certificate.not_valid_after_utc < now + LEAST_LEFT:
        ends = authority.certificate.not_valid_after_utc.isoformat()
        raise PairUnusable(path, "ends_soon", f"the CA ends at {ends}, in less than {LEAST_LEFT.days} days")
    _check_order(authority, path)
    facts = read_leaf(authority.certificates[0])
    if not facts.is_ca or not facts.may_sign:
        raise PairUnusable(path, "no_ca", "the certificate is no CA: it lacks basicConstraints CA or keyCertSign")
    if wanted is None:
        return
    try:
        leaf = authority.issue(wanted, now, OWN_LIFE)
        for usage in (CLIENT_AUTH, SERVER_AUTH):
            check_chain(leaf.der, authority.certificates, now, usage)
    except (ChainBroken, ValueError) as error:
        raise PairUnusable(path, "not_fit", f"remotes would refuse the leaves of this CA: {error}") from None


def _certificates(path: Path, text: bytes) -> list[x509.Certificate]:
    try:
        found = [x509.load_pem_x509_certificate(block) for block in BLOCK.findall(text)]
    except UNREADABLE as error:
        raise PairUnusable(path, "no_certificate", f"the file holds no usable certificate: {error}") from None
    if not found:
        raise PairUnusable(path, "no_certificate", "the file holds no certificate in PEM")
    if len(found) > MOST_AUTHORITIES // 2:
        raise PairUnusable(path, "too_many", "the file holds more than a CA and those above it")
    return found


def _signing_key(path: Path, key: object) -> SigningKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in {"secp256r1", "secp384r1", "secp521r1"}:
        return key
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA:
        return key
    raise PairUnusable(path, "kind", "a CA needs a key on P-256, P-384 or P-521, or RSA from 2048 bits")


def _check_order(authority: Authority, path: Path) -> None:
    chain: Sequence[x509.Certificate] = (authority.certificate, *authority.above)
    try:
        for below, above in pairwise(chain):
            below.verify_directly_issued_by(above)
        # The ingress of a remote builds the chain up to a root, and refuses where it finds none.
        chain[-1].verify_directly_issued_by(chain[-1])
    except (ValueError, TypeError, InvalidSignature):
        problem = "the file must hold the issuing CA first, then those above it in order, up to the self-signed root"
        raise PairUnusable(path, "order", problem) from None
