"""The signed context: what the Federator has proven of a caller, for one component, for one request, for ten seconds.

A compact JWS (RFC 7515) in the header `Isthmus-Context`. On one host it is an HMAC (HS256) under a key that the
Federator shares with the one component; a component takes each `jti` once.
"""

from functools import lru_cache
from typing import Literal

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from msgspec import Struct

HEADER = "Isthmus-Context"
LIFE = 10.0
ALGORITHM = "HS256"
TYPE = "isthmus-context+jwt"


class Context(Struct, frozen=True):
    """`aud` is the component, `body` the SHA-256 of the body in hex, `leaf` that of the leaf in DER. `remote` is empty
    for the holder of an invitation, whose id then stands in `invitation`. Times are those of `steady.since_start`,
    which is the same for both processes however the clock of the machine is set.

    `request_id` is ours; `caller_request_id` is what the caller gave as its own, escaped: it proves nothing and links
    the logs of both sides."""

    aud: str
    method: str
    path: str
    body: str
    remote: str
    generation: int
    origin: str
    infra_domain: str
    instance: str
    leaf: str
    network: str
    source: str
    assurance: Literal["tcp", "cryptokey"]
    listener: str
    request_id: str
    api_version: int
    bundle_sequence: int
    snapshot: int
    iat: float
    exp: float
    jti: str
    invitation: str = ""
    state: str = ""
    key_id: str = ""
    trusted_headers: str = ""
    caller_request_id: str = ""


class ContextInvalid(Exception):
    """The text is no context, or its signature is not that of the Federator."""


def seal(context: Context, key: bytes) -> str:
    return jws.serialize_compact(_head(context.aud), msgspec.json.encode(context), _key(key), algorithms=[ALGORITHM])


def unseal(text: str, key: bytes, audience: str) -> Context:
    """The context that `text` carries for `audience`. Its times, and whether it was used before, are the caller's to
    check. Raises `ContextInvalid`."""
    try:
        found = jws.deserialize_compact(text, _key(key), algorithms=[ALGORITHM])
        context = msgspec.json.decode(found.payload, type=Context)
    except (JoseError, ValueError, msgspec.MsgspecError) as error:
        raise ContextInvalid(str(error)) from None
    if found.headers() != _head(audience) or context.aud != audience:
        raise ContextInvalid("it is for another component, or of another kind")
    return context


def _head(audience: str) -> dict[str, object]:
    return {"alg": ALGORITHM, "typ": TYPE, "kid": audience}


@lru_cache(maxsize=64)
def _key(raw: bytes) -> OctKey:
    """One for each component, and while keys are changed two."""
    return OctKey.import_key(raw)
