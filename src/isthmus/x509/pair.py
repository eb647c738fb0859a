"""A certificate and its key, as two files: read and checked as one thing, with a message of its own for every fault."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH, LeafFacts, check_profile
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import InfraDomain
from isthmus.x509.leaf import UNREADABLE, read_leaf

CHAIN, KEY = "chain.pem", "key.pem"
LONGEST = 256 * 1024
BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

PROFILE: Mapping[str, str] = {
    "ca": "is a CA, and a leaf must not be one",
    "key": "has a key that is too weak: P-256, P-384, P-521, Ed25519 and RSA from 2048 bits are taken",
    "hash": "is signed with a hash that is too weak: SHA-256, SHA-384 and SHA-512 are taken",
    "lifetime": "lives longer than the 100 days that remotes take",
    "key_usage": "lacks the key usage digitalSignature",
    "san_missing": "has no DNS name in its subject alternative name, and a common name counts for nothing",
    "wildcard": "names a wildcard, which no remote takes",
    "dns_name": "has a DNS name that is not in lower-case A-labels",
    "uri_count": "must have exactly one URI in its subject alternative name",
    "uri": "has a URI that names no instance: spiffe://<backend domain>/instance/<uuid>",
}
USAGES = {CLIENT_AUTH: "clientAuth", SERVER_AUTH: "serverAuth"}


class PairUnusable(Exception):
    """One sentence: which file, and what is wrong with it. `fault` is a word for logs and findings."""

    def __init__(self, path: Path, fault: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair whose halves belong together. `chain` and `key` are PEM, the leaf comes first in `chain`."""

    chain: bytes
    key: bytes
    leaf: LeafFacts

    def __repr__(self) -> str:
        return f"Pair({self.leaf.fingerprint.hex()[:16]})"


def load_folder(folder: Path) -> Pair:
    """The pair of `folder`, which may be a symlink that somebody turns meanwhile. Raises `PairUnusable`."""
    try:
        # Followed once: both halves come out of one folder.
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):
        raise PairUnusable(folder, "certificate_missing", "there is no certificate: the folder is missing") from None
    return load_pair(real / CHAIN, real / KEY)


def load_pair(chain: Path, key: Path) -> Pair:
    """Two files that belong together, whatever the certificate says and however old it is. Raises `PairUnusable`."""
    return _paired(chain, key, read_file(chain, "certificate"), read_file(key, "key"))


def pair_of(folder: Path, chain: bytes, key: bytes) -> Pair:
    """A pair that is on its way to the files of `folder`. Raises `PairUnusable`."""
    return _paired(folder / CHAIN, folder / KEY, chain, key)


# Whoever looks for new files several times a second finds the same ones nearly always.
@lru_cache(maxsize=4)
def _paired(chain: Path, key: Path, text: bytes, secret: bytes) -> Pair:
    certificate = _first_certificate(chain, text)
    public = public_half(read_key(key, secret))
    if certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public:
        raise PairUnusable(key, "key_of_another", f"this is the key of another certificate than that in {chain}")
    try:
        return Pair(text, secret, read_leaf(certificate.public_bytes(Encoding.DER)))
    except ValueError as error:
        raise PairUnusable(chain, "certificate_unreadable", f"the certificate cannot be read: {error}") from None


def check_pair(
    pair: Pair,
    path: Path,
    *,
    infra_domains: Sequence[InfraDomain],
    now: datetime,
    usages: Sequence[str] = (CLIENT_AUTH,),
) -> None:
    """Check that remotes would take the leaf: profile, dates, usages, and one of our infra domains. `path` is named in
    messages. Raises `PairUnusable`."""
    leaf = pair.leaf
    if now > leaf.not_after:
        raise PairUnusable(path, "expired", f"the certificate expired at {leaf.not_after.isoformat()}")
    if now < leaf.not_before:
        begins = leaf.not_before.isoformat()
        raise PairUnusable(path, "not_yet_valid", f"the certificate is not valid before {begins}: is the clock right?")
    for usage in usages:
        try:
            check_profile(leaf, now=now, usage=usage)
        except Denied as denied:
            rule = denied.reason.removeprefix("profile.")
            lacks = f"lacks the extended key usage {USAGES.get(usage, usage)}"
            raise PairUnusable(path, rule, f"the certificate {PROFILE.get(rule, lacks)}") from None
    if not set(leaf.dns_names) & set(infra_domains):
        wanted, names = ", ".join(infra_domains), ", ".join(leaf.dns_names)
        raise PairUnusable(path, "infra_domain", f"the certificate is not for {wanted}; it names {names}")


def read_file(path: Path, what: str) -> bytes:
    """A file of one's own, `what` it is. Raises `PairUnusable`."""
    try:
        with path.open("rb") as file:
            found = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise PairUnusable(path, f"{what}_missing", f"there is no {what} file here") from None
    except OSError as error:
        raise PairUnusable(path, f"{what}_unreadable", f"the {what} file cannot be read: {error.strerror}") from None
    if len(found) > LONGEST:
        raise PairUnusable(path, f"{what}_unreadable", f"the {what} file is larger than any {what}")
    return found


def _first_certificate(path: Path, text: bytes) -> x509.Certificate:
    block = BLOCK.search(text)
    if block is None:
        raise PairUnusable(path, "no_certificate", "the file holds no certificate in PEM")
    try:
        certificate = x509.load_pem_x509_certificate(block[0])
        certificate.public_key()
    except (*UNREADABLE, UnsupportedAlgorithm) as error:
        raise PairUnusable(path, "no_certificate", f"the file holds no usable certificate: {error}") from None
    return certificate


def read_key(path: Path, secret: bytes) -> PrivateKeyTypes:
    """The private key in `secret`, which is the content of `path`. Raises `PairUnusable`."""
    if b"PRIVATE KEY-----" not in secret:
        raise PairUnusable(path, "no_key", "the file holds no private key in PEM")
    try:
        return load_pem_private_key(secret, password=None)
    except TypeError:
        raise PairUnusable(path, "key_encrypted", "the private key is encrypted: store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PairUnusable(path, "no_key", "the private key cannot be read") from None


def public_half(key: PrivateKeyTypes) -> bytes:
    """The SubjectPublicKeyInfo that belongs to `key`."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
