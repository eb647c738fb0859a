"""People of other backends by REST: a real Federator goes to a real TLS server, and what it says arrives whole."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from isthmus.domain.federation.names import BackendDomain, InfraDomain
from isthmus.domain.federation.remote import Strategy
from isthmus.server.federation_records import Federation
from tests.api.inprocess import Inside, inside
from tests.federator.abroad import Ingress, a_problem, a_real_authority, a_server_leaf, an_answer
from tests.federator.home import Home, an_entry, at_home
from tests.x509.forge import Forged

ID = str(uuid4())
ALICE = {"id": ID, "handle": "alice", "display_name": "Alice", "domain": "c.example", "infra_domain": "infra.c.example"}
PROFILE = {"id": ID, "handle": "alice", "domain": "b.example", "display_name": "Alice"}


@dataclass
class A:
    """The backend a.example: its server, its Federator, and an administrator."""

    home: Home
    server: Inside
    admin: httpx2.AsyncClient

    async def lookup(self, handle: str = "alice@b.example") -> httpx2.Response:
        return await self.admin.get("/directory/lookup", params={"handle": handle})

    async def rows(self) -> list[Any]:
        """The audit log of the server but for the sign-in."""
        items = (await self.admin.get("/audit")).json()["items"]
        return [row for row in items if not row["action"].startswith(("auth.", "user."))]


@pytest.fixture(scope="module")
def b_authority() -> Forged:
    return a_real_authority("B's CA")


async def federate(server: Inside) -> None:
    async with server.services.store.transaction() as tx:
        await tx.federation.add(
            Federation(BackendDomain("a.example"), (InfraDomain("infra.a.example"),), Strategy.LIST)
        )


@pytest.fixture
async def a(tmp_path: Path) -> AsyncIterator[A]:
    async with at_home(tmp_path / "a") as home, inside(tmp_path / "a") as server:
        await federate(server)
        async with await server.admin() as admin:
            yield A(home, server, admin)


@pytest.fixture
async def b(a: A, b_authority: Forged) -> AsyncIterator[Ingress]:
    async with Ingress(a_server_leaf(b_authority), a.home.authority).running() as ingress:
        a.home.publish("b.example", ingress)
        a.home.know(an_entry(b_authority), ports=[ingress.port])
        ingress.answer = lambda asked: an_answer(200, json.dumps(ALICE).encode())
        yield ingress


def stored(folder: Path) -> bytes:
    """All that databases below `folder` hold."""
    return b"".join(file.read_bytes() for file in folder.rglob("isthmus.db*") if file.is_file())


@pytest.mark.case("SEED-006")
async def test_a_profile_is_qualified_by_the_domain_that_was_asked(a: A, b: Ingress, tmp_path: Path) -> None:
    """What the body says of domains is no part of an identifier."""
    answer = await a.lookup()
    assert (answer.status_code, answer.json()) == (200, PROFILE)
    (asked,) = b.calls
    assert json.loads(asked.body) == {"handle": "alice"}
    # One request id from the caller to the remote.
    assert asked.one("X-Request-Id") == answer.headers["x-request-id"]
    # Nothing that is kept knows of the domains in the body.
    kept = stored(tmp_path)
    assert b"alice@b.example" in kept or b"a.example" in kept
    assert b"c.example" not in kept


async def test_somebody_of_ours_is_found_here_whatever_others_may_see(a: A, b: Ingress) -> None:
    made = await a.admin.post("/users", json={"handle": "bob", "visibility": "nobody"})
    answer = await a.lookup("bob@a.example")
    assert answer.json() == {"id": made.json()["id"], "handle": "bob", "domain": "a.example", "display_name": ""}
    missing = await a.lookup("carol@a.example")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert b.calls == []


async def test_nobody_there_is_an_answer_of_the_remote(a: A, b: Ingress) -> None:
    there = str(uuid4())
    b.answer = lambda asked: a_problem(404, "not_found", request_id=there, detail="secret text of theirs")
    answer = await a.lookup()
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["stage"]) == (404, "not_found", "remote")
    assert problem["remote"] == {"status": 404, "code": "not_found", "request_id": there}
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "alice@b.example" in problem["detail"]
    assert "secret" not in answer.text


async def test_a_refusal_keeps_its_code_its_stage_and_what_the_remote_said(a: A, b: Ingress) -> None:
    there = str(uuid4())
    b.answer = lambda asked: a_problem(403, "federation_denied", request_id=there, detail="secret text of theirs")
    answer = await a.lookup()
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["stage"]) == (502, "remote_rejected_us", "remote")
    assert problem["remote"] == {"status": 403, "code": "federation_denied", "request_id": there}
    assert (problem["status"], problem["retryable"]) == (502, False)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "isthmus remote doctor b.example" in problem["hint"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    # The Federator has put it into the audit log, once; the server does not a second time.
    assert [row.request_id for row in await a.home.rows()] == [problem["request_id"]]
    assert [row for row in await a.rows() if row["outcome"] == "denied"] == []


async def test_whom_we_do_not_federate_with_is_not_called(a: A, b: Ingress) -> None:
    answer = await a.lookup("alice@d.example")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["stage"]) == (403, "target_denied", "federator_out")
    assert "isthmus remote" in problem["hint"]
    assert b.connections == 0


async def test_a_search_qualifies_all_that_it_finds(a: A, b: Ingress) -> None:
    b.answer = lambda asked: an_answer(200, json.dumps({"users": [ALICE, {**ALICE, "handle": "ali"}]}).encode())
    answer = await a.admin.get("/directory/search", params={"begins": "al", "domain": "b.example"})
    assert answer.json() == {"items": [PROFILE, {**PROFILE, "handle": "ali"}], "next": None}
    (asked,) = b.calls
    assert (asked.path, json.loads(asked.body)) == ("/federation/directory/search-users", {"begins": "al", "limit": 20})
    for query, pointer in (
        ({"begins": "a", "domain": "b.example"}, "/begins"),
        ({"begins": "al", "domain": "B.example"}, "/domain"),
        ({"begins": "al", "domain": "a.example"}, "/domain"),
    ):
        refused = await a.admin.get("/directory/search", params=query)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
    assert len(b.calls) == 1


WRONG: dict[str, bytes] = {
    "a list": b"[]",
    "no id": b'{"handle": "alice"}',
    "an id that is none": b'{"id": "1", "handle": "alice"}',
    "a number for a name": json.dumps({**ALICE, "display_name": 7}).encode(),
    "control characters": json.dumps({**ALICE, "display_name": "\x1b[2J"}).encode(),
    "a newline": json.dumps({**ALICE, "display_name": "Alice\nPostUp = reboot"}).encode(),
    "a name without end": json.dumps({**ALICE, "display_name": "x" * 300}).encode(),
    "a key twice": b'{"id": "' + ID.encode() + b'", "handle": "mallory", "handle": "alice"}',
    "depth": b'{"id": "' + ID.encode() + b'", "handle": "alice", "more": ' + b"[" * 900 + b"]" * 900 + b"}",
    "somebody else": json.dumps({**ALICE, "handle": "mallory"}).encode(),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
async def test_an_answer_that_is_no_profile_of_that_user_is_refused(a: A, b: Ingress, body: bytes) -> None:
    b.answer = lambda asked: an_answer(200, body)
    answer = await a.lookup()
    assert (answer.status_code, answer.json()["code"]) == (502, "remote_protocol_error")
    assert "mallory" not in answer.text


@pytest.mark.parametrize(
    "handle", ["alice", "alice@", "@b.example", "alice@b", "Alice@b.example", "a@b.example/x", "a@127.0.0.1"]
)
async def test_what_is_no_qualified_handle_is_refused_before_anybody_is_asked(a: A, b: Ingress, handle: str) -> None:
    answer = await a.lookup(handle)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/handle")
    assert b.connections == 0


async def test_without_a_federator_nobody_is_reached_and_the_mend_is_said(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, await server.admin() as admin:
        before = await admin.get("/directory/lookup", params={"handle": "alice@b.example"})
        assert (before.status_code, before.json()["code"]) == (409, "transition_not_allowed")
        assert "isthmus federation init" in before.json()["hint"]
        await federate(server)
        answer = await admin.get("/directory/lookup", params={"handle": "alice@b.example"})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["retryable"]) == (503, "upstream_unavailable", True)
        assert "isthmus up" in problem["hint"]
        assert problem["request_id"] == answer.headers["x-request-id"]
