"""What DNS says of remotes: believed within what was agreed, told apart where it fails, never asked for strangers."""

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from isthmus.protocol.federation import ORIGIN
from lab.names_server import Reply
from lab.organisation import PORT
from lab.waiting import wait_until
from tests.federation import named
from tests.federation.checks import clean_request, no_component_call, no_state_change, refused, refusing
from tests.federation.counting import connections_from
from tests.federation.federation import Federation
from tests.federation.loner import DATABASE_HOST, Loner
from tests.federation.party import Party
from tests.federation.planting import restart_federator
from tests.federation.wire import NoAnswer

STRANGERS = 10_000
CLIENTS = 4
COUNT_SECONDS = 30.0


@contextmanager
def dns_saying(federation: Federation, party: Party, other: Party, *names: str) -> Iterator[None]:
    """These infra domains for `other`, to a Federator of `party` that remembers nothing of before."""
    question = f"{federation.names.srv(other.domain)} SRV"
    with federation.names.saying(question, Reply([f"30 SRV 0 0 {PORT} {name}." for name in names])):
        restart_federator(party)
        yield


@pytest.mark.case("DNS-001")
def test_a_lying_record_does_not_make_a_stranger_the_origin(federation: Federation) -> None:
    a, b, _ = federation.parties
    began = b.last_row()
    named.lying_dns_does_not_widen_the_pin(federation)
    try:
        with dns_saying(federation, b, a, f"dev.{a.domain}"):
            with connections_from(b.site.host, a.site.host) as counted, refusing(b, "infra_unpinned"):
                refused(b.calls(a.domain), 403, "target_denied")
            assert counted.connections == 0
    finally:
        restart_federator(b)
    assert b.calls(a.domain).status == 200
    found = [each for each in b.api.get("/findings").raise_for_status().json()["items"] if each["domain"] == a.domain]
    (incident,) = [each for each in found if each["kind"] == "infra_domain_changed"]
    assert f"dev.{a.domain}" in json.dumps(incident["evidence"])
    assert [row["reason"] for row in b.denials(began)] == ["infra_unpinned"] * 2


@pytest.mark.case("DNS-002")
def test_dns_may_narrow_what_is_pinned(federation: Federation) -> None:
    a, b, _ = federation.parties
    first, second = a.infra, f"infra2.{a.domain}"
    leaves = {name: a.forged(names=(name,)) for name in (first, second)}
    assert b.api.get(f"/remotes/{a.domain}").json()["infra_domains"] == [first, second]
    try:
        with dns_saying(federation, b, a, second):
            with refusing(b, "infra_domain_mismatch"):
                refused(a.asks(b, credential=leaves[first]), 403, "infra_domain_mismatch")
            assert a.asks(b, credential=leaves[second]).status == 200
        with dns_saying(federation, b, a, first, second):
            assert [a.asks(b, credential=leaf).status for leaf in leaves.values()] == [200, 200]
    finally:
        restart_federator(b)
    clean_request(a, b)


FORBIDDEN = {
    "A 127.0.0.1": "loopback",
    "AAAA ::1": "loopback",
    "A 169.254.169.254": "metadata",
    "A 0.0.0.0": "unspecified",
    f"A {DATABASE_HOST}": "own_host",
}


@pytest.mark.case("DNS-003")
def test_targets_at_forbidden_addresses_are_not_dialled(loner: Loner) -> None:
    domains = {f"forbidden{number}.example": record for number, record in enumerate(FORBIDDEN)}
    ports = {domain: loner.port() for domain in domains}
    for domain, record in domains.items():
        loner.say(domain, f"0 0 {ports[domain]} infra.{domain}.")
        loner.names.say(f"infra.{domain} {record.partition(' ')[0]}", Reply([f"30 {record}"]))
    public, port = "public.example", loner.port()
    loner.publish(public, port)
    loner.list(*domains, public)
    loner.refuses(
        {
            domain: (403, "target_address_forbidden", f"address.{FORBIDDEN[record]}")
            for domain, record in domains.items()
        },
        ports=list(ports.values()),
    )
    with loner.stand(public, port):
        assert loner.party.calls(public).status == 200


UNCERTAIN = {
    "servfail.example": {"rcode": "SERVFAIL"},
    "timeout.example": {"how": "silence"},
    "wrong-id.example": {"how": "wrong-id"},
    "truncated.example": {"how": "truncated-no-tcp"},
}
FINAL = {"nxdomain.example": {"rcode": "NXDOMAIN"}, "empty.example": {}}


