"""Whether a chain and a key, in PEM, make a client certificate that we may present to remotes."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from isthmus.domain.federation.certificate import LeafFacts, check_profile
from isthmus.domain.federation.denial import Denied
from isthmus.federator.ports import Pair
from isthmus.x509.leaf import read_leaf

CERTIFICATE, KEY, BOTH = "certificate", "key", "both"
RENEW = "renew it: isthmus certificate renew"


class PairUnusable(Exception):
    """`part` is what is at fault: `certificate`, `key` or `both`. The text says what is wrong and what to do."""

    def __init__(self, part: str, fault: str) -> None:
        super().__init__(fault)
        self.part = part


def read_pair(chain: bytes, key: bytes, now: float, infra_domain: str | None = None) -> Pair:
    """Raises `PairUnusable`."""
    certificate = _certificate(chain)
    if _public_key(key) != _spki(certificate):
        raise PairUnusable(BOTH, "the key is that of another certificate: set files that belong together")
    try:
        leaf = read_leaf(certificate.public_bytes(Encoding.DER))
    except ValueError as error:
        raise PairUnusable(CERTIFICATE, f"the certificate cannot be read: {error}") from None
    _check_dates(leaf, now)
    _check_fitness(leaf, now, infra_domain)
    return Pair(chain, key, leaf)


def _certificate(chain: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError):
        raise PairUnusable(CERTIFICATE, "holds no certificate in PEM: set the leaf, then its issuers") from None


def _public_key(key: bytes) -> bytes:
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PairUnusable(KEY, "holds no private key in PEM without a password: set the key of the leaf") from None
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_dates(leaf: LeafFacts, now: float) -> None:
    if leaf.not_after.timestamp() < now:
        raise PairUnusable(CERTIFICATE, f"the certificate expired at {leaf.not_after:%Y-%m-%d %H:%M:%S} UTC: {RENEW}")
    if leaf.not_before.timestamp() > now:
        begins = f"{leaf.not_before:%Y-%m-%d %H:%M:%S} UTC"
        raise PairUnusable(
            CERTIFICATE, f"the certificate begins only at {begins}: set this machine's clock, or renew it"
        )


FAULTS = {
    "profile.eku": "the certificate lacks the extended key usage clientAuth, so no remote would take it",
    "profile.san_missing": "the certificate names no infra domain as a DNS SAN, so no remote would take it",
}


def _check_fitness(leaf: LeafFacts, now: float, infra_domain: str | None) -> None:
    try:
        check_profile(leaf, now=datetime.fromtimestamp(now, UTC))
    except Denied as denied:
        rule = denied.reason.removeprefix("profile.")
        fault = FAULTS.get(denied.reason, f"the certificate breaks the rule {rule!r} for leaves")
        raise PairUnusable(CERTIFICATE, f"{fault}: {RENEW}") from None
    if infra_domain is not None and infra_domain not in leaf.dns_names:
        named = ", ".join(leaf.dns_names)
        fault = f"the certificate is for {named} and not for the infra domain {infra_domain}: {RENEW}"
        raise PairUnusable(CERTIFICATE, fault)
