"""Calls between two organisations over their bridge: the grant that lets one through, and each way to be refused."""

import ssl
from collections.abc import Iterator
from functools import partial

import pytest
from cryptography import x509

from isthmus.server.application import kinds
from lab.alliance import WITHIN, Alliance
from lab.meeting import second_infra
from lab.organisation import PORT as INGRESS_PORT
from lab.waiting import wait_until
from tests.bridging.calls import asks, connect, line_of, through_the_federator, wanted
from tests.federation.checks import refused
from tests.federation.party import Party, Row
from tests.federation.wire import Answer

OK = 200


@pytest.fixture(autouse=True)
def bridge(alliance: Alliance) -> str:
    joined = alliance.join()
    # A bridge is effective before the ingress and the Federator of each side have followed.
    wait_until(lambda: can_connect(alliance), within=WITHIN, what="the ingress of A inside the network")
    return joined


def can_connect(alliance: Alliance) -> bool:
    try:
        alliance.app.host.connect(alliance.a.home.ipv6, INGRESS_PORT, timeout=1.0).close()
    except OSError:
        return False
    return True


@pytest.fixture
def sample(alliance: Alliance) -> Iterator[tuple[str, str]]:
    """The grant of the seed: one skill, to read and to migrate, for one instance over one network from one prefix."""
    wide = {"scopes": ["read", "migrate"], "expires_at": alliance.soon(30 * 86_400)}
    with alliance.granted("skill", "skill-x", **wide) as made:
        yield made


def skill(alliance: Alliance, name: str = "skill-x") -> bytes:
    return wanted(alliance, "skill", name)


def rows_of(alliance: Alliance, answer: Answer) -> list[Row]:
    """The audit rows of A for one request."""
    request_id = answer.json["request_id"] if answer.status != OK else answer.header("X-Request-Id")
    return [row for row in Party(alliance.a.site).audit() if row["request_id"] == request_id]


def row_of(alliance: Alliance, answer: Answer) -> Row:
    wait_until(lambda: rows_of(alliance, answer), within=WITHIN, what="the audit row")
    (row,) = rows_of(alliance, answer)
    return row


@pytest.mark.case("SEED-141", "SEED-142", "SEED-144", "SEED-148", "SEED-149")
def test_the_sample_grant_lets_its_one_caller_through_and_nobody_else(
    alliance: Alliance, sample: tuple[str, str]
) -> None:
    _, token = sample
    app, other = alliance.app, alliance.b.hosts["other"]
    answer = asks(alliance, app, token, body=skill(alliance))
    assert answer.status == OK, answer
    assert answer.json["fields"] == {"title": "how to move"}
    row = row_of(alliance, answer)
    assert (row["outcome"], row["facts"]["source"]) == ("done", app.ipv6)
    # Another instance, from its own host.
    denied = refused(asks(alliance, other, token, body=skill(alliance)), 403, "axis_denied").json
    assert (denied["axis"], denied["supplied"]) == ("instance", alliance.instances["other"])
    assert denied["allowed"] == [alliance.instances["app"]]
    # The right instance over the internet is at another network, and this one comes first.
    denied = refused(asks(alliance, app, token, body=skill(alliance), wan=True), 403, "axis_denied").json
    assert denied["axis"] == "network"
    # From outside the prefix, which is the one of the seed here.
    with alliance.granted("skill", "skill-x", scopes=["read", "migrate"], sources=["fd00:abcd:1234::/48"]) as (_, far):
        denied = refused(asks(alliance, app, far, body=skill(alliance)), 403, "axis_denied").json
        assert (denied["axis"], denied["supplied"]) == ("source", app.ipv6)
        assert denied["allowed"] == ["fd00:abcd:1234::/48"]
    # Another resource is none of its business.
    refused(asks(alliance, app, token, body=skill(alliance, "skill-y")), 403, "grant_resource_mismatch")


def test_its_own_federator_finds_the_way_over_the_bridge(alliance: Alliance) -> None:
    with alliance.granted(instances=None) as (_, token):
        answer = through_the_federator(alliance, token)
        assert answer.status == OK, answer
        assert answer.json["id"] == alliance.service("wiki")["id"]


def test_kinds_has_no_skill_by_itself() -> None:
    assert "skill" not in kinds.Kinds().providers


