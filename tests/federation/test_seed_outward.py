"""Seed 0, §1.4, the five outbound steps, and the outward arrows of seed 1: 1 to 6, 13 and 14."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from cryptography import x509

from isthmus.protocol.federation import API_VERSION, ORIGIN, REQUEST_ID
from lab.names_server import Reply
from lab.organisation import PORT
from lab.recording import Seen
from lab.waiting import wait_until
from tests.federation.checks import refused, refusing
from tests.federation.counting import connections_from, peers_of
from tests.federation.federation import Federation
from tests.federation.party import Party, over_socket
from tests.federation.planting import restart_federator
from tests.federation.tapping import dns_names, serving, tapped
from tests.federation.wire import request


def of_directory(seen: Sequence[Seen]) -> list[Seen]:
    """A Federator that has just started asks first which versions the remote speaks."""
    return [each for each in seen if each.path.startswith("/federation/directory/")]


def question(federation: Federation, party: Party) -> str:
    return f"{federation.names.srv(party.domain)} SRV"


@pytest.mark.case("SEED-020")
def test_a_target_that_is_not_listed_is_neither_looked_up_nor_dialled(federation: Federation) -> None:
    b = federation.b
    elsewhere = federation.lab.hosts.get("elsewhere") or federation.lab.host("elsewhere")
    # All that would be needed to reach it is there, but for its entry.
    federation.names.publish("d.example", "infra.d.example", [elsewhere.ipv4], PORT)
    with (
        federation.names.watching(b.site.host) as questions,
        connections_from(b.site.host, elsewhere) as counted,
        refusing(b, "not_listed"),
    ):
        refused(b.calls("d.example"), 403, "target_denied")
    assert questions == []
    assert counted.connections == 0
    assert b.calls("a.example").status == 200


@pytest.mark.case("SEED-021")
def test_a_remote_is_discovered_once_and_before_any_connection(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    with federation.names.silent(), connections_from(a.site.host, b.site.host) as counted:
        refused(a.calls(b.domain), 503, "discovery_unavailable")
    assert counted.connections == 0
    restart_federator(a)
    with federation.names.watching(a.site.host) as questions:
        assert a.calls(b.domain).status == 200
        assert a.calls(b.domain).status == 200
    srv = [each for each in questions if each.kind == "SRV"]
    assert [each.name for each in srv] == [federation.names.srv(b.domain)]
    assert questions[0].kind == "SRV"


@pytest.mark.case("SEED-005")
def test_a_backend_is_reached_at_its_infra_domain_and_proves_that_name(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    with federation.names.watching(a.site.host) as questions, b.inward.watching() as seen:
        assert a.calls(b.domain).status == 200
    where = f"{b.site.host.ipv4}:{PORT}"
    assert set(peers_of(a.site.host)) == {where}
    assert {each.name for each in questions if each.kind in ("A", "AAAA")} == {b.infra}
    assert a.infra in dns_names(a.leaf)
    assert len(of_directory(seen)) == 1
    with a.connect(b) as connection:
        assert b.infra in dns_names(connection.server_leaf)


@pytest.mark.case("SEED-022", "SEED-034", "SEED-036", "SEED-023")
def test_the_channel_is_mutual_and_the_request_is_ours(federation: Federation) -> None:
    a, b = federation.a, federation.b
    body = b'{"handle":  "alice"}'
    with tapped(federation, a, b) as tap:
        answer = a.calls(b.domain, body=body, more=[(REQUEST_ID, "4b2d9ad2-5f0e-4b57-9f2a-0c8a5a3f5d11")])
        assert answer.status == 200, answer
    (session,) = [each for each in tap.sessions if of_directory(each.requests)]
    assert (session.version, session.sni, session.reused) == ("TLSv1.3", b.infra, False)
    assert session.chain == x509.load_pem_x509_certificates(a.credential.chain)
    assert a.infra in dns_names(session.chain[0])
    (request,) = of_directory(session.requests)
    assert (request.method, request.path, request.body) == ("POST", "/federation/directory/get-user-by-handle", body)
    assert request.header(ORIGIN) == a.domain
    assert request.header(API_VERSION) == "0"
    assert request.header(REQUEST_ID) == "4b2d9ad2-5f0e-4b57-9f2a-0c8a5a3f5d11"


@pytest.mark.case("SEED-022")
def test_the_name_of_the_server_is_checked_before_a_byte_of_the_request_is_written(federation: Federation) -> None:
    a, b = federation.a, federation.b
    stranger = b.forged(names=("other.b.example",), usages=serving())
    with tapped(federation, a, b, leaf=stranger) as tap:
        refused(a.calls(b.domain), 502, "remote_identity_mismatch")
    assert [session.sent for session in tap.sessions] == [b""] * len(tap.sessions)


@pytest.mark.case("SEED-024")
def test_each_component_gets_the_answer_to_its_own_call(federation: Federation) -> None:
    a, b = federation.a, federation.b
    answered = b.component().answers
    with ThreadPoolExecutor() as pool:
        found, missed = (
            pool.submit(a.calls, b.domain, body=b'{"handle":"%s"}' % handle) for handle in (b"alice", b"nobody-here")
        )
        one, two = found.result(20), missed.result(20)
    assert one.status == 200
    assert one.header("Content-Type") == "application/json"
    assert any(one.body in raw for raw in answered.values()), "the body is not what the component of B wrote"
    refused(two, 502, "remote_error")
    nested = two.json["remote"]
    assert (nested["status"], nested["code"]) == (404, "not_found")
    assert nested["request_id"]
    assert b"Alice" not in two.body


@pytest.mark.case("SEED-031")
def test_a_component_names_domain_component_and_call(federation: Federation) -> None:
    a, b = federation.a, federation.b
    calls = {
        ("b..example", "directory", "get-user-by-handle"): (400, "malformed_request", "domain"),
        ("B.example", "directory", "get-user-by-handle"): (400, "malformed_request", "domain"),
        (b.domain, "nothing", "get-user-by-handle"): (404, "route_not_found", "component"),
        (b.domain, "directory", "Get_User"): (404, "route_not_found", "rpc"),
    }
    for call, (status, code, reason) in calls.items():
        with federation.names.watching(a.site.host) as questions, refusing(a, reason):
            refused(a.calls(*call), status, code)
        assert questions == []
    assert a.calls(b.domain).status == 200
    data = request("POST", "/rpc/b.example/directory/get-user-by-handle", headers=[("Host", "x")], body=b"{}")
    others = [
        a.component().path,
        a.inward.path,
        a.site.places.control,
        a.site.host.path("/var/lib/isthmus/server.sock"),
    ]
    assert [over_socket(path, data).status for path in others] == [401, 403, 404, 404]


@pytest.mark.case("SEED-032")
def test_the_question_is_service_protocol_and_domain(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    with federation.names.watching(a.site.host) as questions:
        assert a.calls(b.domain).status == 200
    srv = [each for each in questions if each.kind == "SRV"]
    assert [each.name for each in srv] == ["_isthmus-federator._tcp.b.example"]
    assert {each.kind for each in questions} <= {"SRV", "A", "AAAA"}
    other = "_wire-server-federator._tcp.b.example"
    record = federation.names.script[question(federation, b)]
    try:
        with federation.names.saying(f"{other} SRV", *record), federation.names.watching(a.site.host) as questions:
            change(a, service="wire-server-federator")
            restart_federator(a)
            assert a.calls(b.domain).status == 200
        assert {each.name for each in questions if each.kind == "SRV" and b.domain in each.name} == {other}
    finally:
        change(a, service="isthmus-federator")
        restart_federator(a)


def change(party: Party, **fields: str) -> None:
    """`isthmus federation set …`."""
    tag = party.api.get("/federation").raise_for_status().headers["ETag"]
    party.api.patch("/federation", json=fields, headers={"If-Match": tag}).raise_for_status()


@pytest.mark.case("SEED-033")
def test_target_and_port_decide_the_connection(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    assert a.calls(b.domain).status == 200
    assert set(peers_of(a.site.host)) == {f"{b.site.host.ipv4}:{PORT}"}
    closed = federation.lab.hosts.get("closed") or federation.lab.host("closed")
    records = [f"30 SRV 0 0 {PORT} infra2.b.example.", f"30 SRV 10 0 {PORT} {b.infra}."]
    names = federation.names
    try:
        with (
            names.saying("infra2.b.example A", Reply([f"30 A {closed.ipv4}"])),
            names.saying(question(federation, b), Reply(records)),
        ):
            restart_federator(a)
            with connections_from(a.site.host, closed) as counted:
                assert a.calls(b.domain).status == 200
            assert counted.connections >= 1
            assert set(peers_of(a.site.host)) == {f"{b.site.host.ipv4}:{PORT}"}
    finally:
        restart_federator(a)


@pytest.mark.case("SEED-045")
def test_the_answer_comes_back_on_the_session_of_the_request(federation: Federation) -> None:
    a, b = federation.a, federation.b
    restart_federator(a)
    with connections_from(a.site.host, b.site.host) as counted:
        assert a.calls(b.domain).status == 200
        ours = a.site.host.run(["ss", "-Htn", "state", "established", "dport", f"= :{PORT}"]).stdout.split()
        theirs = b.site.host.run(["ss", "-Htn", "state", "established", "sport", f"= :{PORT}"]).stdout.splitlines()
    assert counted.connections == 1
    here, there = ours[2], ours[3]
    assert [there, here] in [line.split()[2:4] for line in theirs]
    with tapped(federation, a, b) as tap:
        answer = a.calls(b.domain)
        assert answer.status == 200
    (session,) = [each for each in tap.sessions if of_directory(each.requests)]
    assert len(of_directory(session.requests)) == 1
    assert answer.body in session.answered


def test_a_user_of_a_asks_for_alice_at_b(federation: Federation) -> None:
    a, b = federation.a, federation.b
    found = a.lookup(f"alice@{b.domain}")
    assert found.status_code == 200, found.text
    assert (found.json()["handle"], found.json()["domain"]) == ("alice", b.domain)
    assert a.site.asked("user", "lookup", f"alice@{b.domain}") == found.json()


def test_one_request_id_links_the_logs_of_both_servers_and_both_federators(federation: Federation) -> None:
    a, b = federation.a, federation.b
    answer = a.lookup(f"alice@{b.domain}")
    request_id = answer.headers["X-Request-Id"]
    for party in (a, b):
        for process in ("server", "federator"):
            wait_until(partial(is_in_log, party, process, request_id), within=10.0, what=f"{process} of {party}")


def is_in_log(party: Party, process: str, text: str) -> bool:
    return any(text in line for line in party.site.log_of(process))
