"""Headers of a caller: which count, which reach nobody, and which name nobody but their sender."""

import itertools
from urllib.parse import quote

import pytest

from isthmus.protocol.federation import AUTHORIZATION, IDEMPOTENCY_KEY, ORIGIN
from tests.federation import named
from tests.federation.behind import behind
from tests.federation.checks import clean_request, refusing_each
from tests.federation.federation import AGENT_PORT, Federation
from tests.federation.party import Party, over_socket
from tests.federation.wire import Answer, PlainConnection

FORGED = "f0f0f0f0-0000-4000-8000-000000000000"
ALIASES = (
    "X_Calling_Instance", "X.Calling.Instance", "x_sdwan_network", "x.sdwan.network", "X_Forwarded_For",
    "X_SSL_CERTIFICATE", "client_cert", "Client.Cert", "X_Forwarded_Tls_Client_Cert", "x.forwarded.client.cert",
    "Isthmus_Ingress_Leaf", "isthmus.ingress.secret", "Isthmus_Context", "Isthmus_Origin_Domain", "Idempotency.Key",
)  # fmt: skip
IN_ANY_CASE = ("x-CALLING-instance", "X-FORWARDED-client-cert", "x-ssl-CERTIFICATE", "CLIENT-cert", "isthmus-CONTEXT")
PEOPLE_PORT = 8080


# HDR-001 wants a grant in the caller's hand, so nothing here claims it yet.
def test_forged_trust_headers_change_nothing(a: Party, b: Party) -> None:
    named.forged_trust_headers_change_nothing(a, b)


@pytest.mark.case("HDR-002")
def test_aliases_of_trust_headers_reach_nobody(a: Party, b: Party) -> None:
    federator = behind(a, b)
    clean = clean_request(a, b)
    for name in (*ALIASES, *IN_ANY_CASE):
        with b.inward.watching() as passed, b.component().watching() as called:
            answer = a.asks(b, a.request(b, more=[(name, FORGED)]))
        assert (answer.status, answer.body) == (200, clean.body)
        assert FORGED not in str([*passed, *called]), name
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for name in (*ALIASES, *IN_ANY_CASE):
            answer = federator.asks(federator.request(more=[(name, FORGED)]))
            refuse(answer, 400, "trust_header_conflict")
    assert federator.asks().status == 200
    clean_request(a, b)


@pytest.mark.case("HDR-003")
def test_a_doubled_header_is_refused_or_its_first_value_decides(federation: Federation) -> None:
    a, b, c = federation.parties
    # nginx keeps the first of two, and refuses a second Authorization by itself (docs/decisions/0036).
    for first, second in itertools.product(("one", "two"), repeat=2):
        doubled = [(IDEMPOTENCY_KEY, first), (IDEMPOTENCY_KEY, second)]
        with b.component().watching() as called:
            assert a.asks(b, a.request(b, more=doubled)).status == 200
        assert [each.all(IDEMPOTENCY_KEY) for each in called] == [[first]]
    for second in (a.domain, c.domain, ""):
        with b.component().watching() as called:
            assert a.asks(b, a.request(b, more=[(ORIGIN, second)])).status == 200
        assert [each.all(ORIGIN) for each in called] == [[a.domain]]
    with refusing_each(b) as refuse:
        others = a.request(b, changed={ORIGIN: c.domain}, more=[(ORIGIN, a.domain)])
        refuse(a.asks(b, others), 403, "federation_denied", "chain.other_remote")
        for first, second in itertools.product(("Bearer one", "Bearer two"), repeat=2):
            doubled = [(AUTHORIZATION, first), (AUTHORIZATION, second)]
            refuse(a.asks(b, a.request(b, more=doubled)), 400, "malformed_request")
    for name in (AUTHORIZATION, IDEMPOTENCY_KEY):
        assert a.asks(b, a.request(b, more=[(name, "Bearer one")])).status == 200


@pytest.mark.case("HDR-003")
def test_the_federator_refuses_a_doubled_header(federation: Federation) -> None:
    a, b, c = federation.parties
    federator = behind(a, b)
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for more in (
            [(ORIGIN, a.domain)],
            [(ORIGIN, c.domain)],
            [(AUTHORIZATION, "Bearer one"), (AUTHORIZATION, "Bearer one")],
            [(AUTHORIZATION, "Bearer one"), (AUTHORIZATION, "Bearer two")],
            [(IDEMPOTENCY_KEY, "one"), (IDEMPOTENCY_KEY.lower(), "one")],
            [(IDEMPOTENCY_KEY, "one"), (IDEMPOTENCY_KEY, "two")],
        ):
            refuse(federator.asks(federator.request(more=more)), 400, "header_duplicated")
    more = [(AUTHORIZATION, "Bearer one"), (IDEMPOTENCY_KEY, "one")]
    assert federator.asks(federator.request(more=more)).status == 200


@pytest.mark.case("HDR-010", "SEED-131")
def test_the_listeners_of_people_agents_and_administrators_lead_to_no_federation(a: Party, b: Party) -> None:
    federator = behind(a, b)
    perfect = federator.request()
    forged = a.request(b, more=[(name, quote(a.credential.chain)) for name in named.FORGED])
    with refusing_each(b, beside_the_ingress=True) as refuse:
        for data in (perfect, forged):
            for port in (PEOPLE_PORT, AGENT_PORT):
                refuse(on_loopback(b, port, data), 404, "route_not_found")
            refuse(over_socket(b.site.host.path("/var/lib/isthmus/server.sock"), data), 404, "route_not_found")
    clean_request(a, b)


def on_loopback(party: Party, port: int, data: bytes) -> Answer:
    with PlainConnection(party.site.host.connect("127.0.0.1", port)) as connection:
        return connection.ask(data)
