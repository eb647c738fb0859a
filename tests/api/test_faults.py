"""Faults inside the server: the caller gets an id, the log gets the rest, and nothing else breaks."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import httpx2
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from isthmus.domain.ids import PeerId
from isthmus.protocol import agent as wire
from isthmus.server.adapters import ui
from isthmus.server.ports import Conflict, StoreUnavailable
from isthmus.server.records import AuditEntry, Outcome
from tests.api.agent import Stream, a_network, a_peer, enroll_body, heartbeat
from tests.api.inprocess import Inside, inside
from tests.api.test_problems import check_problem
from tests.server import API, Server, bearer, running

SECRET = "SELECT password FROM /etc/shadow"


class Broken(Exception):
    """A mistake of ours."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(tmp_path) as server:
        yield server


def breaking(failure: Exception) -> Any:
    async def fail(*_: object, **__: object) -> None:
        raise failure

    return fail


def breaking_at_once(failure: Exception) -> Any:
    """The same in place of a plain function."""

    def fail(*_: object) -> None:
        raise failure

    return fail


@contextlib.asynccontextmanager
async def enrolled(here: Inside) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """The administrator's client, and the session of an agent."""
    admin = await here.admin()
    async with admin:
        network = (await admin.post("/networks", json={"name": "office"})).json()
        created = (await admin.post(f"/networks/{network['id']}/peers", json={"name": "laptop"})).json()
        body = enroll_body(created["enrollment"]["token"])
        answer = (await admin.post("/agent/enroll", json=body)).raise_for_status().json()
        yield admin, answer["session_token"]


async def test_a_fault_tells_its_id_and_the_log_tells_the_rest(here: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    async with enrolled(here) as (admin, session), here.client(session) as agent:
        assert (await admin.get("/networks")).status_code == 200
        monkeypatch.setattr(here.services.networks, "page", breaking(Broken(SECRET)))
        monkeypatch.setattr(here.services.agents, "news", breaking(Broken(SECRET)))
        for client, path in ((admin, "/networks"), (agent, "/agent/config")):
            with capture_logs() as logs:
                answer = await client.get(path)
            body = check_problem(answer, "internal")
            assert not [word for word in (SECRET, "Broken", "Traceback", ".py") if word in answer.text]
            (line,) = [line for line in logs if line["event"] == "internal error"]
            assert line["request_id"] == body["request_id"]
            assert line["exc_info"].args == (SECRET,)
        monkeypatch.undo()
        assert (await admin.get("/networks")).status_code == 200
        assert (await agent.get("/agent/config")).status_code == 200


TELLING = (SECRET, "Broken", "Traceback", ".py", "isthmus.", "sqlite", "SELECT", "no such table")


async def rows_of(here: Inside) -> list[AuditEntry]:
    async with here.services.store.reading() as tx:
        return [row.entry for row in await tx.journal.audit_page(1000)]


class Met(NamedTuple):
    """What is `broken`, and who meets it by which call."""

    broken: str
    method: str
    path: str
    actor: str


MET = (
    Met("networks.create", "POST", "/networks", "user:"),
    Met("networks.page", "GET", "/networks", "user:"),
    Met("agents.news", "GET", "/agent/config", "agent:"),
    Met("ui", "GET", "/", "anyone"),
    Met("agents.desired", "WS", "/agent/stream", "agent:"),
    Met("accounts.authenticate", "WS", "/events", "anyone"),
)


@pytest.mark.case("AUTH-007")
@pytest.mark.parametrize("met", MET, ids=lambda met: met.broken)
async def test_whoever_meets_a_fault_gets_its_id_and_the_fault_one_row_of_the_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: Met
) -> None:
    broken, method, path, actor = met
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<!doctype html><title>Isthmus</title>")
    async with inside(tmp_path, pages=tmp_path / "pages") as here, enrolled(here) as (admin, session):
        token = session if actor == "agent:" else admin.headers["authorization"].removeprefix("Bearer ")
        before, networks = await rows_of(here), (await admin.get("/networks")).json()
        with monkeypatch.context() as fault, capture_logs() as logs:
            if broken == "ui":
                fault.setattr(ui, "_page", breaking_at_once(Broken(SECRET)))
            else:
                service, _, call = broken.partition(".")
                fault.setattr(getattr(here.services, service), call, breaking(Broken(SECRET)))
            status, text = await asked(here, token, method, path)
        problem = json.loads(text)
        assert (status, problem["code"]) == (500, "internal")
        assert not [word for word in TELLING if word.lower() in text.lower()]
        told = [line["exc_info"].args for line in logs if line.get("request_id") == problem["request_id"]]
        assert told == [(SECRET,)]
        (row,) = (await rows_of(here))[: -len(before)]
        assert (row.outcome, row.reason, row.request_id) == (Outcome.DENIED, "internal", problem["request_id"])
        assert row.actor.startswith(actor)
        assert SECRET not in str(row)
        assert (await admin.get("/networks")).json() == networks
        # The same without the fault.
        assert (await asked(here, token, method, path))[0] in {101, 200, 201}


