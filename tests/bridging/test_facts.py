"""What is proven of a call over a bridge: instance, network and source, whatever the caller says of itself."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lab.alliance import WITHIN, Alliance
from lab.organisation import PORT as INGRESS_PORT
from lab.waiting import wait_until
from tests.bridging.calls import asks, bearer, connect, leaf_of, line_of, wanted
from tests.bridging.test_calls import OK, can_connect, row_of
from tests.federation.checks import refused
from tests.federation.party import Party
from tests.federation.wire import Answer, Connection, Credential, client_context, request

Headers = Sequence[tuple[str, str]]


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    joined = alliance.join()
    wait_until(lambda: can_connect(alliance), within=WITHIN, what="the ingress of A inside the network")
    return joined


def asks_with(alliance: Alliance, uris: tuple[str, ...], token: str) -> Answer:
    """A call from the host of `app` with a leaf by the real CA of B that has these URIs."""
    forged = Party(alliance.b.site).forged(uris=uris)
    raw = alliance.app.host.connect(alliance.a.home.ipv6, INGRESS_PORT)
    credential = Credential(forged.pem, forged.key_pem)
    with Connection(raw, client_context(credential), alliance.a.site.infra) as connection:
        return connection.ask(line_of(alliance, "get", wanted(alliance), bearer(token)))


@pytest.mark.case("SEED-125")
def test_the_instance_is_that_of_the_leaf_in_both_spellings(alliance: Alliance) -> None:
    named = alliance.instances["app"]
    with alliance.granted() as (_, token):
        for uri in (f"spiffe://{alliance.b.domain}/instance/{named}", f"powernode://instance/{named}"):
            answer = asks_with(alliance, (uri,), token)
            assert answer.status == OK, answer
            assert row_of(alliance, answer)["facts"]["instance"] == named


@pytest.mark.case("SEED-128")
@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("https://b.example/instance/{id}",),
        ("spiffe://b.example/workload/{id}",),
        ("spiffe://b.example/instance/{ID}",),
        ("powernode://node/{id}",),
    ],
)
def test_a_leaf_without_an_instance_in_its_one_form_is_refused(alliance: Alliance, uris: tuple[str, ...]) -> None:
    named = alliance.instances["app"]
    spelled = tuple(each.format(id=named, ID=named.upper()) for each in uris)
    party = Party(alliance.a.site)
    with alliance.granted() as (_, token):
        before = party.last_row()
        refused(asks_with(alliance, spelled, token), 403, "federation_denied")
        wait_until(lambda: party.denials(before), within=WITHIN, what="the audit row")
        assert [row["reason"].partition(".")[0] for row in party.denials(before)] == ["profile"]
        assert asks(alliance, alliance.app, token).status == OK


@pytest.mark.case("SEED-127")
def test_a_header_that_names_the_listed_instance_does_not_help_another_one(alliance: Alliance) -> None:
    app, other = alliance.instances["app"], alliance.instances["other"]
    with alliance.granted() as (_, token):
        more = [("X-Calling-Instance", app)]
        answer = refused(asks(alliance, alliance.b.hosts["other"], token, more=more), 403, "axis_denied")
        assert (answer.json["axis"], answer.json["supplied"], answer.json["allowed"]) == ("instance", other, [app])
        assert asks(alliance, alliance.app, token).status == OK


@pytest.mark.case("SEED-134")
def test_the_source_is_the_address_of_the_socket(alliance: Alliance) -> None:
    app, other = alliance.app, alliance.b.hosts["other"]
    listed = f"{app.ipv6}/128"
    ways: Sequence[Headers] = (
        [],
        [("X-Forwarded-For", f"{app.ipv6}, {other.ipv6}")],
        [("X-Forwarded-For", f"{other.ipv6}, {app.ipv6}")],
        [("X-Forwarded-For", other.ipv6), ("X-Forwarded-For", app.ipv6)],
    )
    with alliance.granted(instances=None, sources=[listed]) as (_, token):
        for more in ways:
            answer = refused(asks(alliance, other, token, more=[*more]), 403, "axis_denied")
            assert (answer.json["axis"], answer.json["supplied"]) == ("source", other.ipv6)
            assert row_of(alliance, answer)["facts"]["source"] == other.ipv6
            assert asks(alliance, app, token, more=[*more]).status == OK


@pytest.mark.case("HDR-004")
def test_no_header_can_have_a_proven_fact_taken_away(alliance: Alliance) -> None:
    more = [("Connection", "X-Sdwan-Network, X-Calling-Instance, Authorization")]
    with alliance.granted() as (_, token):
        clean, dressed = (asks(alliance, alliance.app, token, more=each) for each in ([], more))
        assert (clean.status, clean.body) == (dressed.status, dressed.body) == (OK, clean.body)
        facts = [row_of(alliance, answer)["facts"] for answer in (clean, dressed)]
        assert [facts[0][name] for name in ("instance", "network", "source")] == [
            facts[1][name] for name in ("instance", "network", "source")
        ]


def test_a_listener_inside_a_network_serves_calls_and_nothing_else(alliance: Alliance) -> None:
    headers = [("Host", f"{alliance.a.site.infra}:{INGRESS_PORT}")]
    for path in ("/", "/api/v1/networks", "/api/v1/agent/enroll", "/federationx/resources/get"):
        with connect(alliance, alliance.app) as connection:
            refused(connection.ask(request("POST", path, headers=headers, body=b"{}")), 404, "route_not_found")
    with alliance.granted() as (_, token):
        assert asks(alliance, alliance.app, token).status == OK


@pytest.mark.case("SEED-146")
def test_the_record_holds_every_fact_and_how_it_was_proven(alliance: Alliance, bridge: str) -> None:
    with alliance.granted() as (grant, token):
        row = row_of(alliance, asks(alliance, alliance.app, token))
    facts = row["facts"]
    assert (facts["instance"], facts["source"]) == (alliance.instances["app"], alliance.app.ipv6)
    assert (facts["network"], facts["assurance"]) == (alliance.a.network_id, "cryptokey")
    assert (facts["grant"], facts["bridge"], facts["bridge_state"]) == (grant, bridge, "active")
    assert facts["listener"].endswith(alliance.a.network_id)
    leaf = x509.load_pem_x509_certificate(leaf_of(alliance.app).chain)
    assert facts["leaf"] == leaf.fingerprint(hashes.SHA256()).hex()
