"""Signatures and digests: the vectors of RFC 9421 and RFC 9530, another implementation, and whoever tampers."""

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.denial import Denied
from isthmus.protocol.message_key import MessageKey, is_signed, key_id
from isthmus.protocol.signatures import (
    COVERED,
    MOST_SKEW,
    Fields,
    Message,
    check_digest,
    content_digest,
    sign,
    signature_base,
    verify,
)
from tests.builders import NOON

KEY, OTHER = MessageKey.generate(), MessageKey.generate()
KEYS = {KEY.id: KEY.public}
NONCE = "n0nce-n0nce_n0nce"
MESSAGE = Message("POST", "/federation/handshake/confirm", "a.example", "0", "0a4b8f9e", b'{"short_code": "x"}')
SIGNED = Fields.of(sign(MESSAGE, KEY, now=NOON, nonce=NONCE))

# RFC 9421, B.1.4 and B.2.6.
RFC_SECRET = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")
RFC_PUBLIC = base64.urlsafe_b64decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs=")
RFC_SIGNATURE = base64.b64decode(
    "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
)
RFC_COMPONENTS = [
    ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("@method", "POST"),
    ("@path", "/foo"),
    ("@authority", "example.com"),
    ("content-type", "application/json"),
    ("content-length", "18"),
]
RFC_PARAMETERS = (
    '("date" "@method" "@path" "@authority" "content-type" "content-length")'
    ';created=1618884473;keyid="test-key-ed25519"'
)


def denial(message: Message = MESSAGE, fields: Fields = SIGNED, now: datetime = NOON, keys: Any = None) -> str | None:
    try:
        verify(message, fields, KEYS if keys is None else keys, now=now)
    except Denied as denied:
        return denied.code
    return None


def test_the_vector_of_the_rfc_is_reproduced() -> None:
    key = MessageKey(Ed25519PrivateKey.from_private_bytes(RFC_SECRET))
    base = signature_base(RFC_COMPONENTS, RFC_PARAMETERS)
    assert key.public == RFC_PUBLIC
    assert key.sign(base) == RFC_SIGNATURE
    assert is_signed(RFC_SIGNATURE, base, RFC_PUBLIC)
    assert not is_signed(RFC_SIGNATURE, base + b" ", RFC_PUBLIC)


def test_the_thumbprint_of_rfc_8037_is_reproduced() -> None:
    public = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert key_id(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_digests_of_rfc_9530_are_reproduced() -> None:
    assert content_digest(b'{"hello": "world"}\n') == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    assert content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"


def test_a_signed_message_verifies_and_tells_who_signed() -> None:
    found = verify(MESSAGE, SIGNED, KEYS, now=NOON)
    assert (found.key_id, found.nonce, found.created) == (KEY.id, NONCE, NOON)
    assert found.expires_at == NOON + MOST_SKEW


@dataclass
class Request:
    """A request as the other implementation wants it."""

    method: str
    url: str
    headers: dict[str, str]


def test_another_implementation_accepts_what_is_signed_here() -> None:
    now = datetime.now(UTC)

    class Keys(HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
            assert key_id == KEY.id
            return KEY.private.public_key()

    headers = sign(MESSAGE, KEY, now=now, nonce=NONCE) | {
        "Isthmus-Origin-Domain": MESSAGE.origin,
        "Isthmus-Api-Version": MESSAGE.api_version,
        "Idempotency-Key": MESSAGE.idempotency_key,
    }
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
    request = Request("POST", "https://infra.b.example" + MESSAGE.path, headers)
    results = verifier.verify(request, max_age=timedelta(days=1))
    assert [result.label for result in results] == ["isthmus"]
    assert [name.strip('"') for name in results[0].covered_components if "signature-params" not in name] == [*COVERED]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/federation/handshake/notice"},
        {"path": "/federation/handshake/confirm/"},
        {"origin": "c.example"},
        {"api_version": "1"},
        {"idempotency_key": "other"},
    ],
)
def test_every_covered_value_is_bound(change: dict[str, Any]) -> None:
    assert denial(replace(MESSAGE, **change)) == "signature_invalid"
    assert denial() is None


def test_another_body_is_a_digest_mismatch_and_a_digest_to_match_is_not_signed() -> None:
    other = replace(MESSAGE, body=b"{}")
    assert denial(other) == "digest_mismatch"
    assert denial(other, replace(SIGNED, content_digest=content_digest(b"{}"))) == "signature_invalid"


@pytest.mark.parametrize("missing", ["signature_input", "signature", "content_digest"])
def test_without_one_of_its_headers_there_is_no_signature(missing: str) -> None:
    assert denial(fields=replace(SIGNED, **{missing: None})) == "signature_required"
    assert denial(fields=replace(SIGNED, **{missing: ""})) == "signature_required"


