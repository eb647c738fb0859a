"""The head of an audit log as it travels: the last seal in one line of text, which its backend has signed."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from isthmus.domain.audit import EPOCH, MICROSECOND, Seal
from isthmus.protocol.message_key import MessageKey, encoded, is_signed, key_id

LONGEST_HEAD = 256
HEAD = re.compile(r"1\.(\d{1,15})\.(\d{1,17})\.([\w-]{43})\.([\w-]{43})\.([\w-]{86})", re.ASCII)


def made(number: int, hash_: bytes, at: datetime, domain: str, key: MessageKey) -> Seal:
    """A seal by `key`, of the backend with this domain."""
    seal = Seal(number, hash_, at, key.id)
    return replace(seal, signature=key.sign(seal.signed_bytes(domain)))


def head_text(seal: Seal) -> str:
    micros = (seal.at - EPOCH) // MICROSECOND
    return f"1.{seal.number}.{micros}.{encoded(seal.hash)}.{seal.key_id}.{encoded(seal.signature)}"


def head_of(text: str) -> Seal:
    """The seal, unproven. Raises `ValueError`."""
    found = HEAD.fullmatch(text)
    if found is None:
        raise ValueError("no head of an audit log")
    number, micros, hash_, key, signature = found.groups()
    return Seal(int(number), _decoded(hash_), EPOCH + int(micros) * MICROSECOND, key, _decoded(signature))


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
