"""The profile of a leaf, rule by rule, and whom it names."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.certificate import (
    CLIENT_AUTH,
    LONGEST_LIFE,
    RULES,
    SERVER_AUTH,
    Identity,
    LeafFacts,
    check_profile,
    check_trust_domain,
    identity_of,
    read_uri,
)
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain
from tests.builders import NOON

NUMBER = UUID("0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b")
URI = f"spiffe://a.example/instance/{NUMBER}"
OTHER = "spiffe://a.example/instance/ffffffff-3c1d-4e5f-8a6b-7c8d9e0f1a2b"
GOOD = LeafFacts(
    fingerprint=b"f" * 32,
    serial=7,
    key=b"k" * 32,
    not_before=NOON - timedelta(minutes=5),
    not_after=NOON + timedelta(hours=24),
    is_ca=False,
    may_sign=False,
    digital_signature=True,
    usages=frozenset({CLIENT_AUTH}),
    dns_names=("infra.a.example",),
    uris=(URI,),
    key_kind="ec:secp256r1",
    signature_hash="sha256",
)

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("ca", {"is_ca": True}),
    ("ca", {"may_sign": True}),
    ("key", {"key_kind": "rsa:1024"}),
    ("key", {"key_kind": "rsa:2047"}),
    ("key", {"key_kind": "rsa:16384"}),
    ("key", {"key_kind": "ec:secp192r1"}),
    ("key", {"key_kind": "other"}),
    ("hash", {"signature_hash": "sha1"}),
    ("hash", {"signature_hash": "md5"}),
    ("hash", {"signature_hash": "other"}),
    ("lifetime", {"not_after": NOON + timedelta(days=400)}),
    ("lifetime", {"not_after": NOON - timedelta(minutes=5) + LONGEST_LIFE + timedelta(seconds=1)}),
    ("lifetime", {"not_after": NOON - timedelta(minutes=6)}),
    ("key_usage", {"digital_signature": False}),
    ("eku", {"usages": None}),
    ("eku", {"usages": frozenset()}),
    ("eku", {"usages": frozenset({SERVER_AUTH})}),
    ("eku", {"usages": frozenset({"2.5.29.37.0"})}),
    ("san_missing", {"dns_names": ()}),
    ("san_missing", {"dns_names": tuple(f"i{number}.a.example" for number in range(17))}),
    ("wildcard", {"dns_names": ("*.a.example",)}),
    ("wildcard", {"dns_names": ("infra.a.example", "*.a.example")}),
    ("dns_name", {"dns_names": ("Infra.a.example",)}),
    ("dns_name", {"dns_names": ("infra.a.example.",)}),
    ("dns_name", {"dns_names": ("192.0.2.1",)}),
    ("dns_name", {"dns_names": ("infra.a.example\x00.evil.example",)}),
    ("uri_count", {"uris": ()}),
    ("uri_count", {"uris": (URI, OTHER)}),
    ("uri_count", {"uris": (OTHER, URI)}),
    ("uri_count", {"uris": (URI, URI)}),
    ("uri_count", {"uris": (URI, "https://a.example/")}),
    ("uri", {"uris": ("https://a.example/",)}),
    ("dates", {"not_after": NOON - timedelta(seconds=1)}),
    ("dates", {"not_before": NOON + timedelta(seconds=1)}),
]


def rule_that_refuses(**fields: Any) -> str | None:
    try:
        check_profile(replace(GOOD, **fields), now=NOON)
    except Denied as denied:
        return denied.reason.removeprefix("profile.")
    return None


@pytest.mark.parametrize(("rule", "fields"), BROKEN)
def test_a_leaf_that_breaks_one_rule_is_refused_for_it(rule: str, fields: dict[str, Any]) -> None:
    assert rule_that_refuses(**fields) == rule


def test_the_caller_is_told_no_rule() -> None:
    with pytest.raises(Denied) as denied:
        check_profile(replace(GOOD, is_ca=True), now=NOON)
    assert (denied.value.code, denied.value.detail, denied.value.members) == ("federation_denied", "", {})


def test_every_rule_is_broken_by_some_leaf() -> None:
    assert {rule for rule, _ in BROKEN} == {*RULES, "dates"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"not_after": NOON},
        {"not_before": NOON},
        {"not_after": NOON + timedelta(seconds=1)},
        {"not_before": NOON - timedelta(seconds=1)},
        {"not_before": NOON, "not_after": NOON + LONGEST_LIFE},
        {"key_kind": "rsa:2048"},
        {"key_kind": "ed25519", "signature_hash": ""},
        {"usages": frozenset({CLIENT_AUTH, SERVER_AUTH})},
        {"uris": (f"powernode://instance/{NUMBER}",)},
        {"dns_names": ("infra.a.example", "infra2.a.example")},
    ],
)
def test_a_good_leaf_passes(fields: dict[str, Any]) -> None:
    assert rule_that_refuses(**fields) is None


def test_as_a_server_a_leaf_needs_the_server_usage() -> None:
    with pytest.raises(Denied, match=r"profile\.eku"):
        check_profile(GOOD, now=NOON, usage=SERVER_AUTH)
    check_profile(replace(GOOD, usages=frozenset({SERVER_AUTH})), now=NOON, usage=SERVER_AUTH)


@pytest.mark.parametrize(
    "uri",
    [
        URI.upper(),
        f"spiffe://a.example/instance/{str(NUMBER).upper()}",
        URI + "/",
        URI + "?x=1",
        URI + "#x",
        URI + "\n",
        URI.replace("a.example", "a.example:443"),
        URI.replace("a.example", "user@a.example"),
        URI.replace("a.example", "A.example"),
        URI.replace("a.example", "a.example."),
        URI.replace("a.example", "a..example"),
        URI.replace("a.example", "localhost"),
        URI.replace("a.example", "192.0.2.1"),
        URI.replace("instance", "instance%2f"),
        URI.replace("instance", "Instance"),
        URI.replace("instance", "host"),
        URI.replace("/instance", "//instance"),
        URI.replace("-", ""),
        URI.replace("spiffe://", "spiffe:/"),
        URI.replace("a.example", ""),
        f"powernode://a.example/instance/{NUMBER}",
        f"powernode://invitation/{NUMBER}",
        f"powernode:///instance/{NUMBER}",
        f" {URI}",
        "",
    ],
)
def test_a_uri_in_any_other_spelling_names_nobody(uri: str) -> None:
    assert read_uri(uri) is None
    assert rule_that_refuses(uris=(uri,)) == "uri"


@given(st.text(max_size=120))
def test_arbitrary_text_is_no_uri(text: str) -> None:
    assert read_uri(text) is None


@given(st.uuids())
def test_an_identity_comes_back_as_it_was_written(number: UUID) -> None:
    for uri, expected in (
        (f"spiffe://a.example/instance/{number}", ("a.example", number, None)),
        (f"powernode://instance/{number}", (None, number, None)),
        (f"spiffe://a.example/invitation/{number}", ("a.example", None, number)),
    ):
        found = identity_of(replace(GOOD, uris=(uri,)))
        assert (found.domain, found.instance, found.invitation) == expected
        assert found.infra_domains == ("infra.a.example",)


def test_a_leaf_may_not_name_a_process_of_another_domain() -> None:
    own, other = BackendDomain("a.example"), BackendDomain("b.example")
    named = identity_of(GOOD)
    check_trust_domain(named, own)
    with pytest.raises(Denied, match=r"profile\.trust_domain"):
        check_trust_domain(named, other)
    check_trust_domain(Identity(None, named.infra_domains, named.instance), other)
