"""Compact JWS by Ed25519 message keys: what backends sign to be kept and shown again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from isthmus.protocol.message_key import MessageKey, encoded

LONGEST = 64 * 1024
# RFC 9864: the name `EdDSA` says too little and is deprecated.
ALGORITHM = "Ed25519"
COMPACT = re.compile(r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")


@dataclass(eq=False)
class SealBroken(Exception):
    """A text is not signed as it should be. `rule` is `unreadable` or `signature`."""

    rule: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def sealed(payload: bytes, kind: str, key: MessageKey) -> str:
    """`payload` of the type `kind`, signed by `key`."""
    protected = {"alg": ALGORITHM, "typ": kind, "kid": key.id}
    return jws.serialize_compact(protected, payload, OKPKey.import_key(key.private), algorithms=[ALGORITHM])


def claimed(text: str, kind: str) -> tuple[str, bytes]:
    """The id of the key that claims to have signed `text`, and the payload, unproven. Raises `SealBroken`."""
    if len(text) > LONGEST or not COMPACT.fullmatch(text):
        raise SealBroken("unreadable", "it is no compact JWS")
    try:
        found = jws.extract_compact(text.encode())
        header: dict[str, Any] = found.headers()
    except (JoseError, ValueError) as error:
        raise SealBroken("unreadable", str(error)[:200]) from None
    # Exactly these: `crit`, `jwk` or `x5u` would be ways to talk the reader into something.
    if header.keys() != {"alg", "typ", "kid"} or (header["alg"], header["typ"]) != (ALGORITHM, kind):
        raise SealBroken("signature", f"its header is not that of {kind}")
    signer = header["kid"]
    if not isinstance(signer, str):
        raise SealBroken("signature", f"its header is not that of {kind}")
    return signer, found.payload


def proven(text: str, kind: str, keys: Mapping[str, bytes]) -> bytes:
    """The payload, signed by one of the raw public `keys`, which are given by their ids. Raises `SealBroken`."""
    signer, _ = claimed(text, kind)
    public = keys.get(signer)
    if public is None:
        raise SealBroken("signature", "it is signed by a key that is not known")
    try:
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": encoded(public)})
        return jws.deserialize_compact(text, key, algorithms=[ALGORITHM]).payload
    except (JoseError, ValueError) as error:
        raise SealBroken("signature", str(error)[:200]) from None
