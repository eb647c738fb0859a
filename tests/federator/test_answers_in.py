"""What of a remote's answer gets to the component: bounded, of the right type, and nothing that nobody asked for."""

import asyncio
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from isthmus.protocol.federation import MOST_RESPONSE
from tests.federator.abroad import Answers, Ingress, a_problem, a_real_authority, a_server_leaf, an_answer
from tests.federator.home import Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNK = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
MOST_MEMORY = 16 * 1024 * 1024
BUDGET = 10.0
ODD = (
    "Connection: keep-alive", "Keep-Alive: timeout=5", "Content-Length: 7", "Set-Cookie: a=b", "X-Calling-Instance: c",
    "X-Sdwan-Network: d", "X-Forwarded-For: e", "Isthmus-Context: f", "Isthmus-Origin-Domain: c.example", "Trailer: g",
    "Location: /h", "Server: i",
)  # fmt: skip


def always(answer: bytes | None) -> Answers:
    return lambda asked: answer


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.case("OUT-006")
async def test_the_answer_is_bounded_typed_and_filtered(home: Home, b: Ingress, memory: None) -> None:
    assert (await home.call()).status == 200
    too_large = b'"' + b"x" * (MOST_RESPONSE - 1) + b'"'
    bad = {
        "1 MiB + 1 byte": (an_answer(200, too_large), None, "remote_response_too_large"),
        "an endless body": (None, (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CHUNK), "remote_response_too_large"),
        "endless headers": (None, (HEAD, b"X-Filler: " + b"y" * 1000 + b"\r\n"), "remote_protocol_error"),
        "html": (an_answer(200, b"<html></html>", "text/html"), None, "remote_protocol_error"),
    }
    for name, (whole, without_end, code) in bad.items():
        b.answer, b.without_end = always(whole), without_end
        began = time.monotonic()
        tracemalloc.reset_peak()
        answer = await home.call()
        assert (answer.status, answer.code) == (502, code), name
        assert time.monotonic() - began < BUDGET
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY

    handshakes = b.handshakes
    b.without_end = None
    b.answer = lambda asked: an_answer(200, b'"first"', "application/json", *ODD)
    answer = await home.call()
    assert (answer.status, answer.body) == (200, b'"first"')
    given = {name.lower() for name in answer.headers}
    assert given == {"content-type", "content-length", "cache-control", "x-request-id", "date", "server"}
    assert answer.headers["Server"] != "i"
    b.answer = lambda asked: an_answer(200, b'"second"')
    assert (await home.call()).body == b'"second"'
    # It came over the connection of the answer before.
    assert b.handshakes == handshakes


LONG = "they said:\r\n\x1b[31m" + "x" * 5000
NOES = {
    401: ("remote_rejected_us", "signature_required"),
    403: ("remote_rejected_us", "remote_suspended"),
    404: ("remote_error", "not_found"),
    429: ("remote_error", "rate_limited"),
    500: ("remote_error", "internal"),
}


@pytest.mark.case("OUT-007")
async def test_a_refusal_of_the_remote_is_told_apart_from_our_own_faults(home: Home, b_authority: Forged) -> None:
    stranger = a_real_authority("C's CA")
    with Ingress(a_server_leaf(b_authority), stranger).alerting() as alerting:
        home.publish("b.example", alerting)
        home.know(an_entry(b_authority), ports=[alerting.port])
        answer = await home.call()
        assert (answer.status, answer.code) == (502, "remote_rejected_us")
        row = await home.one_row("answer.alert")
        assert "alert" in row.facts["what"]
    async with Ingress(a_server_leaf(b_authority), home.authority).running() as b:
        home.publish("b.example", b)
        home.outward.lookups.forget()
        home.know(an_entry(b_authority), ports=[b.port])
        for status, (code, theirs) in NOES.items():
            said = a_problem(status, theirs, request_id=f"r-{status}", detail=LONG, supplied="more", axis="network")
            b.answer = always(said)
            answer = await home.call()
            assert (answer.status, answer.code, answer.problem["stage"]) == (502, code, "remote")
            assert answer.problem["remote"] == {"status": status, "code": theirs, "request_id": f"r-{status}"}
            assert b"they said" not in answer.body
            row = await home.one_row(f"remote.{theirs}")
            detail = row.facts["remote_detail"]
            assert detail.startswith("they said:\\r\\n\\x1b[31mxxx")
            assert len(detail) < 1000


async def test_what_an_operator_needs_for_the_triage_of_a_grant_comes_along(home: Home, b: Ingress) -> None:
    said = a_problem(
        403, "axis_denied", axis="source", supplied="192.0.2.9", allowed=["192.0.2.0/29", 7, "x\ny"], allowed_total=2
    )
    b.answer = lambda asked: said
    nested = (await home.call()).problem["remote"]
    assert nested == {
        "status": 403, "code": "axis_denied", "axis": "source", "supplied": "192.0.2.9", "allowed": ["192.0.2.0/29"],
        "allowed_total": 2,
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"{", b"\xff", b"[" * 100_000, b'{"code":["x"]}'])
async def test_a_problem_that_is_none_leaves_its_status(home: Home, b: Ingress, body: bytes) -> None:
    b.answer = lambda asked: an_answer(500, body, "application/problem+json")
    answer = await home.call()
    assert (answer.code, answer.problem["remote"]) == ("remote_error", {"status": 500})


async def test_one_slow_remote_does_not_hold_up_another(home: Home, b: Ingress, b_authority: Forged) -> None:
    c_authority = a_real_authority("C's CA")
    leaf = a_server_leaf(c_authority, "infra.c.example", "c.example")
    async with Ingress(leaf, home.authority, "127.0.0.4").running() as c:
        home.publish("c.example", c)
        home.know(an_entry(b_authority), an_entry(c_authority, "c.example"), ports=[b.port, c.port])
        b.silent = True
        slow = [asyncio.create_task(home.call(headers={"Isthmus-Call-Seconds": "2"})) for _ in range(60)]
        await asyncio.sleep(0.2)
        assert (await home.call("/rpc/c.example/directory/get-user-by-handle")).status == 200
        assert not all(task.done() for task in slow)
        codes = {answer.code for answer in await asyncio.gather(*slow)}
        assert codes <= {"remote_timeout", "overloaded", "remote_backoff"}
