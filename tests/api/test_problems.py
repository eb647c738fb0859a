"""Refusals as problem documents: complete, and each code provoked once."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from isthmus.domain import errors
from isthmus.domain.errors import Refusal
from isthmus.server.adapters.http.connections import MOST_HEAD
from isthmus.server.adapters.http.edge import MAX_BODY
from isthmus.server.adapters.http.errors import STATUS, of_refusal
from isthmus.server.outward_ports import RemoteRefused
from tests.api.agent import Agent, a_name, a_network, a_peer, enroll_body, heartbeat
from tests.server import Server

JSON = {"Content-Type": "application/json"}
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "stage", "retryable", "request_id"}


def subclasses(kind: type[Refusal]) -> list[type[Refusal]]:
    """All refusals that the server can raise; the agent has some of its own, which never become HTTP, and what a remote
    said comes with a code and a status of its own."""
    found = [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]
    return [each for each in found if not each.__module__.startswith("isthmus.agent") and each is not RemoteRefused]


def some(kind: type[Refusal]) -> Refusal:
    return kind(**{field.name: _value(field.type) for field in fields(kind)})


def _value(kind: object) -> object:
    if str(kind).startswith("tuple"):
        return ()
    return 7 if kind in {"int", int} else "value"


def check_problem(answer: httpx2.Response, code: str) -> Any:
    """The problem document, which is complete and says `code`."""
    assert answer.status_code == STATUS[code], answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.content) <= 4096
    body = answer.json()
    assert body.keys() >= MEMBERS
    assert (body["code"], body["status"], body["type"]) == (code, STATUS[code], f"urn:isthmus:problem:{code}")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert UUID(body["instance"].removeprefix("urn:uuid:")) == UUID(body["request_id"])
    return body


@pytest.mark.parametrize("kind", subclasses(Refusal), ids=lambda kind: kind.__name__)
def test_every_refusal_has_a_status_and_can_be_shown(kind: type[Refusal]) -> None:
    refusal = some(kind)
    body = json.loads(bytes(of_refusal(refusal, str(uuid4())).body))
    assert 400 <= body["status"] < 500
    assert body["status"] == STATUS[kind.code]
    assert body["detail"] == str(refusal)


def test_every_refusal_of_the_domain_is_known_here() -> None:
    named = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refusal)}
    assert named - {Refusal} <= set(subclasses(Refusal))


def exhausted(admin: httpx2.Client, server: Server) -> httpx2.Response:
    network = a_network(admin, cidr_v4="10.200.0.0/30")
    for _ in range(2):
        a_peer(admin, network)
    return admin.post(f"/networks/{network['id']}/peers", json={"name": "more"})


def last_jump(admin: httpx2.Client, server: Server) -> httpx2.Response:
    network = a_network(admin)
    jump = a_peer(admin, network, kind="jump")
    a_peer(admin, network)
    return admin.delete(f"/peers/{jump['peer']['id']}")


def shown(admin: httpx2.Client, server: Server) -> httpx2.Response:
    phone = a_peer(admin, a_network(admin), kind="static")
    return admin.get(f"/peers/{phone['peer']['id']}/config")


def stale_version(admin: httpx2.Client, server: Server) -> httpx2.Response:
    network = a_network(admin)
    return admin.patch(f"/networks/{network['id']}", json={"mtu": 1400}, headers={"If-Match": '"99"'})


def replayed(admin: httpx2.Client, server: Server) -> httpx2.Response:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    nonce = agent.config().nonce
    with agent.client() as client:
        client.post("/agent/heartbeat", json=heartbeat(nonce)).raise_for_status()
        return client.post("/agent/heartbeat", json=heartbeat(nonce))


def guessed(admin: httpx2.Client, server: Server) -> httpx2.Response:
    name = a_name("user")
    for _ in range(10):
        admin.post("/auth/login", json={"username": name, "password": "wrong"})
    return admin.post("/auth/login", json={"username": name, "password": "wrong"})


def enroll(admin: httpx2.Client, server: Server) -> httpx2.Response:
    return admin.post("/agent/enroll", json=enroll_body("isthmus-enroll-nonsense"))


def forbidden(admin: httpx2.Client, server: Server) -> httpx2.Response:
    with server.client(server.token("read")) as reader:
        return reader.post("/networks", json={})


# `internal`, `upstream_unavailable` and `version_conflict` are provoked where faults are: in test_faults.py.
PROVOKED: dict[str, Callable[[httpx2.Client, Server], httpx2.Response]] = {
    "validation_failed": lambda admin, _: admin.post("/networks", json={"name": "Not A Name"}),
    "not_found": lambda admin, _: admin.get(f"/networks/{uuid4()}"),
    "network_exhausted": exhausted,
    "transition_not_allowed": last_jump,
    "precondition_failed": stale_version,
    "config_already_shown": shown,
    "enrollment_token_invalid": enroll,
    "unauthenticated": lambda _, server: httpx2.get(f"{server.url}/api/v1/networks"),
    "forbidden": forbidden,
    "replay_detected": replayed,
    "rate_limited": guessed,
    "json_invalid": lambda admin, _: admin.post("/networks", content=b'{"name": ', headers=JSON),
    "route_not_found": lambda admin, _: admin.get("/nothing"),
    "method_not_allowed": lambda admin, _: admin.put("/networks"),
    "headers_too_large": lambda admin, _: admin.get("/networks", headers={"X-Long": "x" * MOST_HEAD}),
    "body_too_large": lambda admin, _: admin.post("/networks", content=b"x" * (MAX_BODY + 1)),
}


@pytest.mark.parametrize("code", PROVOKED)
def test_a_refusal_is_a_whole_problem_document(admin: httpx2.Client, server: Server, code: str) -> None:
    body = check_problem(PROVOKED[code](admin, server), code)
    assert body["retryable"] == (code in {"rate_limited", "replay_detected"})
    if code == "rate_limited":
        assert 0 < body["retry_after"] <= 301


def chunks(size: int) -> Any:
    for _ in range(size // 4096 + 1):
        yield b" " * 4096


@pytest.mark.parametrize("path", ["/networks", "/agent/enroll", "/agent/heartbeat"])
def test_a_body_that_grows_too_large_without_saying_so_is_cut(admin: httpx2.Client, server: Server, path: str) -> None:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    token = agent.session if path == "/agent/heartbeat" else server.token("write")
    with server.client(token) as client:
        check_problem(client.post(path, content=chunks(2 * MAX_BODY), headers=JSON), "body_too_large")


def test_a_body_of_the_bound_is_read(admin: httpx2.Client) -> None:
    padded = json.dumps({"name": a_name("net")}).encode().ljust(MAX_BODY)
    assert admin.post("/networks", content=padded, headers=JSON).status_code == 201


def test_too_large_is_said_before_anybody_is_asked_who_they_are(server: Server) -> None:
    with server.client() as client:
        check_problem(client.post("/networks", content=b"x" * (MAX_BODY + 1)), "body_too_large")
