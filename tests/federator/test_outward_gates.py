"""What keeps a call from going out at all: form, allow list, patience, versions, our own certificate, room."""

import asyncio
import os
from datetime import timedelta
from typing import Any

import pytest

from isthmus.domain.federation.names import BackendDomain
from isthmus.protocol.federator import Credential
from lab.names_server import answers
from tests.federator.abroad import VERSIONS, Asked, Ingress, a_problem, a_server_leaf, an_answer
from tests.federator.home import ALICE, LOOKUP, Home, an_entry
from tests.federator.outward_fixtures import anyio_backend, b, b_authority, home
from tests.x509.forge import Forged

__all__ = ["anyio_backend", "b", "b_authority", "home"]
pytestmark = pytest.mark.anyio

CONFIRM = "/rpc/b.example/handshake/confirm"

BAD_FORM: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "an upper-case domain": ("/rpc/B.example/directory/get-instance", {}, 400, "malformed_request"),
    "an IP address": ("/rpc/192.0.2.1/directory/get-instance", {}, 400, "malformed_request"),
    "one label": ("/rpc/localhost/directory/get-instance", {}, 400, "malformed_request"),
    "a trailing dot": ("/rpc/b.example./directory/get-instance", {}, 400, "malformed_request"),
    "an encoded domain": ("/rpc/b%2Eexample/directory/get-instance", {}, 400, "malformed_request"),
    "an unknown component": ("/rpc/b.example/brig/get-instance", {}, 404, "route_not_found"),
    "an unknown call": ("/rpc/b.example/directory/get-everything", {}, 404, "route_not_found"),
    "a call with a bad name": ("/rpc/b.example/directory/Get_Instance", {}, 404, "route_not_found"),
    "a longer path": ("/rpc/b.example/directory/get-instance/x", {}, 404, "route_not_found"),
    "dots": ("/rpc/b.example/directory/..", {}, 404, "route_not_found"),
    "another path": ("/federation/directory/get-instance", {}, 404, "route_not_found"),
    "a query": ("/rpc/b.example/directory/get-instance?a=b", {}, 400, "query_not_allowed"),
    "another method": ("/rpc/b.example/directory/get-instance", {"method": "PUT"}, 405, "method_not_allowed"),
    "another type": (
        "/rpc/b.example/directory/get-instance", {"headers": {"Content-Type": "text/xml"}}, 415,
        "unsupported_media_type",
    ),
    "an encoding": (
        "/rpc/b.example/directory/get-instance", {"headers": {"Content-Encoding": "gzip"}}, 415,
        "content_encoding_not_allowed",
    ),
    "too much": ("/rpc/b.example/directory/get-instance", {"body": b"x" * (256 * 1024 + 1)}, 413, "body_too_large"),
    "no key on a mutation": (CONFIRM, {}, 400, "idempotency_key_required"),
    "a bad budget": (
        "/rpc/b.example/directory/get-instance", {"headers": {"Isthmus-Call-Seconds": "soon"}}, 400,
        "malformed_request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", BAD_FORM)
async def test_what_is_no_call_is_refused_before_any_question(home: Home, b: Ingress, which: str) -> None:
    path, given, status, code = BAD_FORM[which]
    answer = await home.call(path, **given)
    assert (answer.status, answer.code, answer.problem["stage"]) == (status, code, "federator_out")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not home.names.questions
    assert b.connections + b.handshakes == 0
    assert len(await home.rows()) == 1


async def test_a_target_that_is_not_listed_costs_nobody_anything(home: Home, b: Ingress) -> None:
    answer = await home.call("/rpc/c.example/directory/get-user-by-handle")
    assert (answer.status, answer.code) == (403, "target_denied")
    await home.one_row("not_listed")
    assert not home.names.questions
    assert (await home.call()).status == 200


async def test_without_a_snapshot_nothing_leaves(home: Home) -> None:
    answer = await home.call()
    assert (answer.status, answer.code) == (503, "upstream_unavailable")
    assert not home.names.questions


async def test_changes_of_the_list_hold_for_the_next_call(home: Home, b: Ingress, b_authority: Forged) -> None:
    home.know(ports=[b.port])
    assert (await home.call()).code == "target_denied"
    home.know(an_entry(b_authority), ports=[b.port])
    assert (await home.call()).status == 200
    home.know(an_entry(b_authority, direction="in"), ports=[b.port])
    assert (await home.call()).code == "target_denied"


