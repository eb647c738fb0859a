"""What the ingress passes on, and what it says of it."""

from urllib.parse import unquote
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from isthmus.protocol.ingress import PASSED
from tests.ingress.client import PATH, Client, read_answer, request
from tests.ingress.conftest import OVERLAY, World, secret


def test_a_call_reaches_the_federator_with_all_that_the_ingress_proves(world: World) -> None:
    seen = world.admitted(world.wan.post(body=b'{"handle":"alice"}'))
    assert (seen.line, seen.body) == (f"POST {PATH} HTTP/1.1", b'{"handle":"alice"}')
    assert seen.one("Isthmus-Ingress-Listener") == "wan"
    assert seen.one("Isthmus-Ingress-Secret") == secret("wan")
    assert seen.one("X-Sdwan-Network") == "wan"
    assert seen.one("X-Forwarded-For") == "127.0.0.1"
    assert seen.one("Isthmus-Ingress-Presented") is None
    assert seen.one("X-Calling-Instance") is None


def test_an_overlay_is_told_by_the_listener(world: World) -> None:
    seen = world.admitted(world.overlay.post())
    assert seen.one("Isthmus-Ingress-Listener") == "overlay-1"
    assert seen.one("Isthmus-Ingress-Secret") == secret("overlay-1") != secret("wan")
    assert seen.one("X-Sdwan-Network") == OVERLAY


@pytest.mark.case("SEED-013")
def test_the_federator_gets_the_exact_leaf_of_the_session_and_no_copy_of_the_callers_making(world: World) -> None:
    copies = [
        "Isthmus-Ingress-Leaf",
        "X-Ssl-Certificate",
        "Client-Cert",
        "X-Forwarded-Tls-Client-Cert",
        "Ssl-Client-Cert",
    ]
    other = x509.load_der_x509_certificate(world.cas["c"].leaf("infra.c.example").der)
    forged = other.public_bytes(Encoding.PEM).decode("ascii").replace("\n", "%0A")
    seen = world.admitted(world.wan.post(PATH, *((name, forged) for name in copies)))
    leaf = x509.load_pem_x509_certificate(unquote(seen.one("Isthmus-Ingress-Leaf") or "").encode("ascii"))
    assert leaf.public_bytes(Encoding.DER) == world.leaf.der
    assert not [value for _, value in seen.headers if value == forged]


def test_the_callers_own_headers_pass_and_no_others(world: World) -> None:
    own = {name: f"value-of-{name.lower()}" for name in PASSED}
    foreign = [("Cookie", "x=1"), ("User-Agent", "somebody"), ("Accept", "*/*")]
    seen = world.admitted(world.wan.post(PATH, *own.items(), *foreign))
    assert {name: seen.one(name) for name in PASSED} == own
    assert not [name for name, _ in foreign if seen.all(name)]


def test_each_request_has_an_id_of_the_ingress_and_the_callers_is_cut(world: World) -> None:
    found = []
    for given in ("same-as-another", "same-as-another", "x" * 4096, "two words", ""):
        seen = world.admitted(world.wan.post(PATH, ("X-Request-Id", given)))
        found.append(UUID(seen.one("Isthmus-Ingress-Request-Id")))
        assert seen.one("Isthmus-Caller-Request-Id") == (given.split(" ")[0][:128] or None)
        assert seen.one("X-Request-Id") is None
    assert len(set(found)) == len(found)
    assert {each.version for each in found} == {4}


def test_connections_to_the_federator_are_kept(world: World) -> None:
    with world.wan.connected() as connection:
        for _ in range(20):
            connection.sendall(request())
            assert read_answer(connection).status == 200
    # Each worker has its own.
    assert len({seen.connection for seen in world.upstream.seen}) == 1


def test_a_client_of_another_remote_passes_too(world: World) -> None:
    leaf = world.cas["c"].leaf("infra.c.example")
    assert world.admitted(Client(world.facts.listeners[0].port, leaf).post()).line.startswith("POST ")
