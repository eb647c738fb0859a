"""DANE (RFC 6698, RFC 7671): whether a server's leaf is one that DNS vouches for. It comes on top of the anchors."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from isthmus.domain.federation.certificate import SERVER_AUTH
from isthmus.federator.resolving import Tlsa
from isthmus.x509.chain import ChainBroken, check_chain

# Each usage that also asks for the usual chain counts like its sibling that does not: the chain is checked anyway.
OF_THE_LEAF = frozenset({1, 3})
OF_AN_AUTHORITY = frozenset({0, 2})
MOST_RECORDS = 16


def vouches(records: Sequence[Tlsa], leaf: bytes, authorities: Sequence[bytes], now: datetime) -> bool:
    """Whether one of `records` matches `leaf`, or the authority among `authorities` that issued it (all DER)."""
    return any(_matches(record, leaf, authorities, now) for record in records[:MOST_RECORDS])


def _matches(record: Tlsa, leaf: bytes, authorities: Sequence[bytes], now: datetime) -> bool:
    if record.usage in OF_THE_LEAF:
        return _is_of(record, leaf)
    if record.usage in OF_AN_AUTHORITY:
        return any(_is_of(record, authority) and _issued(leaf, authority, now) for authority in authorities)
    return False


def _is_of(record: Tlsa, certificate: bytes) -> bool:
    """Whether the record is made of this certificate. Unknown selectors and digests match nothing."""
    if record.selector == 0:
        selected = certificate
    elif record.selector == 1:
        key = x509.load_der_x509_certificate(certificate).public_key()
        selected = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        return False
    if record.matching == 0:
        return record.data == selected
    digest = {1: hashlib.sha256, 2: hashlib.sha512}.get(record.matching)
    return digest is not None and record.data == digest(selected).digest()


def _issued(leaf: bytes, authority: bytes, now: datetime) -> bool:
    try:
        check_chain(leaf, [authority], now, SERVER_AUTH)
    except ChainBroken:
        return False
    return True