@pytest.mark.case("DNS-005")
def test_transient_and_final_answers_are_told_apart(loner: Loner) -> None:
    port, good = loner.port(), "good.example"
    for domain, how in FINAL.items():
        loner.say(domain, **how)
    for domain, how in UNCERTAIN.items():
        # It would be the right record, if only it came in a way that counts.
        loner.say(domain, *([] if "rcode" in how else [f"0 0 {port} infra.{domain}."]), **how)
    loner.publish(good, port)
    loner.list(*FINAL, *UNCERTAIN, good)
    final = dict.fromkeys(FINAL, (422, "discovery_no_service", "discovery.empty"))
    transient = dict.fromkeys(UNCERTAIN, (503, "discovery_unavailable", "discovery.failed"))
    answers = loner.refuses({**final, **transient}, ports=[port]).answers
    for domain, answer in answers.items():
        assert answer.json["retryable"] is (domain in UNCERTAIN), domain
    assert all(int(answers[domain].header("Retry-After") or 0) > 0 for domain in UNCERTAIN)
    with loner.stand(good, port):
        assert loner.party.calls(good).status == 200


@pytest.mark.case("DNS-007")
def test_odd_targets_and_ports_are_refused(loner: Loner) -> None:
    port, beside, ordinary = loner.port(), "beside.example", "ordinary.example"
    alias = "alias.example"
    loner.names.say(f"infra.{alias} A", Reply(["30 CNAME host.example.", f"host.example. 30 A {loner.host.ipv4}"]))
    odd = {
        "dot.example": ("0 0 0 .", 422, "discovery_no_service", "discovery.dot"),
        alias: (f"0 0 {port} infra.{alias}.", 403, "target_denied", "target.alias"),
        "label.example": (f"0 0 {port} infra.", 403, "target_denied", "target.name"),
        "text.example": (f"0 0 {port} {loner.host.ipv4}.", 403, "target_denied", "target.name"),
        **{
            f"port{number}.example": (f"0 0 {number} infra.port{number}.example.", 403, "target_denied", "target.port")
            for number in (22, 25, 5432)
        },
    }
    for domain, (record, *_) in odd.items():
        loner.say(domain, record)
    good = loner.port()
    loner.publish(ordinary, good)
    loner.publish(beside, good)
    loner.say(beside, f"0 0 {port} .", f"10 0 {good} infra.{beside}.")
    loner.list(*odd, beside, ordinary)
    loner.refuses({domain: (status, code, why) for domain, (_, status, code, why) in odd.items()}, [22, 25, 5432, port])
    with loner.stand(ordinary, good):
        assert loner.party.calls(ordinary).status == 200
    with loner.stand(beside, good) as stand, loner.dialling([port]) as counted:
        assert loner.party.calls(beside).status == 200
    assert (len(stand.asked), counted.connections) == (1, 0)


def knock(party: Party, other: Party, numbers: range) -> set[tuple[int, str]]:
    """As many requests, each with another origin that nobody lists; what they were answered."""
    found, left = set(), list(numbers)
    while left:
        # An ingress that takes up a new configuration closes connections between two requests.
        with party.connect(other) as connection, contextlib.suppress(NoAnswer):
            while left:
                origin = f"stranger{left[-1]}.example"
                answer = connection.ask(party.request(other, changed={ORIGIN: origin}))
                found.add((answer.status, answer.json["code"]))
                left.pop()
    return found


@pytest.mark.case("DNS-008")
def test_strangers_cause_no_lookups(federation: Federation) -> None:
    b, c = federation.b, federation.c
    restart_federator(b)
    before, share = b.last_row(), STRANGERS // CLIENTS
    with (
        federation.names.watching(b.site.host) as questions,
        no_state_change(b),
        no_component_call(b),
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        knocks = [pool.submit(knock, c, b, range(first, first + share)) for first in range(0, STRANGERS, share)]
        assert set().union(*(each.result(300) for each in knocks)) == {(403, "federation_denied")}
    strange = [each for each in questions if each.kind == "SRV" and "stranger" in each.name]
    assert strange == []
    assert {each.name for each in questions} <= {federation.names.srv(each.domain) for each in federation.parties} | {
        each.infra for each in federation.parties
    }

    def counted() -> bool:
        rows = b.denials(before)
        assert {row["reason"] for row in rows} == {"not_listed"}
        return sum(int(row["facts"].get("left_out", 1)) for row in rows) == STRANGERS

    wait_until(counted, within=COUNT_SECONDS, what="a row or a count for each")
    restart_federator(b)
    with federation.names.watching(b.site.host) as questions:
        clean_request(c, b)
    assert [each.name for each in questions if each.name == federation.names.srv(c.domain)] == [
        federation.names.srv(c.domain)
    ]