@pytest.mark.parametrize("seconds", [-61, 61, 3600, -(10**6)])
def test_a_time_too_far_off_is_a_clock_skew(seconds: int) -> None:
    with pytest.raises(Denied) as denied:
        verify(MESSAGE, SIGNED, KEYS, now=NOON + timedelta(seconds=seconds))
    assert denied.value.code == "clock_skew"
    assert denied.value.members["server_time"] == (NOON + timedelta(seconds=seconds)).isoformat()


@pytest.mark.parametrize("seconds", [-60, -1, 0, 1, 60])
def test_a_minute_of_skew_is_borne(seconds: int) -> None:
    assert denial(now=NOON + timedelta(seconds=seconds)) is None


def test_the_key_must_be_one_of_the_origin() -> None:
    assert denial(keys={}) == "signature_invalid"
    assert denial(keys={OTHER.id: OTHER.public}) == "signature_invalid"
    assert denial(keys={KEY.id: OTHER.public}) == "signature_invalid"
    assert denial(keys={KEY.id: b"short"}) == "signature_invalid"
    assert denial(keys={OTHER.id: OTHER.public, **KEYS}) is None


TEXT = SIGNED.signature_input or ""


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("isthmus=", "sig1="),
        TEXT + ", sig1=()",
        "sig1=(), " + TEXT,
        TEXT.replace('"@method" "@path"', '"@path" "@method"'),
        TEXT.replace(' "content-digest"', ""),
        TEXT.replace('"@path"', '"@path";req'),
        TEXT.replace("(", "( "),
        TEXT.replace(";created", "; created"),
        TEXT.replace('alg="ed25519"', 'alg="hmac-sha256"'),
        TEXT + ';alg="ed25519"',
        TEXT + ';tag="x"',
        TEXT + ";expires=1",
        TEXT.replace(";created=", ";created=-"),
        TEXT.replace(";created=", ";created=1."),
        TEXT.replace(f';nonce="{NONCE}"', ""),
        TEXT.replace(NONCE, "short"),
        TEXT.replace(NONCE, "é" * 20),
        TEXT.replace(f'keyid="{KEY.id}"', "keyid=12"),
        TEXT + "\n",
        TEXT + " " * 2000,
        "isthmus",
    ],
)
def test_an_input_in_any_other_form_is_invalid(text: str) -> None:
    assert denial(fields=replace(SIGNED, signature_input=text)) == "signature_invalid"


def test_the_algorithm_may_be_left_to_the_key_and_parameters_may_change_places() -> None:
    parameters = TEXT.removeprefix("isthmus=")
    components = parameters[: parameters.index(")") + 1]
    created = int(NOON.timestamp())
    for text in (
        f'{components};created={created};keyid="{KEY.id}";nonce="{NONCE}"',
        f'{components};nonce="{NONCE}";alg="ed25519";keyid="{KEY.id}";created={created}',
    ):
        values = [MESSAGE.method, MESSAGE.path, content_digest(MESSAGE.body), MESSAGE.origin]
        values += [MESSAGE.api_version, MESSAGE.idempotency_key]
        signature = KEY.sign(signature_base(list(zip(COVERED, values, strict=True)), text))
        fields = replace(
            SIGNED,
            signature_input=f"isthmus={text}",
            signature=f"isthmus=:{base64.b64encode(signature).decode()}:",
        )
        assert denial(fields=fields) is None


@given(st.text(max_size=300))
def test_hostile_text_in_any_header_is_refused_and_breaks_nothing(text: str) -> None:
    codes = {"signature_required", "signature_invalid"}
    assert denial(fields=replace(SIGNED, signature_input=text)) in codes
    assert denial(fields=replace(SIGNED, signature=text)) in codes
    assert denial(fields=replace(SIGNED, content_digest=text)) in codes
    assert denial(replace(MESSAGE, idempotency_key=text)) == "signature_invalid"
    assert denial(replace(MESSAGE, path=text)) == "signature_invalid"


@given(st.text(max_size=60))
def test_hostile_text_is_no_digest(text: str) -> None:
    with pytest.raises(Denied, match="Content-Digest"):
        check_digest(text, b"body")


def test_a_line_break_in_a_value_cannot_stand_for_another_component() -> None:
    with pytest.raises(ValueError, match="cannot be signed"):
        sign(replace(MESSAGE, idempotency_key='k\n"x": y'), KEY, now=NOON, nonce=NONCE)


@pytest.mark.parametrize("nonce", ["short", "x" * 129, 'quote"quote"quote', "space space space", ""])
def test_a_nonce_has_one_form(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        sign(MESSAGE, KEY, now=NOON, nonce=nonce)


def test_a_key_comes_back_from_its_file_and_shows_nothing() -> None:
    assert MessageKey.from_pem(KEY.pem()).id == KEY.id
    assert repr(KEY) == f"MessageKey({KEY.id})"
    for bad in (b"", b"rubbish", KEY.pem()[:60]):
        with pytest.raises(ValueError, match="private key"):
            MessageKey.from_pem(bad)
