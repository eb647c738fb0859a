"""Seed 0, §1.3 and the ingress's arrows of seed 1: what it ends, demands, forwards and refuses."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.protocol import ingress
from isthmus.x509.leaf import read_one_pem
from lab.organisation import PORT
from tests.federation import named
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.party import Party
from tests.federation.wire import Credential, PlainConnection
from tests.x509.forge import Forged, an_authority


@pytest.mark.case("SEED-009")
def test_the_ingress_goes_by_the_anchors_of_the_remotes(a: Party, b: Party) -> None:
    named.foreign_authority_is_refused(a, b)


@pytest.mark.case("SEED-011")
def test_tls_ends_at_the_ingress(a: Party, b: Party) -> None:
    request = a.request(b)
    with (
        refusing(b, "malformed_request", by_ingress=True),
        PlainConnection(a.site.host.connect(b.site.host.ipv4, PORT)) as plain,
    ):
        refused(plain.ask(request), 400, "malformed_request")
    with b.inward.watching() as seen:
        clean_request(a, b)
    # What the box on the socket could read as HTTP was plain.
    assert [(each.method, each.path) for each in seen] == [("POST", "/federation/directory/get-user-by-handle")]


@pytest.mark.case("SEED-012")
def test_nothing_comes_through_without_a_client_certificate(a: Party, b: Party) -> None:
    named.no_certificate_is_refused(a, b)


@pytest.mark.case("SEED-035")
def test_a_session_counts_only_with_a_certificate_that_was_verified(a: Party, b: Party) -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    below = an_authority("an intermediate", a.authority, starts=now - hour, ends=now + 24 * hour)
    by_ingress = {
        "unknown issuer": a.forged(an_authority("a stranger", starts=now - hour, ends=now + 24 * hour)),
        "expired": a.forged(starts=now - 2 * hour, ends=now - hour),
        "not yet valid": a.forged(starts=now + hour, ends=now + 2 * hour),
        "wrong key usage": a.forged(digital_signature=False, key_cert_sign=True),
        "too deep a chain": chained(a.forged(below), below),
    }
    for leaf in by_ingress.values():
        with refusing(b, "client_certificate_rejected", by_ingress=True):
            refused(a.asks(b, credential=leaf), 403, "client_certificate_rejected")
    revoked = a.forged()
    assert a.asks(b, credential=revoked).status == 200
    body = {"reason": "test", "fingerprint": sha256(revoked.der).hexdigest()}
    b.api.post(f"/remotes/{a.domain}/revocations", json=body).raise_for_status()
    with refusing(b, "leaf_revoked"):
        refused(a.asks(b, credential=revoked), 403, "federation_denied")
    clean_request(a, b)


def chained(leaf: Forged, above: Forged) -> Credential:
    return Credential(leaf.pem + above.pem, leaf.key_pem)


@pytest.mark.case("SEED-013")
def test_the_federator_gets_the_leaf_of_the_session_and_no_other(a: Party, b: Party, c: Party) -> None:
    other = c.leaf.public_bytes(Encoding.PEM).decode()
    names = (
        ingress.LEAF, "X-SSL-Cert", "X-SSL-Client-Cert", "Ssl-Client-Cert", "X-Client-Cert", "Client-Cert",
        "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Certificate",
    )  # fmt: skip
    copy = other.replace("\n", "%0A").replace(" ", "%20")
    with b.inward.watching() as seen:
        answer = a.asks(b, a.request(b, more=[(name, copy) for name in names]))
    assert answer.status == 200, answer
    (request,) = seen
    leaf = request.header(ingress.LEAF)
    assert leaf is not None
    assert read_one_pem(unquote(leaf)) == a.leaf.public_bytes(Encoding.DER)
    for name, value in request.headers:
        assert copy[:200] not in value, f"{name} carries what the client wrote"
    assert request.names.isdisjoint(name.lower() for name in names[1:])
