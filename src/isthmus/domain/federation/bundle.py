"""A bundle: all that one backend is known by to another, and when a new one may take the place of the old."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import scrypt, sha256

from isthmus.domain.federation.names import BackendDomain, InfraDomain

REFRESH_HINT = timedelta(minutes=5)
SHORTEST_HINT, LONGEST_HINT = timedelta(seconds=1), timedelta(days=7)
HINTS_BEFORE_USE = 3
"""For how many refresh hints a new key is published before anything is signed by it."""

MOST_AUTHORITIES = 16
MOST_MESSAGE_KEYS = 16
MOST_INFRA_DOMAINS = 16
MOST_VERSIONS = 64
MOST_REVOKED = 256
LARGEST_SEQUENCE = 2**53 - 1

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SHORT_CODE_BITS = 60


@dataclass(eq=False)
class BundleRefused(Exception):
    """A bundle does not count. `rule` is `unreadable`, `signature`, `domain`, `sequence`, `conflict` or `limits`."""

    rule: str
    detail: str = ""

    def __str__(self) -> str:
        return f"the bundle is refused ({self.rule}): {self.detail}" if self.detail else f"the bundle ({self.rule})"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What `domain` says of itself. `authorities` are DER certificates of its CAs: none means that all its leaves are
    revoked. `message_keys` are raw Ed25519 public keys by their thumbprints. `revoked` are serial numbers of leaves
    that count no more although they have not expired."""

    domain: BackendDomain
    sequence: int
    infra_domains: tuple[InfraDomain, ...]
    authorities: tuple[bytes, ...]
    message_keys: Mapping[str, bytes]
    versions: tuple[int, ...]
    refresh_hint: timedelta = REFRESH_HINT
    revoked: tuple[int, ...] = ()

    @property
    def revokes_everything(self) -> bool:
        return not self.authorities

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that it says but the hint. Equal bundles have equal digests, however they were signed."""
        parts = [b"isthmus bundle 1", self.domain.encode(), str(self.sequence).encode()]
        for group in (
            [name.encode() for name in self.infra_domains],
            self.authorities,
            [part for name in sorted(self.message_keys) for part in (name.encode(), self.message_keys[name])],
            [str(version).encode() for version in self.versions],
            [str(serial).encode() for serial in self.revoked],
        ):
            parts += [struct.pack(">I", len(group)), *group]
        return sha256(b"".join(map(_with_length, parts))).digest()

    def known(self) -> "Known":
        return Known(self.domain, self.sequence, self.message_keys, self.digest)


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of the bundle that was last taken from a backend. `digest` None: whatever it was."""

    domain: BackendDomain
    sequence: int
    message_keys: Mapping[str, bytes]
    digest: bytes | None = None


def check_limits(bundle: Bundle) -> None:
    """Raise `BundleRefused` for a bundle that says more than anybody needs to, or the impossible."""
    for name, count, most in (
        ("authorities", len(bundle.authorities), MOST_AUTHORITIES),
        ("message keys", len(bundle.message_keys), MOST_MESSAGE_KEYS),
        ("infra domains", len(bundle.infra_domains), MOST_INFRA_DOMAINS),
        ("versions", len(bundle.versions), MOST_VERSIONS),
        ("revoked leaves", len(bundle.revoked), MOST_REVOKED),
    ):
        if count > most:
            raise BundleRefused("limits", f"more than {most} {name}")
    if not 1 <= bundle.sequence <= LARGEST_SEQUENCE:
        raise BundleRefused("limits", "its sequence is out of range")
    if not SHORTEST_HINT <= bundle.refresh_hint <= LONGEST_HINT:
        raise BundleRefused("limits", "its refresh hint is out of range")
    if not bundle.infra_domains:
        raise BundleRefused("limits", "it names no infra domain")


def check_successor(bundle: Bundle, known: Known) -> bool:
    """Whether `bundle`, signed by a message key of `known`, is news. Raises `BundleRefused` where it may not follow."""
    if bundle.domain != known.domain:
        raise BundleRefused("domain", f"it speaks for {bundle.domain}, not for {known.domain}")
    if bundle.sequence < known.sequence:
        raise BundleRefused("sequence", f"it is number {bundle.sequence}, and {known.sequence} is known already")
    if bundle.sequence > known.sequence:
        return True
    if known.digest is not None and bundle.digest != known.digest:
        raise BundleRefused("conflict", f"another bundle of number {bundle.sequence} is known")
    return False


def usable_from(published_at: datetime, refresh_hint: timedelta = REFRESH_HINT) -> datetime:
    """When a key that was first in the bundle at `published_at` may be used: until then a remote may not know it."""
    return published_at + HINTS_BEFORE_USE * refresh_hint


def short_code(one: Bundle, other: Bundle) -> str:
    """Twelve letters that two operators compare: `K7PD-9QXM-3T4W`, the same on both sides.

    60 bits of the digests of both, in order of domain, are few enough to read out. The slow hash (about 50 ms) is for
    whoever stands between the two and tries bundles until both sides show one code: each try costs as much.
    """
    first, second = sorted((one, other), key=lambda bundle: bundle.domain)
    text = b"".join(_with_length(part) for each in (first, second) for part in (each.domain.encode(), each.digest))
    slow = scrypt(sha256(text).digest(), salt=b"isthmus short code 1", n=2**14, r=8, p=1, dklen=32)
    number = int.from_bytes(slow, "big") >> (256 - SHORT_CODE_BITS)
    letters = [CROCKFORD[(number >> shift) & 31] for shift in range(SHORT_CODE_BITS - 5, -1, -5)]
    return "-".join("".join(letters[start : start + 4]) for start in range(0, len(letters), 4))


def same_code(one: str, other: str) -> bool:
    """Whether two short codes are one, however they were typed."""
    return _plain(one) == _plain(other) != ""


def _plain(code: str) -> str:
    # Crockford's own rule: what looks like a digit is one.
    return code.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))


def _with_length(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part