async def test_after_five_failures_a_remote_is_left_alone_until_it_is_heard_of(home: Home, b: Ingress) -> None:
    home.names.say("infra.b.example A", *answers("60 A 127.0.0.66"))
    codes = [(await home.call()).code for _ in range(6)]
    assert codes == ["remote_refused"] * 5 + ["remote_backoff"]
    answer = await home.call()
    assert (answer.status, answer.problem["retryable"]) == (503, True)
    assert int(answer.headers["Retry-After"]) == answer.problem["retry_after"] >= 1
    assert len(await home.rows()) == 7

    home.names.say("infra.b.example A", *answers("60 A 127.0.0.1"))
    home.outward.lookups.forget()
    (heard_of,) = home.on_contact
    heard_of(BackendDomain("b.example"))
    assert (await home.call()).status == 200


async def test_a_remote_that_asks_for_time_gets_it(home: Home, b: Ingress) -> None:
    b.answer = lambda asked: an_answer(429, b"{}", "application/json", "Retry-After: 7")
    answer = await home.call()
    assert (answer.code, answer.headers["Retry-After"]) == ("remote_error", "7")
    answer = await home.call()
    assert answer.code == "remote_backoff"
    assert 1 <= answer.problem["retry_after"] <= 8
    assert len(b.calls) == 1


LISTED = {"2": [0, 1, 2], "1": [1, 999], "0": []}


