"""Seed 0, §1.4, the four inbound steps, and the inward arrows of seed 1: 7 to 12."""

import json
import time
from collections.abc import Callable

import pytest

from isthmus.protocol import context, ingress
from isthmus.protocol.federation import API_VERSION, ORIGIN, REQUEST_ID
from lab.names_server import Reply
from lab.organisation import PORT
from lab.scripted_names import Question
from lab.waiting import wait_until
from tests.federation import named
from tests.federation.checks import clean_request, refused, refusing
from tests.federation.federation import Federation
from tests.federation.party import Party
from tests.federation.planting import restart_federator

# What DNS says here is believed for half a minute, which is the least of what a Federator takes.
LIFE_SECONDS = 31.0
FORWARDED = {"host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "connection"}


def question(federation: Federation, party: Party) -> str:
    return f"{federation.names.srv(party.domain)} SRV"


def asked_afresh(federation: Federation, party: Party, work: Callable[[], object]) -> list[Question]:
    """What the Federator of `party` asks the DNS for `work`, having forgotten all; once more where it has called others
    by itself meanwhile."""
    for _ in range(4):
        with party.outward.watching() as calls:
            restart_federator(party)
            with federation.names.watching(party.site.host) as questions:
                work()
        if not [call for call in calls if call.path.startswith("/rpc/")]:
            return questions
    pytest.fail(f"{party} calls others all the time")


@pytest.mark.case("SEED-014")
def test_the_federator_checks_more_than_the_ingress_can(federation: Federation) -> None:
    named.leaf_of_another_remote_is_refused(federation)


@pytest.mark.case("SEED-025")
def test_the_claimed_domain_is_mapped_to_its_infra_domains(federation: Federation) -> None:
    a, b = federation.a, federation.b
    questions = asked_afresh(federation, b, lambda: clean_request(a, b))
    assert [(each.kind, each.name) for each in questions] == [("SRV", federation.names.srv(a.domain))]
    try:
        with federation.names.saying(question(federation, a)):
            restart_federator(b)
            with refusing(b, "infra_domain_mismatch"):
                refused(a.asks(b), 403, "infra_domain_mismatch")
    finally:
        restart_federator(b)
    clean_request(a, b)


@pytest.mark.case("SEED-026")
def test_one_of_the_discovered_names_must_be_in_the_certificate(federation: Federation) -> None:
    a, b = federation.a, federation.b
    second = f"infra2.{a.domain}"
    both = Reply([f"30 SRV 0 0 {PORT} {a.infra}.", f"30 SRV 0 0 {PORT} {second}."])
    try:
        with federation.names.saying(question(federation, a), both):
            restart_federator(b)
            three = a.forged(names=(f"x.{a.domain}", second, f"y.{a.domain}"))
            assert a.asks(b, credential=three).status == 200
            with refusing(b, "infra_domain_mismatch"):
                other = a.forged(names=(f"other.{a.domain}",))
                refused(a.asks(b, credential=other), 403, "infra_domain_mismatch")
    finally:
        restart_federator(b)


@pytest.mark.case("SEED-027")
def test_an_origin_that_is_not_listed_gets_no_further(federation: Federation) -> None:
    b, c = federation.b, federation.c
    # Right in every way: certified by an authority that the ingress knows, and its record says so.
    federation.names.publish("d.example", "infra.d.example", [c.site.host.ipv4], PORT)
    leaf = c.forged(
        names=("infra.d.example",), uris=("spiffe://d.example/instance/0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b",)
    )
    with federation.names.watching(b.site.host) as questions, refusing(b, "not_listed"):
        refused(c.asks(b, c.request(b, changed={ORIGIN: "d.example"}), leaf), 403, "federation_denied")
    assert questions == []
    clean_request(c, b)


@pytest.mark.case("SEED-028", "SEED-040")
def test_the_admitted_request_goes_to_the_component_with_what_was_proven(a: Party, b: Party) -> None:
    own = [("X-Own", "1"), ("Cookie", "a=b"), ("X-Request-Id", "mine"), ("Accept-Language", "de")]
    with b.component().watching() as calls, b.inward.watching() as passed:
        answer = a.asks(b, a.request(b, more=own))
    assert answer.status == 200, answer
    (call,), (request,) = calls, passed
    assert (call.method, call.path, call.body) == ("POST", "/federation/get-user-by-handle", b'{"handle":"alice"}')
    sealed = call.header(context.HEADER)
    assert sealed is not None
    key = b.site.places.context_key("directory").read_bytes()
    proven = context.unseal(sealed, key, "directory")
    assert (proven.origin, proven.remote, proven.infra_domain) == (a.domain, a.domain, a.infra)
    assert proven.instance in str(a.leaf.extensions)
    assert (proven.network, proven.source, proven.api_version) == ("wan", str(a.site.host.ipv4), 0)
    assert proven.request_id == request.header(ingress.INGRESS_REQUEST_ID)
    facts = {
        ingress.INSTANCE: proven.instance,
        ingress.NETWORK: "wan",
        ingress.SOURCE: str(a.site.host.ipv4),
        ORIGIN: a.domain,
        API_VERSION: "0",
        REQUEST_ID: proven.request_id,
    }
    assert {name: call.header(name) for name in facts} == facts
    assert call.names - FORWARDED == {name.lower() for name in (context.HEADER, *facts)}


@pytest.mark.case("SEED-037")
def test_the_ingress_passes_on_the_request_and_the_proof_of_the_infra_domain(a: Party, b: Party) -> None:
    stated = [("Isthmus-Infra-Domain", "infra.c.example"), ("X-Infra-Domain", "infra.c.example")]
    before = len(b.site.log)
    with b.inward.watching() as passed, b.component().watching() as calls:
        assert a.asks(b, a.request(b, more=stated)).status == 200
    (request,) = passed
    assert (request.method, request.path) == ("POST", "/federation/directory/get-user-by-handle")
    assert (request.header(ORIGIN), request.body) == (a.domain, b'{"handle":"alice"}')
    assert request.header(ingress.LEAF)
    for seen in (*passed, *calls):
        assert "infra.c.example" not in str(seen.headers)

    def named() -> set[str]:
        lines = [line.partition(" | ")[2] for line in b.site.log[before:].splitlines() if "infra_domain" in line]
        return {json.loads(line)["infra_domain"] for line in lines}

    # The line comes through the pipe of the supervisor, a moment after the answer.
    assert wait_until(named, within=10.0, what="the line of the call") == {a.infra}


@pytest.mark.case("SEED-038")
def test_dns_is_asked_about_listed_origins_alone_and_once(federation: Federation) -> None:
    a, b = federation.a, federation.b

    def work() -> None:
        clean_request(a, b)
        clean_request(a, b)
        with refusing(b, "not_listed"):
            refused(a.asks(b, a.request(b, changed={ORIGIN: "d.example"})), 403, "federation_denied")

    questions = asked_afresh(federation, b, work)
    assert [(each.kind, each.name) for each in questions] == [("SRV", federation.names.srv(a.domain))]


@pytest.mark.case("SEED-039")
def test_the_record_decides_who_speaks_for_the_origin(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(b)
    clean_request(a, b)
    learnt = time.monotonic()
    try:
        with federation.names.saying(question(federation, a), Reply(["30 SRV 0 0 8443 infra.x.example."])):
            clean_request(a, b)
            time.sleep(learnt + LIFE_SECONDS - time.monotonic())
            with refusing(b, "infra_domain_mismatch"):
                refused(a.asks(b), 403, "infra_domain_mismatch")
    finally:
        restart_federator(b)
    clean_request(a, b)


@pytest.mark.case("SEED-041")
def test_only_a_matching_name_and_a_listed_domain_together_reach_the_component(federation: Federation) -> None:
    a, b, c = federation.parties
    federation.names.publish("d.example", "infra.d.example", [c.site.host.ipv4], PORT)
    uri = "spiffe://d.example/instance/0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"
    unlisted = c.request(b, changed={ORIGIN: "d.example"})
    with refusing(b, "not_listed"):
        refused(c.asks(b, unlisted, c.forged(names=("infra.d.example",), uris=(uri,))), 403, "federation_denied")
    with refusing(b, "not_listed"):
        refused(c.asks(b, unlisted, c.forged(names=("other.d.example",), uris=(uri,))), 403, "federation_denied")
    with refusing(b, "infra_domain_mismatch"):
        refused(a.asks(b, credential=a.forged(names=("other.a.example",))), 403, "infra_domain_mismatch")
    with b.component().watching() as calls:
        clean_request(a, b)
    assert len(calls) == 1


@pytest.mark.case("SEED-042")
def test_the_component_answers_with_the_profile(a: Party, b: Party) -> None:
    profile = clean_request(a, b).json
    assert (profile["handle"], profile["domain"], profile["display_name"]) == ("alice", b.domain, "Alice of B")
    ((stored,),) = b.rows("SELECT count(*) FROM directory_users WHERE handle = 'alice'")
    assert stored == 1


@pytest.mark.case("SEED-043")
def test_the_answer_depends_on_the_relation_to_the_one_who_asks(federation: Federation) -> None:
    a, b, c = federation.parties
    b.add_user("anna", hidden_from=[c])
    assert clean_request(a, b, "anna").json["handle"] == "anna"
    hidden, missing = (c.asks(b, c.request(b, body=b'{"handle":"%s"}' % name)) for name in (b"anna", b"nobody-here"))
    refused(hidden, 404, "not_found")
    refused(missing, 404, "not_found")
    apart = {"instance", "request_id"}
    told = [{key: value for key, value in each.json.items() if key not in apart} for each in (hidden, missing)]
    assert told[0]["detail"].replace("anna", "nobody-here") == told[1]["detail"]
    assert told[0] | {"detail": ""} == told[1] | {"detail": ""}


@pytest.mark.case("SEED-044")
def test_nothing_of_a_components_answer_but_status_type_and_body_gets_out(a: Party, b: Party) -> None:
    box = b.component()
    box.rewrites = lambda piece: piece.replace(
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-Inner: 1\r\nSet-Cookie: a=b\r\n"
    )
    try:
        answer = clean_request(a, b)
    finally:
        box.rewrites = None
    plain = clean_request(a, b)
    assert (answer.status, answer.header("Content-Type"), answer.body) == (200, "application/json", plain.body)
    names = {name.lower() for name, _ in answer.headers}
    assert names == {name.lower() for name, _ in plain.headers}
    assert names.isdisjoint({"x-inner", "set-cookie"})
