"""Signatures of mutations (RFC 9421, Ed25519) and digests of their bodies (RFC 9530).

The profile is narrow on purpose: one signature labelled `isthmus` over `COVERED` in that order, with created, nonce and
keyid. Whatever else RFC 9421 allows is refused, so there is nothing to choose for whoever attacks it.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from isthmus.domain.federation.denial import Denied
from isthmus.protocol import federation
from isthmus.protocol.message_key import MessageKey, is_signed

LABEL = "isthmus"
COVERED = ("@method", "@path", "content-digest", "isthmus-origin-domain", "isthmus-api-version", "idempotency-key")
MOST_SKEW = timedelta(seconds=60)
LONGEST_FIELD = 1024

COMPONENTS = "(" + " ".join(f'"{name}"' for name in COVERED) + ")"
INPUT = re.compile(rf"{LABEL}=({re.escape(COMPONENTS)}((?:;[a-z]+=(?:[0-9]{{1,12}}|\"[A-Za-z0-9_-]{{1,128}}\"))+))")
PARAMETER = re.compile(r";([a-z]+)=([0-9]+|\"[^\"]*\")")
CREATED = re.compile(r"[0-9]{1,12}")
NONCE = re.compile(r"\"[A-Za-z0-9_-]{16,128}\"")
KEY_ID = re.compile(r"\"[A-Za-z0-9_-]{43}\"")
SIGNATURE = re.compile(rf"{LABEL}=:([A-Za-z0-9+/]{{86}}==):")
DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class Message:
    """What is signed of a request: raw path, header values as sent, body."""

    method: str
    path: str
    origin: str
    api_version: str
    idempotency_key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Fields:
    """The three headers that carry a signature; None where one is absent."""

    signature_input: str | None
    signature: str | None
    content_digest: str | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "Fields":
        """From headers by their names in `isthmus.protocol.federation`."""
        names = (federation.SIGNATURE_INPUT, federation.SIGNATURE, federation.CONTENT_DIGEST)
        return cls(*(headers.get(name) for name in names))


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed, when, and the nonce that must not come a second time until `expires_at`."""

    key_id: str
    nonce: str
    created: datetime

    @property
    def expires_at(self) -> datetime:
        return self.created + MOST_SKEW


def content_digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def check_digest(field: str, body: bytes) -> None:
    """Raise `Denied` (`digest_mismatch`) unless `field` is the one SHA-256 digest of `body`."""
    if not DIGEST.fullmatch(field) or field != content_digest(body):
        raise Denied("digest_mismatch", detail="Content-Digest is not sha-256 of the body that arrived")


def signature_base(components: Sequence[tuple[str, str]], parameters: str) -> bytes:
    """The signature base (RFC 9421, section 2.5) of named values and the inner list with its parameters."""
    lines = [f'"{name}": {value}' for name, value in components]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")


def sign(message: Message, key: MessageKey, *, now: datetime, nonce: str) -> dict[str, str]:
    """The headers that sign `message`. `nonce` is new: 16 to 128 letters, digits, `-` and `_`."""
    if not NONCE.fullmatch(f'"{nonce}"'):
        raise ValueError("a nonce of the wrong form")
    digest = content_digest(message.body)
    created = int(now.timestamp())
    parameters = f'{COMPONENTS};created={created};nonce="{nonce}";keyid="{key.id}";alg="ed25519"'
    signature = key.sign(signature_base(_components(message, digest), parameters))
    return {
        federation.CONTENT_DIGEST: digest,
        federation.SIGNATURE_INPUT: f"{LABEL}={parameters}",
        federation.SIGNATURE: f"{LABEL}=:{b64encode(signature).decode()}:",
    }


def verify(message: Message, fields: Fields, keys: Mapping[str, bytes], *, now: datetime) -> Verified:
    """Check signature, digest and time of `message` against the message keys of its origin.

    Raises `Denied`: `signature_required`, `signature_invalid`, `digest_mismatch` or `clock_skew`. Whether the nonce was
    seen before is the caller's to check.
    """
    if not fields.signature_input or not fields.signature or not fields.content_digest:
        raise Denied("signature_required", detail="mutations carry Signature-Input, Signature and Content-Digest")
    parameters, read = _parameters(fields.signature_input)
    found = SIGNATURE.fullmatch(fields.signature)
    if found is None:
        raise _invalid("malformed")
    public = keys.get(read["keyid"])
    if public is None:
        raise _invalid("key", keyid=read["keyid"])
    try:
        base = signature_base(_components(message, fields.content_digest), parameters)
        signature = b64decode(found[1], validate=True)
    except (ValueError, NotBase64):
        raise _invalid("malformed") from None
    if not is_signed(signature, base, public):
        raise _invalid("wrong", keyid=read["keyid"])
    check_digest(fields.content_digest, message.body)
    created = datetime.fromtimestamp(int(read["created"]), UTC)
    if abs(now - created) > MOST_SKEW:
        detail = f"it was signed at {created.isoformat()}, more than {MOST_SKEW.seconds} s from the time here"
        raise Denied("clock_skew", detail=detail, members={"server_time": now.isoformat(timespec="seconds")})
    return Verified(read["keyid"], read["nonce"], created)


def _components(message: Message, digest: str) -> list[tuple[str, str]]:
    values = (
        message.method, message.path, digest, message.origin, message.api_version, message.idempotency_key,
    )  # fmt: skip
    if not all(len(value) <= LONGEST_FIELD and PRINTABLE.fullmatch(value) for value in values):
        raise ValueError("a value that cannot be signed")
    return list(zip(COVERED, values, strict=True))


def _parameters(text: str) -> tuple[str, dict[str, str]]:
    """The inner list as it stands in `text`, and its parameters by name. Raises `Denied`."""
    found = INPUT.fullmatch(text) if len(text) <= LONGEST_FIELD else None
    if found is None:
        raise _invalid("malformed")
    pairs = PARAMETER.findall(found[2])
    read = dict(pairs)
    sound = (
        len(pairs) == len(read)
        and {"created", "nonce", "keyid"} <= read.keys() <= {"created", "nonce", "keyid", "alg"}
        and CREATED.fullmatch(read["created"])
        and NONCE.fullmatch(read["nonce"])
        and KEY_ID.fullmatch(read["keyid"])
        and read.get("alg", '"ed25519"') == '"ed25519"'
    )
    if not sound:
        raise _invalid("malformed")
    return found[1], {name: value.strip('"') for name, value in pairs}


def _invalid(why: str, **facts: str) -> Denied:
    return Denied("signature_invalid", f"signature.{why}", facts=facts)
