"""Seed 0, §1.3 and the ingress's arrows of seed 1: what it ends, demands, forwards and refuses."""

from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.protocol import ingress
from isthmus.x509.leaf import read_one_pem
from lab.organisation import PORT
from tests.federation import named
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.party import Party
from tests.federation.wire import PlainConnection


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
