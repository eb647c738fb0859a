"""The head of an audit log as it travels: the last seal in one line of text, which its backend has signed."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import replace

from isthmus.domain.audit import EPOCH, MICROSECOND, Seal
from isthmus.protocol.message_key import MessageKey, encoded, is_signed, key_id

LONGEST_HEAD = 320
HASH = r"([\w-]{43})"
HEAD = re.compile(rf"1\.(\d{{1,15}})\.{HASH}\.(\d{{1,17}})\.(\d{{1,15}})\.{HASH}\.{HASH}\.([\w-]{{86}})", re.ASCII)


def signed(seal: Seal, domain: str, key: MessageKey) -> Seal:
    """The seal, made by `key` for the backend with this domain."""
    named = replace(seal, key_id=key.id)
    return replace(named, signature=key.sign(named.signed_bytes(domain)))


def head_text(seal: Seal) -> str:
    micros = (seal.at - EPOCH) // MICROSECOND
    before = f"{seal.previous}.{encoded(seal.previous_hash)}"
    return f"1.{seal.number}.{encoded(seal.hash)}.{micros}.{before}.{seal.key_id}.{encoded(seal.signature)}"


def head_of(text: str) -> Seal:
    """The seal, unproven. Raises `ValueError`."""
    found = HEAD.fullmatch(text)
    if found is None:
        raise ValueError("no head of an audit log")
    number, hash_, micros, previous, previous_hash, key, signature = found.groups()
    at = EPOCH + int(micros) * MICROSECOND
    return Seal(int(number), _decoded(hash_), at, key, int(previous), _decoded(previous_hash), _decoded(signature))


def is_sealed(seal: Seal, domain: str, keys: Mapping[str, bytes]) -> bool:
    """Whether one of the raw public `keys`, by their ids, has made this seal for the backend with this domain."""
    public = keys.get(seal.key_id)
    return (
        public is not None
        and key_id(public) == seal.key_id
        and is_signed(seal.signature, seal.signed_bytes(domain), public)
    )


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
