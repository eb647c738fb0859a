"""A component calls a remote: the ordinary way, with real DNS, real sockets and real certificates."""

import asyncio
import json

import pytest

from lab.names_server import answers
from lab.waiting import wait_until
from tests.federator.abroad import Ingress, a_problem, an_answer
from tests.federator.home import ALICE, LOOKUP, Home
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home

pytestmark = pytest.mark.anyio
__all__ = ["anyio_backend", "b", "b_authority", "home"]

SRV = "_isthmus-federator._tcp.b.example SRV"


async def test_the_answer_comes_back_as_the_remote_gave_it(home: Home, b: Ingress) -> None:
    body = b'{"id":"x", "handle": "alice"}'
    b.answer = lambda asked: an_answer(200, body, "application/json", "Set-Cookie: a=b", "X-Calling-Instance: c")
    answer = await home.call()
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, body, "application/json")
    assert not {"Set-Cookie", "X-Calling-Instance"} & answer.headers.keys()
    assert await home.rows() == []


async def test_the_remote_gets_our_headers_and_the_very_body(home: Home, b: Ingress) -> None:
    forged = {
        "Isthmus-Origin-Domain": "c.example",
        "X-Calling-Instance": "me",
        "X-Sdwan-Network": "1",
        "X-Forwarded-For": "192.0.2.1",
        "Cookie": "a=b",
    }
    await home.call(headers=forged)
    (asked,) = b.calls
    assert asked.line == "POST /federation/directory/get-user-by-handle HTTP/1.1"
    assert asked.body == ALICE
    assert asked.one("Isthmus-Origin-Domain") == "a.example"
    assert asked.one("Isthmus-Api-Version") == "0"
    assert asked.one("Host") == f"infra.b.example:{b.port}"
    names = {name.lower() for name, _ in asked.headers}
    assert names == {
        "host", "isthmus-origin-domain", "isthmus-api-version", "x-request-id", "content-type", "content-length",
        "accept",
    }  # fmt: skip


async def test_the_session_is_tls_1_3_and_shows_our_leaf_to_the_srv_target(home: Home, b: Ingress) -> None:
    await home.call()
    assert home.leaf is not None
    assert (b.names, b.protocols, b.shown) == (["infra.b.example"], ["TLSv1.3"], [home.leaf.der])


async def test_a_warm_call_asks_no_dns_and_makes_no_handshake(home: Home, b: Ingress) -> None:
    for _ in range(5):
        assert (await home.call()).status == 200
    assert home.names.asked(SRV) == 1
    assert b.handshakes == 1


async def test_a_mutation_is_signed_and_carries_its_key(home: Home, b: Ingress) -> None:
    headers = {"Idempotency-Key": "k-1"}
    answer = await home.call("/rpc/b.example/handshake/confirm", b'{"short_code":"x"}', headers)
    assert answer.status == 200
    (asked,) = b.calls
    assert asked.one("Idempotency-Key") == "k-1"
    assert home.message_key.id in asked.one("Signature-Input")
    assert asked.one("Content-Digest").startswith("sha-256=")


async def test_a_no_of_the_remote_is_nested(home: Home, b: Ingress) -> None:
    b.answer = lambda asked: a_problem(404, "not_found", request_id="r-1", detail="nobody\nof that name")
    answer = await home.call()
    assert (answer.status, answer.code) == (502, "remote_error")
    assert answer.problem["remote"] == {"status": 404, "code": "not_found", "request_id": "r-1"}
    assert "nobody" not in answer.body.decode()
    row = await home.one_row("remote.not_found")
    assert row.facts["remote_detail"] == "nobody\\nof that name"


async def test_a_request_id_goes_all_the_way(home: Home, b: Ingress) -> None:
    given = "0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"
    answer = await home.call(headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given
    assert b.calls[0].one("X-Request-Id") == given
    assert json.loads(b.calls[0].body) == {"handle": "alice"}
    assert LOOKUP.endswith("get-user-by-handle")


@pytest.mark.case("SEED-021")
async def test_the_remote_is_discovered_once_and_before_any_connection(home: Home, b: Ingress) -> None:
    home.names.say(SRV, *answers(f"60 SRV 0 0 {b.port} infra.b.example.", delay=0.3))
    first = asyncio.create_task(home.call())
    await asyncio.to_thread(wait_until, lambda: home.names.asked(SRV), within=5, what="the question")
    assert b.handshakes == 0
    assert (await first).status == 200
    assert (await home.call()).status == 200
    assert [asked.name for asked in home.names.questions if asked.kind == "SRV"] == [
        "_isthmus-federator._tcp.b.example"
    ]


@pytest.mark.case("SEED-023")
async def test_the_request_is_sent_as_the_component_gave_it(home: Home, b: Ingress) -> None:
    body = b'{ "handle":\t"alice" }'
    assert (await home.call(LOOKUP, body)).status == 200
    (asked,) = b.calls
    assert asked.line == "POST /federation/directory/get-user-by-handle HTTP/1.1"
    assert (asked.all("Isthmus-Origin-Domain"), asked.all("Isthmus-Api-Version")) == (["a.example"], ["0"])
    assert asked.body == body


TRUST_HEADERS = (
    "X-Calling-Instance", "X-Sdwan-Network", "X-Forwarded-For", "X-Real-Ip", "Forwarded", "Isthmus-Context",
    "Isthmus-Ingress-Leaf", "Isthmus-Ingress-Secret", "X-Forwarded-Client-Cert", "Cookie", "Idempotency-Key",
    "Signature", "Signature-Input", "Content-Digest",
)  # fmt: skip


@pytest.mark.case("OUT-001")
@pytest.mark.parametrize("claims", [True, False])
async def test_we_state_our_own_domain_whatever_a_component_claims(home: Home, b: Ingress, claims: bool) -> None:
    forged = {"Isthmus-Origin-Domain": "c.example", **dict.fromkeys(TRUST_HEADERS, "forged")}
    assert (await home.call(headers=forged if claims else {})).status == 200
    for asked in b.asked:
        assert asked.all("Isthmus-Origin-Domain") == ["a.example"]
        assert not [name for name in TRUST_HEADERS if asked.all(name)]
        assert "forged" not in str(asked.headers)
