"""Keys: one spelling each, and secrets that stay where they are."""

import base64
import copy
import dataclasses
import json
import logging
import pickle
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given

from isthmus.wireguard.conf import Conf, InterfaceSection
from isthmus.wireguard.keys import InvalidKey, PresharedKey, PrivateKey, PublicKey
from tests.wireguard.strategies import preshared_keys, private_keys, public_keys, secret_bytes

SECRET = PrivateKey(bytes(range(1, 33)))
SECRETS = [SECRET, PresharedKey(bytes(range(1, 33)))]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

PRINTERS: list[Callable[[Any], str]] = [
    str,
    repr,
    ascii,
    "{}".format,
    "{0!r:>9}".format,
    lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - the old way is what is tried
    lambda secret: repr(Conf(InterfaceSection(secret))),
    lambda secret: logging.LogRecord("", 0, "", 0, "%s", (secret,), None).getMessage(),
]

SERIALISERS: list[Callable[[Any], object]] = [
    pickle.dumps,
    json.dumps,
    msgspec.json.encode,
    msgspec.msgpack.encode,
    copy.deepcopy,
    bytes,
    lambda secret: dataclasses.asdict(InterfaceSection(secret)),
]


@given(public_keys)
def test_a_public_key_survives_its_text_in_both_spellings(key: PublicKey) -> None:
    assert PublicKey.parse(str(key)) == key == PublicKey.from_hex(key.hex())


@given(private_keys, preshared_keys)
def test_a_secret_key_survives_its_text_in_both_spellings(private: PrivateKey, preshared: PresharedKey) -> None:
    assert PrivateKey.parse(private.reveal()) == private == PrivateKey.from_hex(private.reveal_hex())
    assert PresharedKey.parse(preshared.reveal()) == preshared == PresharedKey.from_hex(preshared.reveal_hex())


def test_generated_keys_differ_and_are_clamped_as_wg_genkey_clamps() -> None:
    keys = [PrivateKey.generate() for _ in range(64)]
    assert len({key.public() for key in keys}) == 64
    for key in keys:
        raw = base64.b64decode(key.reveal())
        assert (raw[0] & 7, raw[31] & 192) == (0, 64)
    assert PresharedKey.generate() != PresharedKey.generate()


def test_the_real_wg_computes_the_same_public_key() -> None:
    for key in (SECRET, PrivateKey.generate()):
        answer = subprocess.run(
            ["wg", "pubkey"], input=key.reveal(), capture_output=True, text=True, check=True, timeout=10
        )
        assert answer.stdout.strip() == str(key.public())


@given(secret_bytes)
def test_an_unclamped_private_key_equals_the_key_that_wireguard_makes_of_it(raw: bytes) -> None:
    key = PrivateKey(raw)
    assert PrivateKey.parse(key.reveal()) == key
    assert key.public().raw == X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()


@given(public_keys)
def test_only_one_spelling_of_a_key_is_taken(key: PublicKey) -> None:
    """The last letter carries four bits in six, so four letters decode to the same bytes."""
    text = str(key)
    spellings = [text[:42] + letter + "=" for letter in ALPHABET]
    same = [spelling for spelling in spellings if base64.b64decode(spelling) == key.raw]
    assert len(same) == 4
    for spelling in set(same) - {text}:
        with pytest.raises(InvalidKey):
            PublicKey.parse(spelling)


@pytest.mark.parametrize("kind", [PublicKey, PrivateKey, PresharedKey])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 43 + "B",
        "A" * 43,
        "B" * 44,
        "B" * 42 + "==",
        " " + "B" * 42 + "=",
        "B" * 43 + "=\n",
        "\n" + "B" * 42 + "=",
        "B" * 20 + "\n" + "B" * 22 + "=",
        "B" * 42 + "F=",
        "_" * 43 + "=",
        "é" * 43 + "=",
        "A" * 43 + "=",
        "=" * 44,
    ],
)
def test_text_that_is_no_key_is_refused_without_repeating_it(
    kind: type[PublicKey | PrivateKey | PresharedKey], text: str
) -> None:
    with pytest.raises(InvalidKey) as refused:
        kind.parse(text)
    assert not text or text not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("kind", [PublicKey, PrivateKey, PresharedKey])
@pytest.mark.parametrize("text", ["", "00" * 32, "ab" * 31, "ab" * 33, "zz" * 32, "é" * 64, "0x" + "ab" * 31])
def test_hexadecimal_text_that_is_no_key_is_refused(
    kind: type[PublicKey | PrivateKey | PresharedKey], text: str
) -> None:
    with pytest.raises(InvalidKey):
        kind.from_hex(text)


@pytest.mark.parametrize("kind", [PublicKey, PrivateKey, PresharedKey])
def test_bytes_of_another_length_are_refused(kind: type[PublicKey | PrivateKey | PresharedKey]) -> None:
    for size in (0, 31, 33):
        with pytest.raises(InvalidKey):
            kind(b"\x07" * size)


PRIME = 2**255 - 19
ORDER_EIGHT = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
LOW_ORDER = [n.to_bytes(32, "little").hex() for n in (0, 1, PRIME - 1, PRIME, PRIME + 1)] + list(ORDER_EIGHT)


@pytest.mark.parametrize("point", LOW_ORDER)
@pytest.mark.parametrize("top_bit", [0, 128])
def test_points_with_which_no_handshake_completes_are_no_public_keys(point: str, top_bit: int) -> None:
    raw = bytearray.fromhex(point)
    raw[31] |= top_bit
    with pytest.raises(ValueError, match="computing shared key"):
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(bytes(raw)))
    with pytest.raises(InvalidKey, match="small order"):
        PublicKey(bytes(raw))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("show", PRINTERS)
def test_a_secret_prints_as_stars_however_it_is_printed(
    secret: PrivateKey | PresharedKey, show: Callable[[Any], str]
) -> None:
    shown = show(secret)
    assert "***" in shown
    for form in (secret.reveal(), secret.reveal_hex(), repr(base64.b64decode(secret.reveal()))):
        assert form not in shown


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("serialise", SERIALISERS)
def test_a_secret_is_not_serialised_by_accident(
    secret: PrivateKey | PresharedKey, serialise: Callable[[Any], object]
) -> None:
    with pytest.raises(TypeError):
        serialise(secret)


def test_secrets_are_equal_by_content_and_kind_and_have_no_hash() -> None:
    assert SECRETS[0] == PrivateKey(bytes(range(1, 33)))
    assert SECRETS[0] != PrivateKey(bytes(range(2, 34)))
    assert PresharedKey(b"\x40" * 32) != PrivateKey(b"\x40" * 32)
    assert SECRETS[0] != SECRETS[0].reveal()
    with pytest.raises(TypeError):
        hash(SECRET)
