"""Leaves of callers: what they say, and whose authorities verify them, each worked out once."""

from collections import OrderedDict
from datetime import datetime
from hashlib import sha256
from typing import TypeVar
from urllib.parse import unquote

from isthmus.domain.federation.certificate import LeafFacts
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Trust
from isthmus.domain.federation.view import View
from isthmus.x509.chain import ChainBroken, check_chain
from isthmus.x509.leaf import read_leaf, read_one_pem

MOST_LEAVES = 4_096
MOST_VERDICTS = 16_384
# An authority that has ended is noticed after this at the latest; the leaf's own dates are asked each time.
VERDICT_SECONDS = 60.0

Authorities = tuple[bytes, ...]
K = TypeVar("K")
V = TypeVar("V")


class Leaves:
    """Bounded: the least recently used is forgotten."""

    def __init__(self) -> None:
        self._read: OrderedDict[bytes, tuple[bytes, LeafFacts]] = OrderedDict()
        self._verdicts: OrderedDict[tuple[bytes, Authorities], tuple[float, str]] = OrderedDict()

    def read(self, escaped: str) -> tuple[bytes, LeafFacts]:
        """DER and facts of the one certificate in a percent-escaped PEM text. Raises `ValueError`."""
        key = sha256(escaped.encode()).digest()
        found = self._read.get(key)
        if found is None:
            der = read_one_pem(unquote(escaped, errors="strict"))
            found = self._read[key] = (der, read_leaf(der))
        _keep(self._read, key, MOST_LEAVES)
        return found

    def is_verified(self, leaf: LeafFacts, authorities: Authorities, now: datetime) -> bool:
        """Whether there is a verdict on this leaf already, so that asking again costs nothing."""
        return self._kept(leaf, authorities, now) is not None

    def verify(self, der: bytes, leaf: LeafFacts, authorities: Authorities, now: datetime) -> str:
        """Why none of `authorities` issued the leaf; empty when one did."""
        reason = self._kept(leaf, authorities, now)
        if reason is None:
            reason = _verdict(der, authorities, now)
            self._verdicts[(leaf.fingerprint, authorities)] = (now.timestamp() + VERDICT_SECONDS, reason)
        _keep(self._verdicts, (leaf.fingerprint, authorities), MOST_VERDICTS)
        return reason

    def owner(
        self, der: bytes, leaf: LeafFacts, view: View, claimed: BackendDomain, now: datetime
    ) -> BackendDomain | None:
        """The remote other than `claimed` whose authorities issued the leaf."""
        for domain, known in view.remotes.items():
            # Roots that several share say nothing of one of them.
            if domain != claimed and known.trust is Trust.PINNED and not self.verify(der, leaf, known.authorities, now):
                return domain
        return None

    def _kept(self, leaf: LeafFacts, authorities: Authorities, now: datetime) -> str | None:
        until, reason = self._verdicts.get((leaf.fingerprint, authorities), (0.0, ""))
        return reason if now.timestamp() < until else None


def _verdict(der: bytes, authorities: Authorities, now: datetime) -> str:
    try:
        check_chain(der, authorities, now)
    except ChainBroken as broken:
        return broken.reason
    return ""


def _keep(cache: OrderedDict[K, V], key: K, most: int) -> None:
    cache.move_to_end(key)
    while len(cache) > most:
        cache.popitem(last=False)
