"""Which authorities a leaf may come from: those that are known, directly, while both are valid."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from isthmus.domain.federation.certificate import SERVER_AUTH
from isthmus.x509.chain import ChainBroken, check_chain
from tests.builders import NOON
from tests.x509.forge import CLIENT, SERVER, Forged, a_leaf, a_weak_key, an_authority

CA = an_authority()
INTERMEDIATE = an_authority("A's intermediate", CA)
DEEPER = an_authority("A's second intermediate", INTERMEDIATE)
LEAF = a_leaf(CA)


def why_broken(leaf: Forged, *authorities: Forged, usage: str | None = None) -> str | None:
    try:
        check_chain(leaf.der, [each.der for each in authorities], NOON, *([usage] if usage else []))
    except ChainBroken as broken:
        return broken.reason
    return None


def test_a_leaf_directly_under_a_known_authority_counts() -> None:
    assert why_broken(LEAF, CA) is None
    assert why_broken(LEAF, an_authority("B's CA"), CA) is None


def test_a_leaf_under_an_intermediate_counts_where_that_is_known_itself() -> None:
    leaf = a_leaf(INTERMEDIATE)
    assert why_broken(leaf, CA, INTERMEDIATE) is None
    assert why_broken(leaf, INTERMEDIATE) is None
    assert why_broken(leaf, CA) == "issuer"
    assert why_broken(a_leaf(DEEPER), CA, INTERMEDIATE) == "issuer"


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(timedelta(seconds=-1), None), (timedelta(0), None), (timedelta(seconds=1), "unverified")],
)
def test_the_end_of_a_leaf_is_checked_to_the_second(offset: timedelta, reason: str | None) -> None:
    assert why_broken(a_leaf(CA, ends=NOON - offset), CA) == reason
    assert why_broken(a_leaf(CA, starts=NOON + offset), CA) == reason


def test_another_authority_of_the_same_name_does_not_count() -> None:
    foreign = an_authority()
    assert foreign.certificate.subject == CA.certificate.subject
    assert why_broken(a_leaf(foreign), CA) == "unverified"
    assert why_broken(LEAF, foreign, CA) is None


def test_a_leaf_that_signed_itself_does_not_count() -> None:
    assert why_broken(a_leaf(None, common_name="A's CA"), CA) == "unverified"
    own = a_leaf(None, common_name="A's CA")
    assert why_broken(own, own) == "issuer"
    assert why_broken(CA, CA) == "issuer"


UNFIT: list[dict[str, Any]] = [
    {"ca": False},
    {"ca": None},
    {"key_cert_sign": False},
    {"has_key_usage": False},
    {"usages": (SERVER,)},
    {"ends": NOON - timedelta(seconds=1)},
    {"starts": NOON + timedelta(seconds=1)},
    {"key": a_weak_key()},
    {"more": ((x509.NameConstraints([x509.DNSName("b.example")], None), True),)},
    {"more": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True),)},
]


@pytest.mark.parametrize("fields", UNFIT)
def test_an_authority_that_may_not_issue_the_leaf_does_not_count(fields: dict[str, Any]) -> None:
    unfit = an_authority(**fields)
    assert why_broken(a_leaf(unfit), unfit) == "unverified"


@pytest.mark.parametrize(
    "fields",
    [
        {"usages": (CLIENT, SERVER)},
        {"key": ec.generate_private_key(ec.SECP384R1())},
        {"key": rsa.generate_private_key(65537, 2048)},
        {"more": ((x509.NameConstraints([x509.DNSName("a.example")], None), True),)},
    ],
)
def test_an_authority_that_may_issue_the_leaf_counts(fields: dict[str, Any]) -> None:
    fit = an_authority(**fields)
    assert why_broken(a_leaf(fit), fit) is None


def test_a_critical_extension_that_nobody_knows_spoils_a_leaf() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert why_broken(a_leaf(CA, more=((unknown, True),)), CA) == "unverified"
    assert why_broken(a_leaf(CA, more=((unknown, False),)), CA) is None


def test_an_authority_for_clients_alone_does_not_vouch_for_servers() -> None:
    narrow = an_authority(usages=(CLIENT,))
    leaf = a_leaf(narrow, usages=(SERVER,))
    assert why_broken(leaf, narrow, usage=SERVER_AUTH) == "unverified"
    assert why_broken(a_leaf(CA, usages=(SERVER,)), CA, usage=SERVER_AUTH) is None


def test_without_authorities_nothing_counts() -> None:
    assert why_broken(LEAF) == "no_authorities"


def test_rubbish_among_leaf_and_authorities_breaks_the_chain() -> None:
    with pytest.raises(ChainBroken, match="unreadable"):
        check_chain(b"rubbish", [CA.der], NOON)
    with pytest.raises(ChainBroken, match="unreadable"):
        check_chain(LEAF.der, [b"rubbish", CA.der], NOON)
