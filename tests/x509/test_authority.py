"""A backend's own CA and its leaves, seen by the rules that remotes apply, by OpenSSL and by Python's TLS."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from isthmus.domain.federation.certificate import BACKDATED, OWN_LIFE, SERVER_AUTH, check_profile, identity_of
from isthmus.domain.federation.denial import Denied
from isthmus.domain.federation.names import BackendDomain, InfraDomain, InstanceId, instance_uri, invitation_uri
from isthmus.x509.authority import Authority, Wanted, make_authority, pem_of
from isthmus.x509.chain import check_chain
from isthmus.x509.leaf import read_leaf
from tests.builders import NOON
from tests.x509.forge import an_authority

DOMAIN = BackendDomain("a.example")
INFRA = (InfraDomain("infra.a.example"),)
CA = make_authority(DOMAIN, NOON)
INSTANCE = InstanceId(uuid4())
CLIENT = Wanted(instance_uri(DOMAIN, INSTANCE), INFRA)


def test_its_leaf_passes_profile_and_chain() -> None:
    leaf = CA.issue(CLIENT, NOON, OWN_LIFE)
    facts = read_leaf(leaf.der)
    check_profile(facts, now=NOON)
    check_chain(leaf.der, CA.certificates, NOON)
    assert identity_of(facts).instance == INSTANCE
    assert identity_of(facts).domain == DOMAIN
    assert (facts.not_before, facts.not_after) == (NOON - BACKDATED, NOON + OWN_LIFE)
    assert leaf.certificate.subject.rfc4514_string() == ""
    assert b"PRIVATE" not in repr(leaf).encode() + repr(CA).encode()


def test_only_the_leaf_of_the_ingress_serves() -> None:
    serving = read_leaf(CA.issue(Wanted(CLIENT.uri, INFRA, serves=True), NOON, OWN_LIFE).der)
    check_profile(serving, now=NOON)
    check_profile(serving, now=NOON, usage=SERVER_AUTH)
    with pytest.raises(Denied, match=r"profile\.eku"):
        check_profile(read_leaf(CA.issue(CLIENT, NOON, OWN_LIFE).der), now=NOON, usage=SERVER_AUTH)


def test_the_leaf_of_an_invitation_names_it() -> None:
    invitation = uuid4()
    facts = read_leaf(CA.issue(Wanted(invitation_uri(DOMAIN, invitation), INFRA), NOON, OWN_LIFE).der)
    check_profile(facts, now=NOON)
    assert (identity_of(facts).invitation, identity_of(facts).instance) == (invitation, None)


def test_two_leaves_differ_in_serial_and_key() -> None:
    one, two = (read_leaf(CA.issue(CLIENT, NOON, OWN_LIFE).der) for _ in range(2))
    assert one.serial != two.serial
    assert one.key != two.key


@pytest.mark.parametrize("life", [timedelta(days=7, seconds=1), timedelta(0), timedelta(days=-1)])
def test_a_leaf_does_not_live_for_more_than_a_week(life: timedelta) -> None:
    with pytest.raises(ValueError, match="7 days"):
        CA.issue(CLIENT, NOON, life)


def test_a_leaf_does_not_outlive_its_authority() -> None:
    short = make_authority(DOMAIN, NOON, timedelta(hours=2))
    assert read_leaf(short.issue(CLIENT, NOON, OWN_LIFE).der).not_after == NOON + timedelta(hours=2)
    with pytest.raises(ValueError, match="expired"):
        short.issue(CLIENT, NOON + timedelta(hours=2), OWN_LIFE)


def test_two_authorities_of_one_backend_have_different_names() -> None:
    assert make_authority(DOMAIN, NOON).certificate.subject != CA.certificate.subject


def test_an_authority_of_a_long_domain_can_be_made() -> None:
    domain = ".".join(["a" * 63] * 3 + ["example"])
    assert make_authority(domain, NOON).issue(CLIENT, NOON, OWN_LIFE).der


def test_an_intermediate_goes_along_with_its_leaves_and_its_root_does_not() -> None:
    root = an_authority("a root")
    below = an_authority("an issuing CA", root)
    authority = Authority(below.certificate, below.key, (root.certificate,))  # type: ignore[arg-type]
    issued = authority.issue(CLIENT, NOON, OWN_LIFE)
    assert issued.chain.count(b"BEGIN CERTIFICATE") == 2
    assert authority.certificates == (below.der, root.der)
    check_chain(issued.der, authority.certificates, NOON)


def test_openssl_verifies_its_leaves_and_tls_loads_them(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = make_authority(DOMAIN, now)
    leaf = authority.issue(Wanted(CLIENT.uri, INFRA, serves=True), now, OWN_LIFE)
    ca, chain, key = tmp_path / "ca.pem", tmp_path / "chain.pem", tmp_path / "key.pem"
    ca.write_text("".join(pem_of(authority.certificates)))
    chain.write_bytes(leaf.chain)
    key.write_bytes(leaf.key)
    for purpose in ("sslclient", "sslserver"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(ca), str(chain)]
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(chain, key)
    context.load_verify_locations(ca)