@pytest.mark.case("HDR-001", "HDR-005")
def test_headers_of_the_callers_own_change_nothing(alliance: Alliance) -> None:
    app, other = alliance.app, alliance.b.hosts["other"]
    forged = [
        ("X-Calling-Instance", alliance.instances["app"]),
        ("X-Sdwan-Network", alliance.a.network_id),
        ("X-SSL-Certificate", "-"),
        ("Client-Cert", ":AAAA:"),
        ("X-Forwarded-Tls-Client-Cert", "AAAA"),
        ("X-Forwarded-Client-Cert", "By=a"),
        ("X-Forwarded-For", f"{app.ipv6}, {app.ipv6}"),
        ("X-Forwarded-For", app.ipv6),
        ("Forwarded", f'for="[{app.ipv6}]"'),
        ("X-Real-IP", app.ipv6),
    ]
    with alliance.granted(sources=[f"{app.ipv6}/128"], instances=None) as (_, token):
        clean, dressed = (asks(alliance, app, token, more=more) for more in ([], forged))
        assert (clean.status, clean.body) == (dressed.status, dressed.body) == (OK, clean.body)
        for more in ([], forged):
            denied = refused(asks(alliance, other, token, more=more), 403, "axis_denied").json
            assert (denied["axis"], denied["supplied"]) == ("source", other.ipv6)
    found = alliance.a.api.get("/findings").raise_for_status().json()["items"]
    assert [each["domain"] for each in found if each["kind"] == "trust_header_presented"] == [alliance.b.domain]


@pytest.mark.case("SEED-132", "SEED-133")
def test_a_call_over_a_bridge_that_is_not_active_is_refused_on_a_connection_that_was_open(alliance: Alliance) -> None:
    with alliance.granted(instances=None, networks=None, sources=None) as (_, token):
        line = line_of(alliance, "get", wanted(alliance), [("Authorization", f"Bearer {token}")])
        with connect(alliance, alliance.app) as connection:
            assert connection.ask(line).status == OK
            # A's gateway drops the packets too, so the refusal is looked for from A's own host, inside the network.
            alliance.act(alliance.a, "suspend")
            wait_until(lambda: not can_connect(alliance), within=WITHIN, what="the listener to be out of reach")
        alliance.act(alliance.a, "resume")
        wait_until(lambda: can_connect(alliance), within=WITHIN, what="the ingress of A inside the network")
        assert asks(alliance, alliance.app, token).status == OK


@pytest.mark.case("SEED-007")
def test_a_backend_that_moves_to_another_infra_domain_keeps_bridge_grant_and_identity(
    alliance: Alliance, bridge: str
) -> None:
    a, b = alliance.sides
    first, second = a.site.infra, second_infra(a.site)
    federator = next(each["id"] for each in instances(alliance) if each["name"] == "federator")
    with alliance.granted(instances=[federator]) as (grant, token):
        assert through_the_federator(alliance, token).status == OK
        known = b.site.remote(a.site)
        try:
            moves(alliance, second, [second])
            answer = wait_until(partial(answered, alliance, token), within=WITHIN, what="an answer from there")
            assert answer is not None
            assert answer.json["owner"] == a.domain
        finally:
            moves(alliance, first, [first, second])
        wait_until(partial(answered, alliance, token), within=WITHIN, what="an answer from there")
        now = b.site.remote(a.site)
        assert known is not None
        assert now is not None
        assert (now["id"], now["generation"]) == (known["id"], known["generation"])
        assert [(alliance.bridge(side) or {})["id"] for side in alliance.sides] == [bridge, bridge]
        assert a.api.get(f"/grants/{grant}").raise_for_status().json()["state"] == "live"


def moves(alliance: Alliance, infra: str, names: list[str]) -> None:
    """A is reached at `infra` from now on, proves `names`, and B has nothing of before in its memory."""
    a, b = alliance.sides
    tag = a.api.get("/federation").raise_for_status().headers["ETag"]
    a.api.patch("/federation", json={"infra_domains": names}, headers={"If-Match": tag}).raise_for_status()
    alliance.names.forget(f"{a.site.infra} A")
    alliance.names.publish(a.domain, infra, [a.site.host.ipv4], INGRESS_PORT)
    wait_until(lambda: proves(alliance, names), within=WITHIN, what=f"the ingress of A to prove {names}")
    b.site.restart("federator")
    wait_until(b.site.places.outward.is_socket, within=WITHIN, what="the Federator of B")


def answered(alliance: Alliance, token: str) -> Answer | None:
    """What B's own Federator gets for its grant, once it gets it."""
    answer = through_the_federator(alliance, token)
    return answer if answer.status == OK else None


def proves(alliance: Alliance, names: list[str]) -> bool:
    try:
        with connect(alliance, alliance.app, wan=True, sni=names[0]) as connection:
            leaf = connection.server_leaf
    except ssl.SSLError:
        return False
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName)) == sorted(names)


def instances(alliance: Alliance) -> list[Row]:
    found: list[Row] = alliance.b.api.get("/instances").raise_for_status().json()["items"]
    return found
