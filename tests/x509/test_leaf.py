"""Certificates as bytes: what is read of them, and that rubbish is a `ValueError`."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from isthmus.domain.federation.certificate import CLIENT_AUTH, SERVER_AUTH
from isthmus.x509.leaf import read_leaf, read_one_pem
from tests.builders import NOON
from tests.x509.forge import CLIENT, SERVER, a_leaf, a_sha1_leaf, a_uri, a_weak_key, an_authority

CA = an_authority()
LEAF = a_leaf(CA, usages=(CLIENT, SERVER))


def test_a_leaf_is_read_as_it_was_made() -> None:
    facts = read_leaf(LEAF.der)
    public = LEAF.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert facts.fingerprint == sha256(LEAF.der).digest()
    assert facts.key == sha256(public).digest()
    assert facts.serial == LEAF.certificate.serial_number
    assert (facts.not_before, facts.not_after) == (NOON - timedelta(hours=1), NOON + timedelta(hours=23))
    assert (facts.is_ca, facts.may_sign, facts.digital_signature) == (False, False, True)
    assert facts.usages == frozenset({CLIENT_AUTH, SERVER_AUTH})
    assert (facts.dns_names, facts.uris) == (("infra.a.example",), (a_uri(),))
    assert (facts.key_kind, facts.signature_hash) == ("ec:secp256r1", "sha256")


def test_a_certificate_without_extensions_has_no_facts_to_its_credit() -> None:
    facts = read_leaf(a_leaf(CA, names=None, uris=(), ca=None, has_key_usage=False, usages=None).der)
    assert (facts.dns_names, facts.uris, facts.usages) == ((), (), None)
    assert (facts.is_ca, facts.may_sign, facts.digital_signature) == (False, False, False)


def test_an_authority_and_weak_ones_are_seen_as_such() -> None:
    authority = read_leaf(CA.der)
    assert authority.is_ca
    assert authority.may_sign
    weak = a_weak_key()
    assert read_leaf(a_leaf(CA, key=weak).der).key_kind == "rsa:1024"
    edwards = read_leaf(a_leaf(None, key=ed25519.Ed25519PrivateKey.generate()).der)
    assert (edwards.key_kind, edwards.signature_hash) == ("ed25519", "")


def test_the_hash_of_a_weak_signature_is_seen(tmp_path: Path) -> None:
    assert read_leaf(a_sha1_leaf(CA, tmp_path).der).signature_hash == "sha1"


def test_the_common_name_is_never_a_name() -> None:
    assert read_leaf(a_leaf(CA, names=None, uris=(), common_name="infra.a.example").der).dns_names == ()


def test_two_uris_are_both_read() -> None:
    assert len(read_leaf(a_leaf(CA, uris=(a_uri(), a_uri())).der).uris) == 2


def test_one_pem_is_one_certificate_and_nothing_beside_it() -> None:
    text = LEAF.pem.decode()
    assert read_one_pem(text) == LEAF.der
    assert read_one_pem(text.replace("\n", "\r\n")) == LEAF.der
    assert read_one_pem("\n" + text.strip()) == LEAF.der
    for bad in (
        "",
        text + text,
        text + CA.pem.decode(),
        "x" + text,
        text + "x",
        text.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        text.replace("-----END", "====-----END"),
        text.replace("A", "é", 1),
        text[:200] + text[-40:],
        LEAF.key_pem.decode(),
        text.replace("\n", "\n" + " " * 30_000, 1),
    ):
        with pytest.raises(ValueError, match=r"certificate|base64"):
            read_one_pem(bad)


@given(st.binary(max_size=200))
def test_rubbish_is_no_certificate(rubbish: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        read_leaf(rubbish)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(LEAF.der)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        facts = read_leaf(bytes(damaged))
    except ValueError:
        return
    assert facts.fingerprint == sha256(damaged).digest()


def test_what_follows_a_certificate_makes_it_none() -> None:
    with pytest.raises(ValueError, match="certificate"):
        read_leaf(LEAF.der + b"\x00")


def test_an_extension_that_cannot_be_read_spoils_the_certificate() -> None:
    broken = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01")
    with pytest.raises(ValueError, match="certificate"):
        read_leaf(a_leaf(CA, names=None, uris=(), more=((broken, False),)).der)
