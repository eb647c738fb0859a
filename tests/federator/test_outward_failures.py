"""Remotes that refuse, hang, garble or are somebody else: each ends in its own code, in time, with one audit row."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from isthmus.protocol.federation import MOST_RESPONSE
from lab.names_server import answers
from tests.federator.abroad import Ingress, a_problem, a_real_authority, a_server_leaf, an_answer, now_dates
from tests.federator.home import LOOKUP, Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import CLIENT, Forged, a_uri

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

CONFIRM = "/rpc/b.example/handshake/confirm"
KEY = {"Idempotency-Key": "k-1"}
BUDGET = {"Isthmus-Call-Seconds": "1"}


@contextlib.asynccontextmanager
async def plain_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server without TLS; its port."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def publish_port(home: Home, authority: Forged, port: int) -> None:
    home.names.say("_isthmus-federator._tcp.b.example SRV", *answers(f"60 SRV 0 0 {port} infra.b.example."))
    home.names.say("infra.b.example A", *answers("60 A 127.0.0.1"))
    home.know(an_entry(authority), ports=[port])


async def test_a_remote_that_takes_no_connection_is_refused(home: Home, b_authority: Forged) -> None:
    publish_port(home, b_authority, 9)
    assert (await home.call()).code == "remote_refused"
    await home.one_row("connect.refused")


async def test_a_remote_that_says_nothing_after_tcp_is_a_timeout(home: Home, b_authority: Forged) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with plain_server(silence) as port:
        publish_port(home, b_authority, port)
        began = time.monotonic()
        answer = await home.call(headers=BUDGET)
    assert (answer.status, answer.code) == (504, "remote_timeout")
    assert time.monotonic() - began < 5
    await home.one_row("connection.timeout")


async def test_a_remote_that_never_answers_is_a_timeout(home: Home, b: Ingress) -> None:
    b.silent = True
    answer = await home.call(headers=BUDGET)
    assert (answer.status, answer.code) == (504, "remote_timeout")
    row = await home.one_row("answer.timeout")
    assert row.facts["target"] == f"infra.b.example:{b.port}"


async def test_a_remote_that_speaks_no_tls_fails_the_handshake(home: Home, b_authority: Forged) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(1)
        writer.close()

    async with plain_server(babble) as port:
        publish_port(home, b_authority, port)
        assert (await home.call()).code == "remote_tls_failed"
    await home.one_row("tls.handshake")


async def test_a_remote_that_hangs_up_in_the_handshake_fails_it(home: Home, b_authority: Forged) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with plain_server(hang_up) as port:
        publish_port(home, b_authority, port)
        assert (await home.call()).code == "remote_tls_failed"
    await home.one_row("tls.cut")


def wrong_name(authority: Forged) -> Forged:
    return a_server_leaf(authority, "other.b.example")


def wildcard(authority: Forged) -> Forged:
    return a_server_leaf(authority, "*.b.example")


def common_name(authority: Forged) -> Forged:
    return a_server_leaf(authority, names=("other.b.example",), common_name="infra.b.example")


def other_issuer(authority: Forged) -> Forged:
    return a_server_leaf(a_real_authority("Somebody's CA"))


def same_issuer_name(authority: Forged) -> Forged:
    return a_server_leaf(a_real_authority("B's CA"))


def expired(authority: Forged) -> Forged:
    dates = now_dates()
    return a_server_leaf(authority, starts=dates["starts"] - timedelta(days=2), ends=dates["starts"])


def not_yet(authority: Forged) -> Forged:
    dates = now_dates()
    return a_server_leaf(authority, starts=dates["ends"], ends=dates["ends"] + timedelta(days=1))


def client_only(authority: Forged) -> Forged:
    return a_server_leaf(authority, usages=(CLIENT,))


def no_usage(authority: Forged) -> Forged:
    return a_server_leaf(authority, usages=None)


FOREIGN: dict[str, tuple[Callable[[Forged], Forged], str]] = {
    "another name": (wrong_name, "remote_identity_mismatch"),
    "a wildcard": (wildcard, "remote_identity_mismatch"),
    "the common name alone": (common_name, "remote_identity_mismatch"),
    "another issuer": (other_issuer, "remote_tls_failed"),
    "an issuer of the same name": (same_issuer_name, "remote_tls_failed"),
    "an expired leaf": (expired, "remote_tls_failed"),
    "a leaf of tomorrow": (not_yet, "remote_tls_failed"),
    "a client's leaf": (client_only, "remote_tls_failed"),
    "a leaf for any use": (no_usage, "remote_tls_failed"),
}


@pytest.mark.parametrize("which", FOREIGN)
async def test_not_one_byte_goes_to_whoever_is_not_the_remote(home: Home, b_authority: Forged, which: str) -> None:
    make, code = FOREIGN[which]
    async with Ingress(make(b_authority), home.authority).running() as ingress:
        home.publish("b.example", ingress)
        home.know(an_entry(b_authority), ports=[ingress.port])
        answer = await home.call()
        assert (answer.status, answer.code) == (502, code)
        assert ingress.received == 0
    rows = await home.rows()
    assert len(rows) == 1
    assert rows[0].facts["code"] == code


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"names": None}, "remote_identity_mismatch", "identity.san_missing"),
    "a common name for a name": (
        {"names": None, "common_name": "infra.b.example"}, "remote_identity_mismatch", "identity.san_missing"
    ),
    "a wildcard beside the name": (
        {"names": ("infra.b.example", "*.b.example")}, "remote_identity_mismatch", "identity.wildcard"
    ),
    "capitals": ({"names": ("infra.b.example", "B.EXAMPLE")}, "remote_identity_mismatch", "identity.dns_name"),
    "an instance of another backend": (
        {"uris": (a_uri("c.example"),)}, "remote_identity_mismatch", "identity.trust_domain"
    ),
    "two instances": ({"uris": (a_uri("b.example"),) * 2}, "remote_tls_failed", "tls.profile.uri_count"),
    "a foreign URI": ({"uris": ("https://b.example/",)}, "remote_tls_failed", "tls.profile.uri"),
    "a CA": ({"key_cert_sign": True}, "remote_tls_failed", "tls.profile.ca"),
    "a long life": (
        {"starts": now_dates()["starts"] - timedelta(days=101)}, "remote_tls_failed", "tls.profile.lifetime"
    ),
    "no usage stated": ({"usages": None}, "remote_tls_failed", "tls.profile.eku"),
    "no key usage": ({"has_key_usage": False}, "remote_tls_failed", "tls.profile.key_usage"),
}  # fmt: skip


@pytest.mark.parametrize("which", BROKEN)
async def test_a_server_whose_leaf_breaks_a_rule_of_the_profile_gets_nothing(
    home: Home, b_authority: Forged, which: str
) -> None:
    fields, code, reason = BROKEN[which]
    async with Ingress(a_server_leaf(b_authority, **fields), home.authority).running() as ingress:
        home.publish("b.example", ingress)
        home.know(an_entry(b_authority), ports=[ingress.port])
        answer = await home.call()
        assert (answer.status, answer.code, ingress.received) == (502, code, 0)
    assert (await home.one_row(reason)).facts["code"] == code


async def test_a_revoked_server_leaf_gets_nothing_even_on_an_open_connection(
    home: Home, b: Ingress, b_authority: Forged
) -> None:
    assert (await home.call()).status == 200
    received = b.received
    serial = f"{b.leaf.certificate.serial_number:x}"
    home.know(an_entry(b_authority, revoked_serials=[serial]), ports=[b.port])
    assert (await home.call()).code == "remote_tls_failed"
    assert b.received == received
    await home.one_row("tls.revoked")


GARBLED: dict[str, bytes] = {
    "html": an_answer(200, b"<html></html>", "text/html"),
    "no json": an_answer(200, b"{", "application/json"),
    "no http": b"hello\r\n\r\n",
    "two lengths": an_answer(200, b"{}", "application/json", "Content-Length: 3"),
    "length and chunks": an_answer(200, b"{}", "application/json", "Transfer-Encoding: chunked"),
    "two types": an_answer(200, b"{}", "application/json", "Content-Type: text/html"),
    "encoded": an_answer(200, b"{}", "application/json", "Content-Encoding: gzip"),
    "a redirect": an_answer(302, b"{}", "application/json", "Location: https://elsewhere.example/"),
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "hints without end": b"HTTP/1.1 103 Hint\r\n\r\n" * 50 + an_answer(),
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "one header without end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
}


@pytest.mark.parametrize("which", GARBLED)
async def test_what_is_no_plain_json_answer_is_a_protocol_error(home: Home, b: Ingress, which: str) -> None:
    b.answer = lambda asked: GARBLED[which]
    answer = await home.call(headers={"Isthmus-Call-Seconds": "5"})
    assert (answer.status, answer.code) == (502, "remote_protocol_error")
    assert len(await home.rows()) == 1


async def test_a_cut_answer_is_a_protocol_error(home: Home, b: Ingress) -> None:
    def cut(asked: Any) -> None:
        for writer in b._writers:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a')

    b.answer = cut
    assert (await home.call()).code == "remote_protocol_error"
    assert len(await home.rows()) == 1


@pytest.mark.parametrize("declared", [True, False])
async def test_an_answer_is_read_up_to_a_limit(home: Home, b: Ingress, declared: bool) -> None:
    body = b'"' + b"x" * (MOST_RESPONSE - 1) + b'"'
    assert len(body) == MOST_RESPONSE + 1
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % (b"x" * 0x10000) * 40
    b.answer = lambda asked: an_answer(200, body) if declared else chunked
    assert (await home.call()).code == "remote_response_too_large"
    await home.one_row("answer.too_large")


async def test_an_answer_of_just_the_limit_is_good(home: Home, b: Ingress) -> None:
    body = b'"' + b"x" * (MOST_RESPONSE - 2) + b'"'
    b.answer = lambda asked: an_answer(200, body)
    assert (await home.call()).body == body


async def test_what_comes_after_an_answer_is_no_answer_to_the_next_request(home: Home, b: Ingress) -> None:
    b.answer = lambda asked: an_answer(200, b'"first"') + an_answer(200, b'"forged"')
    assert (await home.call()).body == b'"first"'
    b.answer = lambda asked: an_answer(200, b'"second"')
    assert (await home.call()).body == b'"second"'
    assert b.handshakes == 2


async def test_what_comes_between_two_requests_is_no_answer_to_the_next(home: Home, b: Ingress) -> None:
    assert (await home.call()).status == 200
    for writer in b._writers:
        writer.write(an_answer(200, b'"forged"'))
    await asyncio.sleep(0.1)
    b.answer = lambda asked: an_answer(200, b'"true"')
    assert (await home.call()).body == b'"true"'


NOES = {
    401: ("remote_rejected_us", a_problem(401, "signature_required")),
    403: ("remote_rejected_us", a_problem(403, "federation_denied", detail="x" * 5000)),
    404: ("remote_error", a_problem(404, "not_found")),
    429: ("remote_error", a_problem(429, "rate_limited")),
    500: ("remote_error", a_problem(500, "internal", detail="secret\x1b[31m" + "x" * 5000, stack="…")),
    502: ("remote_error", an_answer(502, b"<html>", "text/html")),
}


@pytest.mark.parametrize("status", NOES)
async def test_a_no_is_told_apart_from_our_own_faults(home: Home, b: Ingress, status: int) -> None:
    code, said = NOES[status]
    b.answer = lambda asked: said
    answer = await home.call()
    assert (answer.status, answer.code) == (502, code)
    assert answer.problem["remote"]["status"] == status
    assert answer.problem["remote"].keys() <= {"status", "code", "request_id"}
    assert len(answer.body) < 1024
    (row,) = await home.rows()
    assert row.facts["remote_status"] == status
    assert "\x1b" not in str(row.facts)


async def test_an_alert_after_the_handshake_means_that_we_were_rejected(home: Home, b_authority: Forged) -> None:
    stranger = a_real_authority("C's CA")
    with Ingress(a_server_leaf(b_authority), stranger).alerting() as ingress:
        home.publish("b.example", ingress)
        home.know(an_entry(b_authority), ports=[ingress.port])
        answer = await home.call()
    assert (answer.status, answer.code) == (502, "remote_rejected_us")
    await home.one_row("answer.alert")


@pytest.mark.case("OUT-005")
async def test_a_mutation_is_never_sent_twice(home: Home, b_authority: Forged) -> None:
    leaf, second = a_server_leaf(b_authority), a_server_leaf(b_authority, "infra1.b.example")
    dying = Ingress(leaf, home.authority, answer=lambda asked: None)
    async with dying.running(), Ingress(second, home.authority, "127.0.0.2").running() as other:
        home.publish("b.example", dying, other)
        known = an_entry(b_authority, infra_domains=["infra.b.example", "infra1.b.example"])
        home.know(known, ports=[dying.port, other.port])
        answer = await home.call(CONFIRM, b'{"short_code":"x"}', KEY)
        assert (answer.status, len(dying.calls), other.connections + len(other.asked)) == (502, 1, 0)
        await home.one_row("answer.garbled")

        home.names.say("infra.b.example A", *answers("60 A 127.0.0.3"))
        home.outward.lookups.forget()
        home.outward.pool.close()
        answer = await home.call(CONFIRM, b'{"short_code":"x"}', KEY)
        assert (answer.status, len(dying.calls), len(other.calls)) == (200, 1, 1)
        assert other.calls[0].one("Idempotency-Key") == "k-1"


async def test_a_connection_that_died_while_it_rested_costs_a_question_nothing(home: Home, b: Ingress) -> None:
    assert (await home.call()).status == 200
    served = len(b.calls)
    # It takes the request and hangs up, as a server does that was about to close.
    b.answer = lambda asked: None if len(b.calls) == served + 1 else an_answer()
    assert (await home.call()).status == 200
    assert b.handshakes == 2


async def test_a_dead_target_is_passed_over_within_the_budget(home: Home, b_authority: Forged) -> None:
    second = a_server_leaf(b_authority, "infra1.b.example")
    async with Ingress(second, home.authority).running() as other:
        gone = Ingress(second, home.authority, "127.0.0.9", port=other.port)
        home.publish("b.example", gone, other)
        known = an_entry(b_authority, infra_domains=["infra.b.example", "infra1.b.example"])
        home.know(known, ports=[other.port])
        assert (await home.call(LOOKUP)).status == 200
        assert (await home.call(LOOKUP)).status == 200
        assert other.handshakes == 1
        assert await home.rows() == []
