"""Instances of this backend by REST and by agents, on a real server with real files and both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.domain.federation.bundle import Bundle
from isthmus.protocol.bundle import open_first
from isthmus.x509.chain import check_chain
from isthmus.x509.leaf import read_leaf, read_one_pem
from isthmus.x509.request import make_request, read_request
from lab.waiting import wait_until
from tests.api.agent import Agent, a_name, a_network, a_peer, enroll_body
from tests.server import Server, running
from tests.x509.forge import a_p256_key, a_weak_key
from tests.x509.test_request import a_request

FACTS = {"domain": "a.example", "infra_domains": ["infra.a.example"], "listen": "127.0.0.1:8443"}
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH.dotted_string
SOON = 20.0


@pytest.fixture(scope="module")
def own(either_server: Server) -> Server:
    with either_server.local() as local:
        assert local.get("/instances").json() == {"items": [], "next": None}
        refused = local.post("/instances", json={"name": "early", "csr": make_request()[1]})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert "isthmus federation init" in refused.json()["detail"]
        local.post("/federation/init", json=FACTS).raise_for_status()
    return either_server


@pytest.fixture
def local(own: Server) -> Iterator[httpx2.Client]:
    with own.local() as client:
        yield client


def issued(local: httpx2.Client, **fields: Any) -> Any:
    body = {"name": a_name("instance"), "csr": make_request()[1]} | fields
    return local.post("/instances", json=body).raise_for_status().json()


def listed(local: httpx2.Client, **query: Any) -> dict[str, Any]:
    items = local.get("/instances", params=query).raise_for_status().json()["items"]
    return {each["id"]: each for each in items}


def bundle_of(local: httpx2.Client) -> Bundle:
    return open_first(local.get("/certificates/bundle").json()["signed"])


def leaf_in(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain.encode())


def last_rows(local: httpx2.Client, action: str, subject: str) -> list[Any]:
    rows = local.get("/audit", params={"limit": 100}).json()["items"]
    return [row for row in rows if (row["action"], row["subject"]) == (action, subject)]


def test_the_record_decides_what_a_leaf_says_and_remotes_would_take_it(local: httpx2.Client) -> None:
    request = a_request(a_p256_key(), "admin.victim.example")
    made = issued(local, csr=request)
    leaf = leaf_in(made["chain"])
    assert leaf.public_key() == read_request(request)
    facts = read_leaf(read_one_pem(made["chain"]))
    assert facts.uris == (f"spiffe://a.example/instance/{made['id']}",)
    assert facts.dns_names == ("infra.a.example",)
    assert facts.usages == frozenset({CLIENT_AUTH})
    assert leaf.subject.rfc4514_string() == ""
    assert made["leaf"]["serial"] == f"{leaf.serial_number:x}"
    check_chain(read_one_pem(made["chain"]), bundle_of(local).authorities, leaf.not_valid_before_utc, CLIENT_AUTH)
    assert 86_400 <= facts.life.total_seconds() <= 86_400 + 600
    (row,) = last_rows(local, "instance.issue", made["id"])
    assert (row["outcome"], row["facts"]["serial"]) == ("done", made["leaf"]["serial"])


def test_our_own_processes_are_listed_with_those_that_were_asked_for(local: httpx2.Client) -> None:
    made = issued(local)
    instances = list(listed(local).values())
    assert [each["name"] for each in instances[:2]] == ["federator", "ingress"]
    assert {each["made_by"] for each in instances[:2]} == {"backend"}
    in_use = {each["id"] for each in local.get("/certificates").json()["items"] if each["use"] == "current"}
    assert {each["leaf"]["serial"] for each in instances[:2]} <= in_use
    assert made["id"] in listed(local)
    for each in instances[:2]:
        assert local.get(f"/instances/{each['id']}").json() == each
        refused = local.post(f"/instances/{each['id']}/revoke", json={"reason": "x"})
        assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")


def test_a_bad_request_is_refused_and_leaves_nothing_behind(local: httpx2.Client) -> None:
    before = listed(local, revoked=True)
    for csr in ("", "please", a_request(a_weak_key()), make_request()[1] + "\n" * 20_000):
        refused = local.post("/instances", json={"name": "bad", "csr": csr})
        assert (refused.status_code, refused.json()["code"]) == (422, "csr_invalid"), refused.text
    for fields in ({"lifetime": 599}, {"lifetime": 604_801}, {"name": "no dots.here"}, {"name": "X"}):
        refused = local.post("/instances", json={"name": "bad", "csr": make_request()[1]} | fields)
        assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed"), refused.text
    stranger = local.post("/instances", json={"name": "bad", "csr": make_request()[1], "peer": str(uuid4())})
    assert stranger.status_code == 404
    assert listed(local, revoked=True) == before


def test_a_name_is_given_once(local: httpx2.Client) -> None:
    made = issued(local)
    refused = local.post("/instances", json={"name": made["name"], "csr": make_request()[1]})
    assert refused.json()["errors"][0]["pointer"] == "/name"


def test_a_renewed_leaf_names_the_same_instance_and_the_old_one_stays_good(local: httpx2.Client) -> None:
    made = issued(local)
    path = f"/instances/{made['id']}/renew"
    again = local.post(path, json={"csr": make_request()[1], "lifetime": 3600}).raise_for_status().json()
    assert again["id"] == made["id"]
    assert again["leaf"]["uri"] == made["leaf"]["uri"]
    assert again["leaf"]["serial"] != made["leaf"]["serial"]
    assert listed(local)[made["id"]]["leaf"] == again["leaf"]
    assert int(made["leaf"]["serial"], 16) not in bundle_of(local).revoked
    assert len(last_rows(local, "instance.renew", made["id"])) == 1


def test_remotes_are_told_of_every_leaf_of_a_revoked_instance(local: httpx2.Client) -> None:
    made, other = issued(local), issued(local)
    again = local.post(f"/instances/{made['id']}/renew", json={"csr": make_request()[1]}).raise_for_status().json()
    before = bundle_of(local)
    done = local.post(f"/instances/{made['id']}/revoke", json={"reason": "the host was lost"}).raise_for_status()
    assert (done.json()["reason"], done.json()["leaf"]) == ("the host was lost", None)
    after = bundle_of(local)
    serials = {int(each["leaf"]["serial"], 16) for each in (made, again)}
    assert serials <= set(after.revoked)
    assert int(other["leaf"]["serial"], 16) not in after.revoked
    assert after.sequence > before.sequence
    assert made["id"] not in listed(local)
    assert listed(local, revoked=True)[made["id"]]["revoked_by"] == "local"
    for path, body in (("renew", {"csr": make_request()[1]}), ("revoke", {"reason": "again"})):
        refused = local.post(f"/instances/{made['id']}/{path}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
    # The name is free again, for an instance that is another one.
    assert issued(local, name=made["name"])["id"] != made["id"]
    (row,) = last_rows(local, "instance.revoke", made["id"])
    assert set(row["facts"]["serials"]) == {each["leaf"]["serial"] for each in (made, again)}


def test_only_administrators_issue_and_writers_may_revoke(own: Server, local: httpx2.Client) -> None:
    made = issued(local)
    with own.client(own.token("read", "write")) as writer:
        assert writer.post("/instances", json={"name": "x", "csr": make_request()[1]}).status_code == 403
        assert writer.post(f"/instances/{made['id']}/renew", json={"csr": make_request()[1]}).status_code == 403
        writer.post(f"/instances/{made['id']}/revoke", json={"reason": "lost"}).raise_for_status()


def test_an_instance_ends_with_the_peer_that_it_runs_on(local: httpx2.Client) -> None:
    network = a_network(local)
    peer = a_peer(local, network)["peer"]
    made, other = issued(local, peer=peer["id"]), issued(local)
    assert (made["peer"]["name"], made["network"]["name"]) == (peer["name"], network["name"])
    local.delete(f"/peers/{peer['id']}").raise_for_status()
    wait_until(lambda: made["id"] not in listed(local), within=SOON, what="the end of the instance")
    wait_until(
        lambda: int(made["leaf"]["serial"], 16) in bundle_of(local).revoked, within=SOON, what="a bundle that says so"
    )
    assert "peer" in listed(local, revoked=True)[made["id"]]["reason"]
    assert other["id"] in listed(local)


# ---- agents


def asks(agent: Agent, csr: str | None = None) -> httpx2.Response:
    with agent.client() as client:
        return client.post("/agent/instance", json={"csr": make_request()[1] if csr is None else csr})


def test_an_agent_gets_leaves_for_the_one_instance_of_its_host(own: Server, local: httpx2.Client) -> None:
    network = a_network(local)
    agent, other = [Agent.enrolled(own, a_peer(local, network)) for _ in range(2)]
    first, second, third = [asks(each).raise_for_status().json() for each in (agent, agent, other)]
    assert first["instance"] == second["instance"] != third["instance"]
    assert first["chain"] != second["chain"]
    shown = listed(local)[first["instance"]]
    assert (shown["made_by"], shown["peer"]["id"]) == ("agent", agent.peer_id)
    assert first["name"] == f"{shown['peer']['name']}.{network['name']}"
    assert read_leaf(read_one_pem(second["chain"])).uris == (f"spiffe://a.example/instance/{first['instance']}",)
    (row,) = last_rows(local, "instance.issue", first["instance"])
    assert row["actor"] == f"agent:{agent.peer_id}"


def broken_requests() -> Iterator[str]:
    """Text, a certificate, a request cut in half, and one whose signature is not by its key."""
    _, whole = make_request()
    yield "please"
    now = datetime.now(UTC)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
    made = (
        x509.CertificateBuilder().subject_name(named).issuer_name(named).public_key((key := a_p256_key()).public_key())
    )
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    yield made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()
    yield whole[: len(whole) // 2]
    der = bytearray(x509.load_pem_x509_csr(whole.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    yield x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


@pytest.mark.case("ENROL-009")
def test_a_request_that_is_not_whole_or_proves_no_key_costs_an_agent_nothing(own: Server, local: httpx2.Client) -> None:
    agent = Agent.enrolled(own, a_peer(local, a_network(local)))
    for csr in broken_requests():
        before, since = (
            listed(local, revoked=True),
            local.get("/audit", params={"limit": 1}).json()["items"][0]["number"],
        )
        refused = asks(agent, csr)
        assert (refused.status_code, refused.json()["code"]) == (422, "csr_invalid"), csr
        rows = [row for row in local.get("/audit", params={"limit": 9}).json()["items"] if row["number"] > since]
        assert [(row["actor"], row["outcome"], row["reason"]) for row in rows] == [
            (f"agent:{agent.peer_id}", "denied", "csr_invalid")
        ]
        assert listed(local, revoked=True) == before
    # The token still answers its own key, and a whole request is answered.
    with own.client() as client:
        body = enroll_body(agent.token, public_key=agent.public_key)
        agent.session = client.post("/agent/enroll", json=body).raise_for_status().json()["session_token"]
    assert asks(agent).raise_for_status().json()["instance"] in listed(local)


def test_nobody_gets_an_instance_without_a_session(own: Server) -> None:
    with own.client() as client:
        assert client.post("/agent/instance", json={"csr": make_request()[1]}).status_code == 401
    with own.client(own.token("read", "write", "admin")) as admin:
        assert admin.post("/agent/instance", json={"csr": make_request()[1]}).status_code == 401


def test_an_agent_whose_instance_was_revoked_gets_one_when_it_enrolls_anew(own: Server, local: httpx2.Client) -> None:
    created = a_peer(local, a_network(local))
    agent = Agent.enrolled(own, created)
    first = asks(agent).raise_for_status().json()
    local.post(f"/instances/{first['instance']}/revoke", json={"reason": "lost"}).raise_for_status()
    refused = asks(agent)
    assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
    assert "isthmus peer token" in refused.json()["hint"]
    token = local.post(f"/peers/{agent.peer_id}/enrollment-token").raise_for_status().json()
    again = Agent.enrolled(own, {"enrollment": token})
    second = asks(again).raise_for_status().json()
    assert second["instance"] != first["instance"]
    assert asks(agent).status_code == 401


def test_a_backend_without_a_domain_says_so_and_the_enrollment_stands(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running(tmp_path_factory.mktemp("bare")) as server, server.local() as local:
        agent = Agent.enrolled(server, a_peer(local, a_network(local)))
        refused = asks(agent)
        assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
        assert "federation" in refused.json()["detail"]
        assert agent.config().revision > 0
