"""What a leaf must be like to count between backends, and whom it names. `isthmus.x509.chain` checks who issued it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import POWERNODE, SPIFFE, BackendDomain, InfraDomain, InstanceId, is_domain

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"

LONGEST_LIFE = timedelta(days=100)
"""Of a leaf of anybody: a quarter of a year and its renewal. A stolen key that nobody misses is worth no more."""

OWN_LIFE = timedelta(hours=24)
LONGEST_OWN_LIFE = timedelta(days=7)
SHORTEST_OWN_LIFE = timedelta(minutes=10)
BACKDATED = timedelta(minutes=5)
"""By how much a new leaf of ours seems older than it is, for clocks that are behind."""

MOST_NAMES = 16
STRONG_HASHES = frozenset({"sha256", "sha384", "sha512", ""})
STRONG_KEYS = frozenset({"ec:secp256r1", "ec:secp384r1", "ec:secp521r1", "ed25519"})
LEAST_RSA, MOST_RSA = 2048, 8192


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """What a certificate says, before anybody believes it.

    `fingerprint` is the SHA-256 of its DER, `key` that of its SubjectPublicKeyInfo. `may_sign` is keyCertSign or
    cRLSign. `usages` are dotted OIDs, None where it has no extended key usage. `key_kind` is `ec:<curve>`,
    `rsa:<bits>`, `ed25519` or `other`; `signature_hash` is empty where the signature has a hash of its own (Ed25519).
    """

    fingerprint: bytes
    serial: int
    key: bytes
    not_before: datetime
    not_after: datetime
    is_ca: bool
    may_sign: bool
    digital_signature: bool
    usages: frozenset[str] | None
    dns_names: tuple[str, ...]
    uris: tuple[str, ...]
    key_kind: str
    signature_hash: str

    @property
    def life(self) -> timedelta:
        return self.not_after - self.not_before


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a leaf names: an instance, or the holder of an invitation. `domain` is the trust domain of its URI, None for
    `powernode:` URIs, which mean the remote whose authorities verified the leaf."""

    domain: BackendDomain | None
    infra_domains: tuple[InfraDomain, ...]
    instance: InstanceId | None = None
    invitation: UUID | None = None


def _is_no_authority(leaf: LeafFacts, usage: str) -> bool:
    return not (leaf.is_ca or leaf.may_sign)


def is_strong_key(key_kind: str) -> bool:
    """Whether a key counts, by its kind as `LeafFacts.key_kind` has it."""
    kind, _, bits = key_kind.partition(":")
    if kind == "rsa":
        return LEAST_RSA <= int(bits) <= MOST_RSA
    return key_kind in STRONG_KEYS


def _has_a_strong_key(leaf: LeafFacts, usage: str) -> bool:
    return is_strong_key(leaf.key_kind)


def _has_a_strong_hash(leaf: LeafFacts, usage: str) -> bool:
    return leaf.signature_hash in STRONG_HASHES


def _lives_shortly(leaf: LeafFacts, usage: str) -> bool:
    return timedelta() < leaf.life <= LONGEST_LIFE


def _signs_digitally(leaf: LeafFacts, usage: str) -> bool:
    return leaf.digital_signature


def _has_the_usage(leaf: LeafFacts, usage: str) -> bool:
    # No extension means "for anything" to X.509 and to the ingress; here only what is said counts.
    return leaf.usages is not None and usage in leaf.usages


def _has_dns_names(leaf: LeafFacts, usage: str) -> bool:
    return 0 < len(leaf.dns_names) <= MOST_NAMES


def _has_no_wildcard(leaf: LeafFacts, usage: str) -> bool:
    return not any("*" in name for name in leaf.dns_names)


def _has_plain_names(leaf: LeafFacts, usage: str) -> bool:
    return all(map(is_domain, leaf.dns_names))


def _has_one_uri(leaf: LeafFacts, usage: str) -> bool:
    return len(leaf.uris) == 1


def _has_a_known_uri(leaf: LeafFacts, usage: str) -> bool:
    return all(read_uri(uri) is not None for uri in leaf.uris)


RULES: Mapping[str, Callable[[LeafFacts, str], bool]] = {
    "ca": _is_no_authority,
    "key": _has_a_strong_key,
    "hash": _has_a_strong_hash,
    "lifetime": _lives_shortly,
    "key_usage": _signs_digitally,
    "eku": _has_the_usage,
    "san_missing": _has_dns_names,
    "wildcard": _has_no_wildcard,
    "dns_name": _has_plain_names,
    "uri_count": _has_one_uri,
    "uri": _has_a_known_uri,
}
"""In the order in which they are asked; `dates` comes last, as the one that changes while the leaf stays the same."""


def check_profile(leaf: LeafFacts, *, now: datetime, usage: str = CLIENT_AUTH) -> None:
    """Raise `Denied` with reason `profile.<rule>` for the first rule that `leaf` breaks as the leaf of a `usage`."""
    for rule, holds in RULES.items():
        if not holds(leaf, usage):
            raise Denied("federation_denied", f"profile.{rule}")
    check_dates(leaf, now=now)


def check_dates(leaf: LeafFacts, *, now: datetime) -> None:
    """The one rule that must be asked again of a leaf that was found good before. Raises `Denied`."""
    if not leaf.not_before <= now <= leaf.not_after:
        raise Denied("federation_denied", "profile.dates")


def read_uri(uri: str) -> tuple[BackendDomain | None, str, UUID] | None:
    """A URI SAN as trust domain, `instance` or `invitation`, and id; None if it is neither in its one spelling."""
    if found := SPIFFE.fullmatch(uri):
        domain, kind, number = found.groups()
        return (BackendDomain(domain), kind, UUID(number)) if is_domain(domain) else None
    if found := POWERNODE.fullmatch(uri):
        return None, "instance", UUID(found[1])
    return None


def identity_of(leaf: LeafFacts) -> Identity:
    """Whom `leaf` names, once its profile holds. The common name plays no part. Raises `Denied`."""
    found = read_uri(leaf.uris[0]) if len(leaf.uris) == 1 else None
    if found is None:
        raise Denied("federation_denied", "profile.uri")
    domain, kind, number = found
    names = tuple(InfraDomain(name) for name in leaf.dns_names)
    if kind == "invitation":
        return Identity(domain, names, invitation=number)
    return Identity(domain, names, instance=InstanceId(number))


def check_trust_domain(identity: Identity, domain: BackendDomain) -> None:
    """A leaf of the authorities of `domain` must not name a process of another one. Raises `Denied`, reason
    `profile.trust_domain`."""
    if identity.domain not in (None, domain):
        raise Denied("federation_denied", "profile.trust_domain")