async def asked(here: Inside, token: str, method: str, path: str) -> tuple[int, str]:
    """Status and body; a page is asked for as a browser does, and WS opens a WebSocket."""
    if method == "WS":
        url = f"ws://{here.address}{API}{path}"
        try:
            async with connect(url, additional_headers=bearer(token), proxy=None):
                return 101, ""
        except InvalidStatus as refused:
            return refused.response.status_code, (refused.response.body or b"").decode()
    async with here.client(token) as client:
        url = f"http://{here.address}/" if path == "/" else path
        body = {"name": "another"} if method == "POST" else None
        answer = await client.request(method, url, json=body, headers={"Accept": "text/html"} if path == "/" else {})
        return answer.status_code, answer.text


@pytest.mark.parametrize(
    ("failure", "code"),
    [(StoreUnavailable(SECRET), "overloaded"), (Conflict(SECRET), "version_conflict")],
)
async def test_a_store_that_fails_is_told_as_such_and_may_be_tried_again(
    here: Inside, monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str
) -> None:
    admin = await here.admin()
    async with admin:
        monkeypatch.setattr(here.services.networks, "create", breaking(failure))
        answer = await admin.post("/networks", json={"name": "office"})
        assert check_problem(answer, code)["retryable"]
        assert ("Retry-After" in answer.headers) == (code == "overloaded")
        assert SECRET not in answer.text
        monkeypatch.undo()
        assert (await admin.post("/networks", json={"name": "office"})).status_code == 201


@pytest.mark.parametrize("failure", [StoreUnavailable("disk"), Broken("mistake")])
@pytest.mark.parametrize("method", ["heartbeat", "news_at_hand"])
async def test_a_stream_that_breaks_is_closed_and_can_be_opened_again(
    here: Inside, monkeypatch: pytest.MonkeyPatch, failure: Exception, method: str
) -> None:
    """Half a stream would be worse than none: its agent would wait for answers that never come."""
    async with enrolled(here) as (_, session), asyncio.timeout(10):
        async with Stream(here.address, session) as stream:
            hello = await stream.next_of(wire.Hello)
            await stream.next_of(wire.Snapshot)
            fails = breaking(failure) if method == "heartbeat" else breaking_at_once(failure)
            monkeypatch.setattr(here.services.agents, method, fails)
            beat = wire.encode({"type": "heartbeat"} | heartbeat(hello.nonce)).decode()
            await stream.send(beat if method == "heartbeat" else wire.Resync())
            assert await stream.closed() in {wire.CLOSE_BROKEN, 1006}
        monkeypatch.undo()
        async with Stream(here.address, session) as stream:
            await stream.next_of(wire.Snapshot)


async def test_a_session_that_ends_while_its_stream_opens_gets_no_stream(
    here: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with enrolled(here) as (admin, session), asyncio.timeout(10):
        (peer,) = (await admin.get("/peers")).json()["items"]
        desired = here.services.agents.desired

        async def delayed(peer_id: Any) -> int:
            revision = await desired(peer_id)
            token = (await admin.post(f"/peers/{peer['id']}/enrollment-token")).json()["token"]
            (await admin.post("/agent/enroll", json=enroll_body(token))).raise_for_status()
            return revision

        monkeypatch.setattr(here.services.agents, "desired", delayed)
        async with Stream(here.address, session) as stream:
            assert await stream.closed() == wire.CLOSE_SESSION_ENDED


async def test_a_report_that_cannot_be_stored_is_not_lost(here: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    async with enrolled(here) as (admin, session), here.client(session) as agent:
        nonce = (await agent.get("/agent/config")).json()["nonce"]
        (await agent.post("/agent/heartbeat", json=heartbeat(nonce))).raise_for_status()
        monkeypatch.setattr(here.services.store, "transaction", failing_transaction)
        with pytest.raises(StoreUnavailable):
            await here.services.agents.flush()
        monkeypatch.undo()
        await here.services.agents.flush()
        (peer,) = (await admin.get("/peers")).json()["items"]
        async with here.services.store.reading() as tx:
            stored = await tx.statuses.of_peers([PeerId(UUID(peer["id"]))])
        assert [status.hostname for status in stored.values()] == ["host"]


@contextlib.asynccontextmanager
async def failing_transaction() -> AsyncIterator[None]:
    await breaking(StoreUnavailable("disk"))()
    yield


@pytest.mark.case("AUTH-007")
def test_a_query_that_fails_tells_nothing_of_itself(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client(server.token("read", "write", "admin")) as admin:
        network = a_network(admin)
        a_peer(admin, network)
        rename(server, "peers", "lost")
        answer = admin.get("/peers")
        check_problem(answer, "internal")
        assert not [word for word in ("peers", "sqlite", "table", "SELECT", "Traceback") if word in answer.text.lower()]
        assert answer.json()["request_id"] in server.log
        rows = admin.get("/audit", params={"outcome": "denied"}).json()["items"]
        assert [(row["reason"], row["request_id"]) for row in rows] == [("internal", answer.json()["request_id"])]
        rename(server, "lost", "peers")
        assert len(admin.get("/peers").raise_for_status().json()["items"]) == 1


def rename(server: Server, old: str, new: str) -> None:
    with contextlib.closing(sqlite3.connect(server.data / "isthmus.db")) as database:
        database.execute(f"ALTER TABLE {old} RENAME TO {new}")