@pytest.mark.parametrize("version", LISTED)
async def test_the_highest_common_version_is_agreed_on_once(
    home: Home, b: Ingress, b_authority: Forged, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.federator.outbound.versions_of", lambda rpc, view: [0, 1, 2])
    b.versions = LISTED[version]
    for _ in range(3):
        assert (await home.call()).status == 200
    assert {asked.one("Isthmus-Api-Version") for asked in b.calls} == {version}
    assert [asked.path for asked in b.asked].count(VERSIONS) == 1


async def test_a_remote_that_knows_of_no_versions_speaks_the_first(home: Home, b: Ingress) -> None:
    b.versions = None
    b.answer = lambda asked: a_problem(404, "route_not_found") if asked.path == VERSIONS else an_answer()
    assert (await home.call()).status == 200
    assert b.calls[0].one("Isthmus-Api-Version") == "0"


async def test_without_a_common_version_nothing_is_sent(home: Home, b: Ingress) -> None:
    b.versions = [998, 999]
    answer = await home.call()
    assert (answer.status, answer.code) == (400, "unsupported_version")
    assert answer.problem["supported"] == [999, 998]
    assert "older" in answer.problem["detail"]
    assert not b.calls
    await home.one_row("version.none_common")


async def test_a_remote_that_changed_its_versions_is_asked_anew(home: Home, b: Ingress) -> None:
    assert (await home.call()).status == 200
    b.answer = lambda asked: a_problem(400, "unsupported_version", supported=[1])
    assert (await home.call()).code == "remote_error"
    await home.call()
    assert [asked.path for asked in b.asked].count(VERSIONS) == 2


@pytest.mark.case("SEED-159")
async def test_what_a_remote_says_that_it_serves_and_does_not_is_found_and_not_asked_of_it(
    home: Home, b: Ingress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.federator.versions.DRIFTED_LIFE", 0.0)
    monkeypatch.setattr("isthmus.federator.outbound.versions_of", lambda rpc, view: [0, 1])
    lookup, search = "directory/get-user-by-handle", "directory/search-users"
    b.versions, b.lists = [0, 1], [lookup, search]

    def serves(asked: Asked) -> bytes:
        if asked.one("Isthmus-Api-Version") == "1":
            return a_problem(400, "unsupported_version", supported=[0])
        return a_problem(404, "route_not_found") if asked.path.endswith(search) else an_answer()

    async def drift() -> list[Any]:
        await home.rows_queue.finish()
        return [each.evidence["false"] for each in home.suspicions if each.kind == "capability_drift"]

    b.answer = serves
    # It may have become another one since it was asked, so once proves nothing.
    assert (await home.call()).code == "remote_error"
    assert await drift() == []
    assert (await home.call()).code == "remote_error"
    assert await drift() == [["version 1"]]
    assert (await home.call()).status == 200
    for code in ("remote_error", "remote_error", "target_denied"):
        assert (await home.call(f"/rpc/b.example/{search}", b'{"begins":"al"}')).code == code
    assert (await drift())[-1] == [search, "version 1"]
    sent = [asked for asked in b.calls if asked.path.endswith(search)]
    assert [asked.one("Isthmus-Api-Version") for asked in sent] == ["0", "0"]
    assert [each for report in home.reports for each in report.cleared] == []

    b.versions, b.lists = [0], [lookup]
    assert (await home.call()).status == 200
    await home.rows_queue.finish()
    over = [(each.kind, each.domain) for report in home.reports for each in report.cleared]
    assert over == [("capability_drift", "b.example")]
    # What it never said that it serves is its right to refuse.
    home.reports.clear()
    for _ in range(3):
        assert (await home.call(f"/rpc/b.example/{search}", b'{"begins":"al"}')).code == "remote_error"
    assert await drift() == []


async def test_our_own_certificate_must_be_valid(home: Home, b: Ingress, b_authority: Forged) -> None:
    assert home.leaf is not None
    home.know(an_entry(b_authority), ports=[b.port], own_revoked=[home.fingerprint])
    answer = await home.call()
    assert (answer.status, answer.code) == (503, "own_certificate_expired")
    await home.one_row("own.revoked")
    home.renew()
    assert (await home.call()).status == 200
    assert len(b.shown) == 1


@pytest.mark.case("FAULT-008")
async def test_an_expired_pair_is_not_shown(home: Home, b: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    now = home.clock.now()
    monkeypatch.setattr(home.clock, "now", lambda: now + timedelta(days=2).total_seconds())
    answer = await home.call()
    assert (answer.status, answer.code) == (503, "own_certificate_expired")
    assert b.handshakes == 0
    await home.one_row("own.expired")


async def test_an_invitation_is_answered_with_its_own_leaf(home: Home, b: Ingress, b_authority: Forged) -> None:
    guest = a_server_leaf(home.authority, "infra.a.example", "a.example")
    credential = Credential(guest.pem.decode(), guest.key_pem.decode())
    pending = an_entry(b_authority, state="pending", credential=credential)
    home.know(pending, ports=[b.port])
    assert (await home.call("/rpc/b.example/handshake/accept")).status == 200
    assert b.shown == [guest.der]
    assert [asked.path for asked in b.asked] == ["/federation/handshake/accept"]
    assert (await home.call()).code == "target_denied"


async def test_no_more_calls_are_under_way_than_there_is_room_for(home: Home, b: Ingress) -> None:
    await home.call()
    home.outward.outbound._crowd._parallel = 2
    home.outward.outbound._crowd._waiting = 3
    found = await asyncio.gather(*(home.call() for _ in range(40)))
    codes = {answer.status for answer in found}
    assert codes == {200, 503}
    assert {answer.code for answer in found if answer.status == 503} == {"overloaded"}
    assert b.handshakes <= 3


async def test_a_request_id_that_is_none_is_replaced(home: Home, b: Ingress) -> None:
    answer = await home.call(headers={"X-Request-Id": "../../etc"})
    assert answer.headers["X-Request-Id"] == b.calls[0].one("X-Request-Id") != "../../etc"


async def test_the_component_is_held_to_its_budget_and_no_longer_than_ours(home: Home, b: Ingress) -> None:
    loop = asyncio.get_running_loop()
    b.silent = True
    began = loop.time()
    assert (await home.call(headers={"Isthmus-Call-Seconds": "0.5"})).code == "remote_timeout"
    assert 0.4 < loop.time() - began < 5


async def test_a_grant_goes_along_and_no_other_credential(home: Home, b: Ingress) -> None:
    await home.call(LOOKUP, ALICE, {"Authorization": "Isthmus-Grant abc", "Cookie": "x=y", "Proxy-Authorization": "z"})
    (asked,) = b.calls
    assert asked.one("Authorization") == "Isthmus-Grant abc"
    assert not asked.all("Cookie")
    assert not asked.all("Proxy-Authorization")


async def test_no_proxy_of_the_environment_is_used(home: Home, b: Ingress, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    assert (await home.call()).status == 200
