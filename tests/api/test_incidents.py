"""Incidents over the API: what a blocked agent hears, what reports must be, and how people see and resolve them."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from isthmus.protocol import agent as wire
from lab.waiting import wait_until
from tests.api.agent import Agent, Stream, a_name, a_network, a_peer, a_public_key, enroll_body, heartbeat
from tests.api.test_agents import nonce_of, report_on
from tests.api.test_enrollment import last_row, rows_since
from tests.server import Server, running

SOON = 5.0
FUTURE = int(time.time()) + 3 * 86_400


class Office:
    """A jump peer, a member and a neighbour, enrolled in a network of their own."""

    def __init__(self, server: Server, admin: httpx2.Client, **fields: Any) -> None:
        self.admin = admin
        self.network = a_network(admin, **fields)
        self.gw = Agent.enrolled(server, a_peer(admin, self.network, kind="jump"))
        self.laptop, self.desk = [Agent.enrolled(server, a_peer(admin, self.network)) for _ in range(2)]

    def incidents(self, **query: Any) -> list[Any]:
        found = self.admin.get("/incidents", params={"network": self.network["id"]} | query)
        return list(found.raise_for_status().json()["items"])


@pytest.fixture
def office(server: Server, admin: httpx2.Client) -> Office:
    return Office(server, admin)


def beat(agent: Agent, machine: str, **fields: Any) -> httpx2.Response:
    """One beat over HTTPS of the process that runs on `machine`."""
    with agent.client() as client:
        body = heartbeat(nonce_of(client), **fields)
        body["host"] |= {"machine_id": machine}
        return client.post("/agent/heartbeat", json=body)


def steal(agent: Agent) -> str:
    """Two copies of `agent` beat in turn; returns the id of the incident."""
    for machine in ("own", "copy"):
        assert beat(agent, machine).status_code == 200
    answer = beat(agent, "own")
    assert (answer.status_code, answer.json()["code"]) == (409, "agent_session_conflict")
    return str(answer.json()["incident"])


def public_state(admin: httpx2.Client, office: Office) -> str:
    """All that the API shows of a network."""
    paths = (f"/networks/{office.network['id']}", f"/peers?network={office.network['id']}", "/incidents?limit=1000")
    return json.dumps([admin.get(path).raise_for_status().json() for path in paths])


@pytest.mark.case("ENROL-005")
async def test_a_blocked_agent_is_disconnected_and_told_so_until_the_incident_is_resolved(
    server: Server, admin: httpx2.Client, office: Office
) -> None:
    laptop, desk = office.laptop, office.desk
    async with laptop.stream() as stream, desk.stream() as neighbour:
        await stream.next_of(wire.Snapshot)
        await neighbour.next_of(wire.Snapshot)
        incident = await asyncio.to_thread(steal, laptop)
        began = time.monotonic()
        assert await stream.closed() == wire.CLOSE_BLOCKED
        assert time.monotonic() - began < 1
        assert incident in (stream.connection.close_reason or "")
        before = public_state(admin, office)
        await check_every_call_is_refused(server, admin, laptop, incident)
        await neighbour.send(wire.Resync())
        assert laptop.public_key not in str(await neighbour.next_of(wire.Snapshot))
        with desk.client() as client:
            client.post("/agent/heartbeat", json=heartbeat(nonce_of(client))).raise_for_status()
        assert public_state(admin, office)[:200] == before[:200]

        admin.post(f"/incidents/{incident}/resolve", json={"reason": "the copy is off"}).raise_for_status()
        assert laptop.config().config is not None
        assert beat(laptop, "own").status_code == 200
        async with laptop.stream() as again:
            await again.next_of(wire.Snapshot)


async def check_every_call_is_refused(server: Server, admin: httpx2.Client, blocked: Agent, incident: str) -> None:
    with blocked.client() as client:
        for method, path, body in (
            ("GET", "/agent/config", None),
            ("GET", "/agent/config?revision=1", None),
            ("POST", "/agent/heartbeat", heartbeat("x")),
            ("POST", "/agent/heartbeat", {}),
            ("POST", "/agent/applied", {"revision": 1, "took_ms": 1}),
        ):
            since = last_row(admin)
            answer = client.request(method, path, json=body)
            check_blocked(answer.status_code, answer.json(), incident)
            check_row(admin, since, blocked, "agent_blocked")
    since = last_row(admin)
    with pytest.raises(InvalidStatus) as refused:
        async with Stream(server.address, blocked.session):
            pass
    response = refused.value.response
    check_blocked(response.status_code, json.loads(response.body or b""), incident)
    check_row(admin, since, blocked, "agent_blocked")


def check_blocked(status: int, problem: Any, incident: str) -> None:
    assert (status, problem["code"], problem["incident"]) == (403, "agent_blocked", incident)
    assert "config" not in problem


def check_row(admin: httpx2.Client, since: int, agent: Agent, reason: str) -> None:
    """What was refused has one audit row."""
    (row,) = rows_since(admin, since)
    assert (row["actor"], row["outcome"], row["reason"]) == (f"agent:{agent.peer_id}", "denied", reason)


async def test_a_conflict_on_streams_is_told_and_closes_the_stream(admin: httpx2.Client, office: Office) -> None:
    laptop = office.laptop

    async def speak(stream: Stream, machine: str) -> wire.FromServer:
        hello = await stream.next_of(wire.Hello)
        body = heartbeat(hello.nonce)
        body["host"] |= {"machine_id": machine}
        await stream.send(json.dumps(body | {"type": "heartbeat"}))
        answer: wire.FromServer = await stream.next_of(wire.Ack, wire.Refused)
        return answer

    async with laptop.stream() as own:
        assert isinstance(await speak(own, "own"), wire.Ack)
        async with laptop.stream() as copy:
            assert await own.closed() == wire.CLOSE_REPLACED
            assert isinstance(await speak(copy, "copy"), wire.Ack)
            since = last_row(admin)
            async with laptop.stream() as again:
                refused = await speak(again, "own")
                assert isinstance(refused, wire.Refused)
                assert (refused.code, refused.nonce) == ("agent_session_conflict", None)
                assert await again.closed() == wire.CLOSE_BLOCKED

    def reasons() -> list[str]:
        return sorted(row["reason"] or row["action"] for row in rows_since(admin, since))

    await asyncio.to_thread(
        wait_until, lambda: reasons() == ["agent_session_conflict", "incident.open"], within=SOON, what="both rows"
    )
    (incident,) = office.incidents()
    assert (incident["type"], incident["state"], incident["blocks"]) == ("session_conflict", "open", True)


LOGS = tuple(f'INSERT INTO "{name}"' for name in ("audit_log", "audit_links", "backend"))
FLUSHED = 1.2  # seconds after which every report is stored


def state_of(server: Server) -> list[str]:
    """The whole database but its audit log, once all reports are stored."""
    time.sleep(FLUSHED)
    with closing(sqlite3.connect(server.data / "isthmus.db")) as database:
        return [line for line in database.iterdump() if not line.startswith(LOGS)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx2.Client]]:
    """A server that nobody else uses, so that its whole database can be compared."""
    with (
        running(tmp_path_factory.mktemp("alone")) as server,
        server.client(server.token("read", "write", "admin")) as admin,
    ):
        yield server, admin


@pytest.mark.case("ENROL-008")
async def test_reports_are_validated_before_they_count(alone: tuple[Server, httpx2.Client]) -> None:
    server, admin = alone
    # Without direct paths, which would spread a good endpoint some time later.
    office, stranger = Office(server, admin, direct_paths="off"), Office(server, admin).laptop
    gw, laptop = office.gw, office.laptop
    good = [report_on(laptop, "198.51.100.20:1")]
    with gw.client() as client:
        spent = nonce_of(client)
        client.post("/agent/heartbeat", json=heartbeat(spent, peers=good)).raise_for_status()
        before = state_of(server)
        assert "198.51.100.20:1" in "".join(before)
        false = "203.0.113.66:1"
        ahead = heartbeat("", peers=[report_on(laptop, false)])
        ahead["host"] |= {"started_at": FUTURE}
        bodies: list[tuple[int, str, dict[str, Any]]] = [
            (422, "validation_failed", heartbeat("", peers=[report_on(laptop, false, latest_handshake=FUTURE)])),
            (422, "validation_failed", ahead),
            (422, "validation_failed", heartbeat("", peers=[report_on(laptop, false)] * 1_000)),
            (413, "body_too_large", heartbeat("", peers=[report_on(laptop, false)] * 10_000)),
            (422, "validation_failed", heartbeat("", peers=[report_on(laptop, false), report_on(stranger, false)])),
            (413, "body_too_large", heartbeat("", peers=[report_on(laptop, false)], filler="x" * 2 * 1024 * 1024)),
        ]
        nonce = nonce_of(client)
        since = last_row(admin)
        replayed = client.post("/agent/heartbeat", json=heartbeat(spent, peers=[report_on(laptop, false)]))
        assert (replayed.status_code, replayed.json()["code"]) == (409, "replay_detected")
        check_row(admin, since, gw, "replay_detected")
        nonce = replayed.json()["nonce"]
        for status, code, body in bodies:
            since = last_row(admin)
            answer = client.post("/agent/heartbeat", json=body | {"nonce": nonce})
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            check_row(admin, since, gw, code)
        million = b'{"nonce": "' + nonce.encode() + b'", "revision": 0, "peers": [' + b"{}," * 1_000_000 + b"{}]}"
        since = last_row(admin)
        answer = client.post("/agent/heartbeat", content=million, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        check_row(admin, since, gw, "body_too_large")
        assert state_of(server) == before
        client.post("/agent/heartbeat", json=heartbeat(nonce, peers=good)).raise_for_status()
    fitting = [body for status, _, body in bodies if status == 422 and len(json.dumps(body)) < wire.MAX_MESSAGE]
    await check_the_same_on_the_stream(server, admin, gw, fitting)


async def check_the_same_on_the_stream(
    server: Server, admin: httpx2.Client, gw: Agent, bodies: list[dict[str, Any]]
) -> None:
    async with gw.stream() as stream:
        nonce = (await stream.next_of(wire.Hello)).nonce
        before = await asyncio.to_thread(state_of, server)
        for code, body in [("validation_failed", body) for body in bodies] + [("replay_detected", heartbeat("stale"))]:
            since = last_row(admin)
            given = body if code == "replay_detected" else body | {"nonce": nonce}
            await stream.send(json.dumps(given | {"type": "heartbeat"}))
            refused = await stream.next_of(wire.Refused)
            assert refused.code == code
            nonce = refused.nonce or nonce
            await asyncio.to_thread(wait_until, lambda since=since: last_row(admin) > since, within=SOON, what="a row")
            check_row(admin, since, gw, code)
        assert await asyncio.to_thread(state_of, server) == before
        await stream.send(json.dumps(heartbeat(nonce) | {"type": "heartbeat"}))
        await stream.next_of(wire.Ack)
        since = last_row(admin)
        await stream.send(json.dumps(heartbeat(nonce, filler="x" * 2 * 1024 * 1024) | {"type": "heartbeat"}))
        assert await stream.closed() == 1009
    await asyncio.to_thread(wait_until, lambda: last_row(admin) > since, within=SOON, what="a row")
    check_row(admin, since, gw, "body_too_large")


async def test_a_stream_causes_so_many_audit_rows_and_one_that_sums_up_the_rest(
    admin: httpx2.Client, office: Office
) -> None:
    since = last_row(admin)
    async with office.desk.stream() as stream:
        await stream.next_of(wire.Hello)
        for _ in range(40):
            await stream.send("{")
            await stream.next_of(wire.Refused)
    rows: list[Any] = []

    def has_sum() -> bool:
        rows[:] = [row for row in rows_since(admin, since) if row["actor"].endswith(office.desk.peer_id)]
        return any(row["reason"] == "sampled" for row in rows)

    await asyncio.to_thread(wait_until, has_sum, within=SOON, what="the summary")
    assert len(rows) == 33
    assert [row["facts"]["left_out"] for row in rows if row["reason"] == "sampled"] == [8]


def test_incidents_are_listed_filtered_shown_and_resolved(admin: httpx2.Client, office: Office, server: Server) -> None:
    incident = steal(office.laptop)
    spent = office.desk.token
    with server.client() as client:
        assert client.post("/agent/enroll", json=enroll_body(spent)).status_code == 401
    wait_until(lambda: len(office.incidents()) == 2, within=SOON, what="the second incident")
    reuse, conflict = office.incidents()
    assert conflict["id"] == incident
    assert [voice["process"]["machine_id"] for voice in conflict["evidence"]["voices"]] == ["own", "copy", "own"]
    assert (reuse["type"], reuse["blocks"]) == ("enrollment_reuse", False)
    assert reuse["evidence"]["enrolled_key"] == office.desk.public_key
    assert spent not in json.dumps(reuse)
    assert office.incidents(type="session_conflict") == office.incidents(peer=office.laptop.peer_id) == [conflict]
    assert office.incidents(state="resolved") == []
    first = admin.get("/incidents", params={"network": office.network["id"], "limit": 1}).json()
    assert [each["id"] for each in first["items"]] == [reuse["id"]]
    assert office.incidents(limit=1, after=first["next"]) == [conflict]
    blocked = admin.get("/peers", params={"network": office.network["id"], "blocked": "true"}).json()["items"]
    assert [peer["id"] for peer in blocked] == [office.laptop.peer_id]

    resolved = admin.post(f"/incidents/{incident}/resolve", json={"reason": "a drill"}).raise_for_status().json()
    assert (resolved["state"], resolved["reason"]) == ("resolved", "a drill")
    assert resolved["resolved_by"].startswith("user:") or resolved["resolved_by"] == "local"
    assert admin.get(f"/incidents/{incident}").json() == resolved
    assert not admin.get(f"/peers/{office.laptop.peer_id}").json()["blocked"]
    again = admin.post(f"/incidents/{incident}/resolve", json={"reason": "a drill"})
    assert (again.status_code, again.json()["code"]) == (409, "transition_not_allowed")
    for body in ({}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "a\nb"}, {"reason": 1}):
        assert admin.post(f"/incidents/{incident}/resolve", json=body).status_code == 422
    unknown = admin.post(f"/incidents/{office.network['id']}/resolve", json={"reason": "x"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_a_network_has_limits_of_its_own(admin: httpx2.Client) -> None:
    network = a_network(admin, limits={"address_changes": 20})
    assert network["limits"] == {
        "address_changes": 20,
        "address_window": 86_400,
        "port_changes": 6,
        "port_window": 300,
        "return_window": 300,
    }
    path = f"/networks/{network['id']}"
    changed = admin.patch(path, json={"limits": {"return_window": 60}}).raise_for_status().json()
    assert changed["limits"] == network["limits"] | {"return_window": 60}
    for wrong in ({"return_window": 1}, {"address_changes": 1}, {"nonsense": 5}, {"port_changes": "6"}, None):
        assert admin.patch(path, json={"limits": wrong}).status_code == 422
    assert admin.get(path).json()["limits"] == changed["limits"]


@pytest.mark.case("SEED-098")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_blocks_incidents_and_all_else_survive_a_restart(tmp_path: Path, how: str) -> None:
    with running(tmp_path) as server:
        token = server.token("read", "write")
        with server.client(token) as admin:
            office = Office(server, admin)
            incident = steal(office.laptop)
            resolved = steal(office.desk)
            admin.post(f"/incidents/{resolved}/resolve", json={"reason": "over"}).raise_for_status()
            last = a_peer(admin, office.network, name=a_name("last"), kind="static", public_key=a_public_key())
            paths = [f"/networks/{office.network['id']}", "/incidents", f"/networks/{office.network['id']}/capacity"]
            before = [admin.get(path).raise_for_status().json() for path in paths]
            peers = [peer | {"status": None} for peer in admin.get("/peers").json()["items"]]
            (server.stop if how == "stop" else server.kill)()
            server.start()
            assert [admin.get(path).raise_for_status().json() for path in paths] == before
            assert [peer | {"status": None} for peer in admin.get("/peers").json()["items"]] == peers
            assert last["peer"]["id"] in {peer["id"] for peer in peers}
        with office.laptop.client() as client:
            answer = client.get("/agent/config")
            check_blocked(answer.status_code, answer.json(), incident)
        assert office.gw.config().config is not None
        assert office.desk.config().config is not None
