"""Bundles: what is sealed is read back, and what may not follow is refused."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from isthmus.domain.federation.bundle import (
    MOST_AUTHORITIES,
    Bundle,
    BundleRefused,
    Known,
    check_successor,
    same_code,
    short_code,
    usable_from,
)
from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.protocol.bundle import TYPE, decode, encode, open_first, open_next, seal
from isthmus.protocol.message_key import MessageKey
from isthmus.protocol.sealing import ALGORITHM, LONGEST
from isthmus.x509.authority import make_authority
from tests.builders import NOON
from tests.x509.forge import a_leaf, an_authority

DOMAIN, INFRA = BackendDomain("a.example"), InfraDomain("infra.a.example")
CA, NEXT_CA = make_authority(DOMAIN, NOON), make_authority(DOMAIN, NOON)
KEY, NEXT_KEY, STRANGER = MessageKey.generate(), MessageKey.generate(), MessageKey.generate()
BUNDLE = Bundle(DOMAIN, 3, (INFRA,), CA.certificates, {KEY.id: KEY.public}, (0,))
LATER = replace(BUNDLE, sequence=4, message_keys={KEY.id: KEY.public, NEXT_KEY.id: NEXT_KEY.public})


def rule_against(text: str, known: Known | None = None) -> str | None:
    try:
        if known is None:
            open_first(text)
        else:
            open_next(text, known)
    except BundleRefused as refused:
        return refused.rule
    return None


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    keys = draw(st.lists(st.sampled_from([KEY, NEXT_KEY, STRANGER]), unique=True))
    return Bundle(
        domain=BackendDomain(draw(st.sampled_from(["a.example", "xn--bcher-kva.example", "b.c.example"]))),
        sequence=draw(st.integers(1, 2**53 - 1)),
        infra_domains=tuple(InfraDomain(f"i{n}.a.example") for n in range(draw(st.integers(1, 16)))),
        authorities=tuple(draw(st.lists(st.sampled_from([*CA.certificates, *NEXT_CA.certificates]), unique=True))),
        message_keys={key.id: key.public for key in keys},
        versions=tuple(draw(st.lists(st.integers(0, 2**31), max_size=64))),
        refresh_hint=timedelta(seconds=draw(st.integers(1, 7 * 86_400))),
        revoked=tuple(draw(st.lists(st.integers(0, 2**160 - 1), max_size=4))),
    )


@given(bundles())
def test_a_bundle_comes_back_as_it_was_encoded(bundle: Bundle) -> None:
    found = decode(encode(bundle))
    assert found == bundle
    assert found.digest == bundle.digest


def test_a_bundle_is_a_spiffe_bundle_with_more_beside_it() -> None:
    document = json.loads(encode(BUNDLE))
    authority, message = document["keys"]
    assert (authority["use"], authority["kty"], authority["crv"]) == ("x509-svid", "EC", "P-256")
    assert base64.b64decode(authority["x5c"][0]) == CA.certificates[0]
    assert "kid" not in authority
    assert (message["use"], message["kty"], message["crv"]) == ("isthmus-message", "OKP", "Ed25519")
    assert message["kid"] == KEY.id
    assert (document["spiffe_sequence"], document["spiffe_refresh_hint"]) == (3, 300)
    assert (document["domain"], document["infra_domains"]) == ("a.example", ["infra.a.example"])


def test_the_first_bundle_proves_the_key_that_it_names() -> None:
    assert open_first(seal(BUNDLE, KEY)) == BUNDLE
    assert rule_against(seal(BUNDLE, STRANGER)) == "signature"


def test_the_next_bundle_is_signed_by_a_key_of_the_one_before() -> None:
    assert open_next(seal(LATER, KEY), BUNDLE.known()) == (LATER, True)
    assert rule_against(seal(LATER, NEXT_KEY), BUNDLE.known()) == "signature"
    # The new key may sign once the bundle that brought it is known.
    last = replace(LATER, sequence=5, message_keys={NEXT_KEY.id: NEXT_KEY.public})
    assert open_next(seal(last, NEXT_KEY), LATER.known()) == (last, True)
    assert rule_against(seal(replace(last, sequence=6), KEY), last.known()) == "signature"


def test_the_sequence_never_decreases() -> None:
    assert rule_against(seal(BUNDLE, KEY), LATER.known()) == "sequence"
    assert open_next(seal(BUNDLE, KEY), BUNDLE.known()) == (BUNDLE, False)


def test_two_bundles_of_one_number_are_a_conflict() -> None:
    other = replace(BUNDLE, authorities=NEXT_CA.certificates)
    assert rule_against(seal(other, KEY), BUNDLE.known()) == "conflict"
    assert open_next(seal(other, KEY), replace(BUNDLE.known(), digest=None)) == (other, False)


def test_a_bundle_speaks_for_its_own_domain_alone() -> None:
    foreign = replace(LATER, domain=BackendDomain("c.example"))
    assert rule_against(seal(foreign, KEY), BUNDLE.known()) == "domain"


def test_an_empty_bundle_revokes_everything() -> None:
    empty = replace(BUNDLE, sequence=9, authorities=())
    found, is_news = open_next(seal(empty, KEY), BUNDLE.known())
    assert is_news
    assert found.revokes_everything
    assert not BUNDLE.revokes_everything


@given(bundles(), bundles())
def test_a_digest_stands_for_what_is_said(one: Bundle, other: Bundle) -> None:
    same = replace(one, refresh_hint=other.refresh_hint) == other
    assert (one.digest == other.digest) == same


def test_names_that_run_together_do_not_make_one_digest() -> None:
    one = replace(BUNDLE, infra_domains=(InfraDomain("a.bc"), InfraDomain("d.e")))
    two = replace(BUNDLE, infra_domains=(InfraDomain("a.b"), InfraDomain("cd.e")))
    assert one.digest != two.digest


@given(st.integers(0, 10), st.integers(0, 10))
def test_only_what_is_later_is_news(known: int, number: int) -> None:
    bundle = replace(BUNDLE, sequence=number + 1)
    before = replace(BUNDLE, sequence=known + 1).known()
    if number < known:
        with pytest.raises(BundleRefused, match="sequence"):
            check_successor(bundle, before)
    else:
        assert check_successor(bundle, before) is (number > known)


def test_a_new_key_is_used_after_three_hints() -> None:
    assert usable_from(NOON) == NOON + timedelta(minutes=15)


def test_both_sides_see_one_short_code() -> None:
    other = replace(BUNDLE, domain=BackendDomain("b.example"))
    code = short_code(BUNDLE, other)
    assert code == short_code(other, BUNDLE)
    assert len(code) == 14
    assert set(code.replace("-", "")) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    assert code != short_code(BUNDLE, replace(other, authorities=NEXT_CA.certificates))
    assert same_code(code, code.lower().replace("-", " ").replace("1", "l").replace("0", "o"))
    assert not same_code(code, code[:-1])
    assert not same_code("", "")


def signed(payload: bytes, header: dict[str, Any] | None = None, key: MessageKey = KEY) -> str:
    protected = header or {"alg": ALGORITHM, "typ": TYPE, "kid": key.id}
    return jws.serialize_compact(protected, payload, OKPKey.import_key(key.private), algorithms=["Ed25519"])


def changed(**members: Any) -> bytes:
    return json.dumps(json.loads(encode(BUNDLE)) | members).encode()


def with_key(number: int, **members: Any) -> bytes:
    document = json.loads(encode(BUNDLE))
    document["keys"][number] |= members
    return json.dumps(document).encode()


LEAF = base64.b64encode(a_leaf(an_authority()).der).decode()


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"", "unreadable"),
        (b"[]", "unreadable"),
        (b"[" * 50_000, "unreadable"),
        (changed(domain="A.example"), "unreadable"),
        (changed(domain="a.example."), "unreadable"),
        (changed(infra_domains=["*.a.example"]), "unreadable"),
        (changed(infra_domains=[]), "limits"),
        (changed(infra_domains=[f"i{n}.a.example" for n in range(17)]), "limits"),
        (changed(spiffe_sequence=0), "limits"),
        (changed(spiffe_sequence=-1), "limits"),
        (changed(spiffe_sequence=2**53), "limits"),
        (changed(spiffe_sequence=10**40), "limits"),
        (changed(spiffe_sequence="3"), "unreadable"),
        (changed(spiffe_sequence=3.5), "unreadable"),
        (changed(spiffe_refresh_hint=0), "limits"),
        (changed(spiffe_refresh_hint=10**12), "limits"),
        (changed(spiffe_refresh_hint=10**18), "unreadable"),
        (changed(versions=["0"]), "unreadable"),
        (changed(revoked_serials=["1"] * 257), "limits"),
        (changed(revoked_serials=["-1"]), "unreadable"),
        (changed(revoked_serials=["1\n"]), "unreadable"),
        (changed(revoked_serials=["f" * 41]), "unreadable"),
        (with_key(0, x5c=[]), "unreadable"),
        (with_key(0, x5c=["%%%"]), "unreadable"),
        (with_key(0, x5c=["AAAA"]), "unreadable"),
        (with_key(0, x5c=[LEAF]), "unreadable"),
        (with_key(1, kid="other"), "unreadable"),
        (with_key(1, x="AAAA"), "unreadable"),
        (with_key(1, crv="X25519"), "unreadable"),
    ],
)
def test_a_bundle_that_says_the_impossible_is_refused(payload: bytes, rule: str) -> None:
    assert rule_against(signed(payload)) == rule
    assert rule_against(signed(payload), replace(BUNDLE, sequence=1).known()) == rule


def test_a_key_for_another_use_is_passed_over() -> None:
    document = json.loads(encode(BUNDLE))
    document["keys"].append({"kty": "EC", "use": "jwt-svid", "crv": "P-256", "x": "x", "y": "y", "kid": "k"})
    assert open_first(signed(json.dumps(document).encode())) == BUNDLE


@pytest.mark.parametrize(
    "header",
    [
        {"alg": ALGORITHM, "typ": "JWT", "kid": KEY.id},
        {"alg": ALGORITHM, "kid": KEY.id},
        {"alg": ALGORITHM, "typ": TYPE},
        {"alg": ALGORITHM, "typ": TYPE, "kid": KEY.id, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"alg": ALGORITHM, "typ": TYPE, "kid": STRANGER.id},
    ],
)
def test_a_header_says_what_ours_say_and_no_more(header: dict[str, Any]) -> None:
    assert rule_against(signed(encode(BUNDLE), header)) == "signature"


def test_a_public_key_is_no_secret_of_a_hash_and_no_signature_is_none() -> None:
    for algorithm in ("HS256", "none"):
        protected = {"alg": algorithm, "typ": TYPE, "kid": KEY.id}
        text = base64.urlsafe_b64encode(json.dumps(protected).encode()).rstrip(b"=").decode()
        forged = f"{text}.{base64.urlsafe_b64encode(encode(BUNDLE)).rstrip(b'=').decode()}.{'A' * 86}"
        assert rule_against(forged) == "signature"
    hashed = jws.serialize_compact(
        {"alg": "HS256", "typ": TYPE, "kid": KEY.id}, encode(BUNDLE), OctKey.import_key(KEY.public)
    )
    assert rule_against(hashed) == "unreadable"


def test_a_changed_payload_or_signature_is_refused() -> None:
    head, payload, signature = seal(BUNDLE, KEY).split(".")
    other = base64.urlsafe_b64encode(encode(LATER)).rstrip(b"=").decode()
    assert rule_against(f"{head}.{other}.{signature}") == "signature"
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert rule_against(f"{head}.{payload}.{flipped}") == "signature"
    assert rule_against(f"{head}.{payload}.{signature}", BUNDLE.known()) is None


@given(st.one_of(st.text(max_size=400), st.from_regex(r"[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{86}")))
def test_hostile_text_is_refused_and_breaks_nothing(text: str) -> None:
    assert rule_against(text) in {"unreadable", "signature"}
    assert rule_against(text, BUNDLE.known()) in {"unreadable", "signature"}


def test_what_is_too_much_is_neither_sent_nor_taken() -> None:
    many = tuple(CA.certificates[0] for _ in range(MOST_AUTHORITIES + 1))
    with pytest.raises(BundleRefused, match="authorities"):
        seal(replace(BUNDLE, authorities=many), KEY)
    assert rule_against(seal(BUNDLE, KEY) + "A" * LONGEST) == "unreadable"
