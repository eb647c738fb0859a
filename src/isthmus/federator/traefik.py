"""Requests as Traefik v3 passes them on, put into the form that our own ingress gives them.

Traefik says some things by other names. What it cannot say stays unsaid: there is no id of the ingress, and no list of
trust headers that the caller sent.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from isthmus.domain.federation.denial import Denied
from isthmus.protocol import federation as wire
from isthmus.protocol import ingress

LEAF = b"x-forwarded-tls-client-cert"
"""Base64 of the DER without line breaks; of several certificates, with commas between."""
ITS_OWN = frozenset({b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-forwarded-server"})
"""What Traefik says of each request, in place of what the caller said; nothing of it is read."""
OF_NGINX = frozenset(
    name.lower().encode()
    for name in (ingress.LEAF, ingress.INGRESS_REQUEST_ID, ingress.CALLER_REQUEST_ID, ingress.PRESENTED)
)
"""Names that our nginx sets and Traefik does not: behind Traefik they come from somebody else."""
RENAMED = {wire.REQUEST_ID.lower().encode(): ingress.CALLER_REQUEST_ID.encode()}
ONE_CERTIFICATE = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"

Raw = tuple[bytes, bytes]


def translated(headers: Sequence[Raw]) -> list[Raw]:
    """The headers by our names. Raises `Denied` for those that Traefik would not have sent."""
    return [_by_our_name(name, value) for name, value in headers if name.lower() not in ITS_OWN]


def _by_our_name(name: bytes, value: bytes) -> Raw:
    literal = name.lower()
    if literal in OF_NGINX:
        detail = "the request holds a header that only another kind of ingress sets"
        raise Denied("trust_header_conflict", detail=detail, facts={"header": literal.decode("ascii")})
    if literal == LEAF:
        return ingress.LEAF.encode(), _escaped_pem(value)
    return RENAMED.get(literal, name), value


def _escaped_pem(value: bytes) -> bytes:
    if not ONE_CERTIFICATE.fullmatch(value):
        raise Denied("malformed_request", "leaf", "the ingress gave no certificate, or more than one")
    return quote(PEM.format(value.decode("ascii"))).encode()
