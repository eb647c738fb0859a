"""Enrollment over the API: races, bad tokens, and what ends with a peer."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from isthmus.protocol import agent as wire
from tests.api.agent import Agent, Stream, a_network, a_peer, enroll_body, heartbeat
from tests.server import Server

TRIES = 200


@pytest.fixture(scope="module")
def either_admin(either_server: Server) -> Iterator[httpx2.Client]:
    with either_server.client(either_server.token("read", "write", "admin")) as client:
        yield client


def rows_since(admin: httpx2.Client, number: int) -> list[Any]:
    rows = admin.get("/audit", params={"limit": 1000}).raise_for_status().json()["items"]
    return [row for row in rows if row["number"] > number]


def last_row(admin: httpx2.Client) -> int:
    return int(admin.get("/audit", params={"limit": 1}).json()["items"][0]["number"])


def check_denied(admin: httpx2.Client, since: int, answer: httpx2.Response, code: str) -> None:
    """The answer is a refusal with this code, and it left one audit row; a spent token opens an incident beside it."""
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    (row,) = (row for row in rows_since(admin, since) if row["action"] != "incident.open")
    assert (row["outcome"], row["reason"], row["request_id"]) == ("denied", code, answer.json()["request_id"])


@pytest.mark.case("ENROL-001")
async def test_of_200_agents_that_use_one_token_at_once_one_enrolls(
    either_server: Server, either_admin: httpx2.Client
) -> None:
    network = a_network(either_admin)
    alone = Agent.enrolled(either_server, a_peer(either_admin, network))
    assert alone.config().config is not None

    created = a_peer(either_admin, network)
    since = last_row(either_admin)
    bodies = [enroll_body(created["enrollment"]["token"]) for _ in range(TRIES)]
    async with either_server.async_client() as client:
        answers = await asyncio.gather(*(client.post("/agent/enroll", json=body) for body in bodies))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 401: TRIES - 1}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"enrollment_token_invalid"}

    rows = [row for row in rows_since(either_admin, since) if row["action"] != "incident.open"]
    outcomes = Counter((row["action"], row["outcome"], row["reason"]) for row in rows)
    assert outcomes == {
        ("agent.enroll", "done", None): 1,
        ("POST /api/v1/agent/enroll", "denied", "enrollment_token_invalid"): TRIES - 1,
    }
    assert len({row["request_id"] for row in rows}) == TRIES
    winner = next(index for index, answer in enumerate(answers) if answer.status_code == 201)
    peer = either_admin.get(f"/peers/{created['peer']['id']}").json()
    assert peer["public_key"] == bodies[winner]["public_key"]
    after = either_admin.get(f"/networks/{network['id']}").json()
    assert after["revision"] == network["revision"] + 4, "two peers were made and two enrolled; 199 changed nothing"
    async with either_server.async_client(answers[winner].json()["session_token"]) as client:
        assert (await client.get("/agent/config")).status_code == 200


def test_bad_tokens_all_look_the_same(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    good, spent, replaced, deleted = [a_peer(admin, network) for _ in range(4)]
    token = good["enrollment"]["token"]
    Agent.enrolled(server, spent)
    admin.post(f"/peers/{replaced['peer']['id']}/enrollment-token").raise_for_status()
    admin.delete(f"/peers/{deleted['peer']['id']}").raise_for_status()
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    bad = {
        "unknown": "isthmus-enroll-nothing",
        "spent": spent["enrollment"]["token"],
        "replaced": replaced["enrollment"]["token"],
        "of a deleted peer": deleted["enrollment"]["token"],
        "truncated": token[:-1],
        "one character off": flipped,
        "with a space": f"{token} ",
    }
    answers = set()
    with server.client() as client:
        for name, text in bad.items():
            since = last_row(admin)
            answer = client.post("/agent/enroll", json=enroll_body(text))
            check_denied(admin, since, answer, "enrollment_token_invalid")
            body = answer.json()
            del body["request_id"], body["instance"]
            answers.add((tuple(sorted(body.items())), name and answer.headers["content-type"]))
    assert len(answers) == 1
    assert Agent.enrolled(server, good).config().config is not None


@pytest.mark.case("SEED-080")
async def test_the_session_and_not_the_token_serves_later_requests(server: Server, admin: httpx2.Client) -> None:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    before = admin.get(f"/peers/{agent.peer_id}").json()
    with server.client(agent.token) as with_token:
        for method, path, body in (
            ("GET", "/agent/config", None),
            ("POST", "/agent/heartbeat", heartbeat("x")),
            ("POST", "/agent/applied", {"revision": 1, "took_ms": 1}),
        ):
            since = last_row(admin)
            check_denied(admin, since, with_token.request(method, path, json=body), "unauthenticated")
    since = last_row(admin)
    with pytest.raises(InvalidStatus) as refused:
        async with Stream(server.address, agent.token):
            pass
    assert refused.value.response.status_code == 401
    assert b'"unauthenticated"' in (refused.value.response.body or b"")
    assert [row["reason"] for row in rows_since(admin, since)] == ["unauthenticated"]
    assert admin.get(f"/peers/{agent.peer_id}").json() == before

    with agent.client() as client:
        nonce = client.get("/agent/config").raise_for_status().json()["nonce"]
        client.post("/agent/heartbeat", json=heartbeat(nonce)).raise_for_status()
        client.post("/agent/applied", json={"revision": 1, "took_ms": 1}).raise_for_status()
    async with agent.stream() as stream:
        assert isinstance(await stream.next(), wire.Hello)


@pytest.mark.case("SEED-081")
async def test_deleting_a_peer_ends_its_token_its_stream_and_its_session(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    live = Agent.enrolled(server, a_peer(admin, network))
    other = Agent.enrolled(server, a_peer(admin, network))
    waiting = a_peer(admin, network)
    async with live.stream() as stream, other.stream() as others_stream:
        await stream.next_of(wire.Snapshot)
        await others_stream.next_of(wire.Snapshot)
        admin.delete(f"/peers/{waiting['peer']['id']}").raise_for_status()
        with live.client() as client:
            client.get("/agent/config").raise_for_status()
            admin.delete(f"/peers/{live.peer_id}").raise_for_status()
            begin = time.monotonic()
            assert await stream.closed() == wire.CLOSE_SESSION_ENDED
            since = last_row(admin)
            denied = client.get("/agent/config")
            assert time.monotonic() - begin < 1
            check_denied(admin, since, denied, "unauthenticated")
        since = last_row(admin)
        with server.client() as client:
            answer = client.post("/agent/enroll", json=enroll_body(waiting["enrollment"]["token"]))
        check_denied(admin, since, answer, "enrollment_token_invalid")

        config = gw.config().config
        assert config is not None
        assert [neighbour.public_key for neighbour in config.neighbours] == [other.public_key]
        await others_stream.send(wire.Resync())
        assert isinstance(await others_stream.next_of(wire.Snapshot), wire.Snapshot)


@pytest.mark.case("ENROL-004")
async def test_a_session_speaks_for_its_own_peer_only(server: Server, admin: httpx2.Client) -> None:
    network = a_network(admin)
    agent, other = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    stranger = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    for victim in (other, stranger):
        before = admin.get(f"/peers/{victim.peer_id}").json()
        named = {"isthmus-peer": victim.peer_id}
        with agent.client() as client:
            for method, path, body, headers in (
                ("GET", f"/agent/config?peer={victim.peer_id}", None, {}),
                ("GET", "/agent/config", None, named),
                ("POST", f"/agent/heartbeat?peer={victim.peer_id}", heartbeat("x"), {}),
                ("POST", "/agent/heartbeat", heartbeat("x"), named),
                ("POST", f"/agent/applied?peer={victim.peer_id}", {"revision": 1, "took_ms": 1}, {}),
                ("POST", "/agent/applied", {"revision": 1, "took_ms": 1}, named),
                ("GET", f"/peers/{victim.peer_id}", None, {}),
                ("GET", f"/peers/{victim.peer_id}/config", None, {}),
                ("GET", f"/peers/{agent.peer_id}", None, {}),
                ("GET", "/audit", None, {}),
            ):
                since = last_row(admin)
                answer = client.request(method, path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
                check_denied_row(admin, since, agent)
            assert client.get(f"/agent/config?peer={agent.peer_id}").status_code == 200
            assert client.get("/agent/config", headers={"isthmus-peer": agent.peer_id}).status_code == 200
        since = last_row(admin)
        with pytest.raises(InvalidStatus) as refused:
            async with agent.stream(query=f"?peer={victim.peer_id}"):
                pass
        assert refused.value.response.status_code == 403
        check_denied_row(admin, since, agent)
        assert admin.get(f"/peers/{victim.peer_id}").json() == before


def check_denied_row(admin: httpx2.Client, since: int, agent: Agent) -> None:
    (row,) = rows_since(admin, since)
    assert (row["actor"], row["outcome"], row["reason"]) == (f"agent:{agent.peer_id}", "denied", "forbidden")
