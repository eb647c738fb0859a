"""The signed context: what the Federator has proven of a caller, for one component, for one request, for ten seconds.

A compact JWS (RFC 7515) in the header `Isthmus-Context`. On one host it is an HMAC (HS256) under a key that the
Federator shares with the one component; a component takes each `jti` once.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import Literal

import msgspec
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
    signed = _head(context.aud) + b"." + _base64(msgspec.json.encode(context))
    return (signed + b"." + _base64(hmac.digest(key, signed, "sha256"))).decode("ascii")


def unseal(text: str, key: bytes, audience: str) -> Context:
    """The context that `text` carries for `audience`. Its times, and whether it was used before, are the caller's to
    check. Raises `ContextInvalid`."""
    try:
        head, payload, signature = text.encode("ascii").split(b".")
    except ValueError:
        raise ContextInvalid("it is no compact JWS") from None
    # The one header that `seal` writes, byte for byte: no algorithm, type or audience is ever chosen by the text.
    if head != _head(audience):
        raise ContextInvalid("it is for another component, or of another kind")
    if not hmac.compare_digest(_base64(hmac.digest(key, head + b"." + payload, "sha256")), signature):
        raise ContextInvalid("the signature is not that of the Federator")
    try:
        context = msgspec.json.decode(urlsafe_b64decode(payload + b"=="), type=Context)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ContextInvalid(str(error)) from None
    if context.aud != audience:
        raise ContextInvalid("it is for another component")
    return context


@lru_cache(maxsize=64)
def _head(audience: str) -> bytes:
    return _base64(msgspec.json.encode({"alg": ALGORITHM, "typ": TYPE, "kid": audience}))


def _base64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
