"""What a token of an identity provider says, and whether it is one: signature, algorithm, issuer, audience, times."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from isthmus.domain.errors import Unauthenticated
from isthmus.protocol import plain_json

Key = RSAKey | ECKey | OKPKey

LONGEST = 16 * 1024
MOST_KEYS = 64
LEEWAY = 30  # seconds that its clock and ours may differ
# Signatures by a private key that the provider alone has: no `none`, and none by a secret that is shared.
ALGORITHMS = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
]  # fmt: skip
KINDS = frozenset({"RSA", "EC", "OKP"})
# What else providers sign with the same keys, such as `logout+jwt`, proves nobody's presence.
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
COMPACT = re.compile(r"[A-Za-z0-9_-]{4,2048}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
LONGEST_SUBJECT = 255
# What is not known in a header is passed over; what has a meaning that matters was refused before.
REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
REGISTRY.max_header_length = REGISTRY.max_payload_length = REGISTRY.max_signature_length = LONGEST


@dataclass(frozen=True, slots=True)
class Claimed:
    """A token that was read, and of which nothing is proven yet."""

    text: str
    key_id: str | None
    algorithm: str
    claims: Mapping[str, Any]


def looks_like_one(text: str) -> bool:
    return len(text) <= LONGEST and text.count(".") == 2 and text.startswith("eyJ")


def read(text: str) -> Claimed:
    """Raises `Unauthenticated` for what is no token of these algorithms."""
    if len(text) > LONGEST or not COMPACT.fullmatch(text):
        raise Unauthenticated("the token is no compact JWS")
    try:
        header_part, payload_part, _ = text.split(".")
        header, claims = _object_in(header_part), _object_in(payload_part)
    except (plain_json.NotPlain, ValueError):
        raise Unauthenticated("the token cannot be read") from None
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise Unauthenticated("the token is not signed by an algorithm that is taken here")
    # `crit` and keys that a token brings along would be ways to talk the reader into something.
    if header.keys() & {"crit", "b64", "jwk", "jku", "x5u"}:
        raise Unauthenticated("the token's header asks for something that is not done here")
    if not isinstance(kind, str) or kind.lower() not in TYPES or not isinstance(key_id, str | None):
        raise Unauthenticated("the token is of another type")
    return Claimed(text, key_id, algorithm, claims)


def _object_in(part: str) -> dict[str, Any]:
    raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    plain_json.check(raw)
    found = msgspec.json.decode(raw)
    if not isinstance(found, dict):
        raise ValueError(part)
    return found


def check_claims(claimed: Claimed, issuer: str, audience: str, now: float) -> None:
    """Raises `Unauthenticated` unless the claims are of this issuer, for this audience, about somebody, and now."""
    claims = claimed.claims
    if claims.get("iss") != issuer:
        raise Unauthenticated("the token is of another issuer")
    if audience not in audiences_of(claims):
        raise Unauthenticated("the token is for another audience")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise Unauthenticated("the token says of nobody who it is")
    expires, begins, issued = (_time_of(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None or now >= expires + LEEWAY:
        raise Unauthenticated("the token has expired")
    if any(moment is not None and moment > now + LEEWAY for moment in (begins, issued)):
        raise Unauthenticated("the token is not valid yet")


def audiences_of(claims: Mapping[str, Any]) -> Collection[Any]:
    found = claims.get("aud")
    return found if isinstance(found, list) else [found]


def _time_of(claims: Mapping[str, Any], name: str) -> float | None:
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise Unauthenticated(f"the token's {name} is no time")
    return float(found)


def check_signature(claimed: Claimed, key: Key) -> None:
    """Raises `Unauthenticated` unless `key` has signed it."""
    try:
        if key.alg not in {None, claimed.algorithm}:
            raise ValueError(key.alg)
        jws.deserialize_compact(claimed.text, key, algorithms=[claimed.algorithm], registry=REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise Unauthenticated("the token is not signed by the key that it names") from None


def keys_in(document: Mapping[str, Any]) -> dict[str | None, Key]:
    """The keys of a JWKS that may have signed tokens, by their ids. What else is in it is passed over."""
    listed = document.get("keys")
    found: dict[str | None, Key] = {}
    for each in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("kty") not in KINDS or each.get("use", "sig") != "sig":
            continue
        try:
            key = import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, Key) and isinstance(each.get("kid"), str | None):
            found[each.get("kid")] = key
    return found
