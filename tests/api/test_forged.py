"""Fields that a caller may not set, and tokens with any flaw: refused everywhere, with a row of it."""

import json
import time
from base64 import urlsafe_b64encode
from hmac import digest
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from isthmus.server.adapters.http.access import ACCESS, API, Need
from tests.api.agent import Agent, a_name, a_network, a_peer, heartbeat
from tests.server import Server, bearer

# What none of the bodies takes as a field of its own, wherever it is not named by the document itself.
NOT_FOR_CALLERS = ("role", "owner", "state", "revoked_at", "id", "generation", "surprise")
DOCUMENT_PATH = "/openapi.json"


def schemas_of(admin: httpx2.Client) -> list[tuple[str, str, set[str]]]:
    """Each call of a person that takes an object, with the fields that it takes."""
    document = admin.get(DOCUMENT_PATH).json()
    found = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            name = schema.get("$ref", "").rpartition("/")[2]
            if name and ACCESS[method.upper(), path] in {Need.READ, Need.WRITE, Need.ADMIN}:
                fields = set(document["components"]["schemas"][name].get("properties", {}))
                found.append((method.upper(), path, fields))
    return found


def filled(path: str) -> str:
    parts = [str(uuid4()) if part.startswith("{") else part for part in path.removeprefix(API).split("/")]
    return "/".join(parts)


def pointers(answer: httpx2.Response) -> set[str]:
    return {each["pointer"] for each in answer.json().get("errors", ())}


def row_of(admin: httpx2.Client, answer: httpx2.Response) -> Any:
    """The one row that tells of a refusal."""
    rows = admin.get("/audit", params={"limit": 50}).raise_for_status().json()["items"]
    (row,) = [each for each in rows if each["request_id"] == answer.json()["request_id"]]
    assert row["outcome"] == "denied"
    return row


@pytest.mark.case("AUTH-004")
def test_fields_that_a_caller_may_not_set_are_refused_by_every_call_and_named(admin: httpx2.Client) -> None:
    calls = schemas_of(admin)
    assert len(calls) > 30
    for method, path, fields in calls:
        for forbidden in NOT_FOR_CALLERS:
            if forbidden in fields:
                continue
            answer = admin.request(method, filled(path), json={forbidden: "x"})
            assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), (
                method,
                path,
                answer.text,
            )
            assert f"/{forbidden}" in pointers(answer), (method, path, forbidden)
            assert row_of(admin, answer)["reason"] == "validation_failed"


@pytest.mark.case("AUTH-004")
def test_an_object_is_made_and_changed_without_such_a_field_and_not_with_one(admin: httpx2.Client) -> None:
    network = a_network(admin)
    made = a_peer(admin, network)["peer"]
    wholes: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/networks", {"name": a_name("net")}),
        ("PATCH", f"/networks/{network['id']}", {"mtu": 1380}),
        ("POST", f"/networks/{network['id']}/peers", {"name": a_name()}),
        ("PATCH", f"/peers/{made['id']}", {"groups": ["desks"]}),
        ("POST", "/tokens", {"name": "script", "scopes": ["read"]}),
        ("POST", "/users", {"handle": a_name("ann")}),
        ("POST", "/network-templates", {"name": a_name("small"), "mtu": 1380}),
    ]
    for method, path, body in wholes:
        for forbidden in NOT_FOR_CALLERS:
            if forbidden == "owner" and "peers" in path:
                continue  # of a peer an operator does say who owns it
            before = everything(admin)
            answer = admin.request(method, path, json=body | {forbidden: "x"})
            assert (answer.status_code, pointers(answer)) == (422, {f"/{forbidden}"}), (method, path, answer.text)
            assert everything(admin) == before
        assert admin.request(method, path, json=body).status_code in {200, 201}


def everything(admin: httpx2.Client) -> list[Any]:
    paths = ("/networks", "/peers", "/tokens", "/users", "/network-templates")
    return [strip(admin.get(path, params={"limit": 1000}).json()) for path in paths]


def strip(listing: Any) -> Any:
    """Without what calls and time change by themselves."""
    for each in listing["items"]:
        each.pop("last_used_at", None)
        each.pop("status", None)
    return listing


def encoded(value: dict[str, Any] | bytes) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged() -> dict[str, str]:
    """Tokens as other software takes them, each with one flaw; none is anything here."""
    key, now = RSAKey.generate_key(2048), int(time.time())
    claims = {"iss": "isthmus", "aud": "isthmus", "sub": "admin", "scope": "read write admin", "exp": now + 600}
    public = key.as_pem(private=False)

    def signed(header: dict[str, Any] | None = None, **changes: Any) -> str:
        return jwt.encode({"alg": "RS256"} | (header or {}), claims | changes, key)

    begun = f"{encoded({'alg': 'HS256'})}.{encoded(claims)}"
    return {
        "algorithm none": f"{encoded({'alg': 'none'})}.{encoded(claims)}.",
        "HS for RS": f"{begun}.{encoded(digest(public, begun.encode(), 'sha256'))}",
        "a key id that is a path": signed({"kid": "../../../../dev/null"}),
        "a key id that is a URL": signed({"kid": "http://127.0.0.1:9/key.pem"}),
        "expired": signed(exp=now - 600),
        "not yet valid": signed(nbf=now + 600),
        "another issuer": signed(iss="https://evil.example"),
        "another audience": signed(aud="another"),
    }


FORGED = forged()
PERSONAL = [("GET", "/networks"), ("POST", "/networks"), ("GET", "/auth/me"), ("DELETE", f"/peers/{uuid4()}")]


@pytest.mark.case("AUTH-002")
@pytest.mark.parametrize("flaw", FORGED)
def test_a_token_with_any_flaw_is_refused_at_every_entry(server: Server, admin: httpx2.Client, flaw: str) -> None:
    token = FORGED[flaw]
    with server.client(token) as client:
        for method, path in PERSONAL:
            answer = client.request(method, path, json={"name": "planted"} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), path
            assert row_of(admin, answer)["reason"] == "unauthenticated"
        beat = client.post("/agent/heartbeat", json=heartbeat("nonce"))
        assert (beat.status_code, beat.json()["code"]) == (401, "unauthenticated")
        assert row_of(admin, beat)["reason"] == "unauthenticated"
        enrolled = client.post("/agent/enroll", json={"token": token, "public_key": "A" * 43 + "="})
        assert enrolled.status_code in {401, 422}
    for path in ("/events", "/agent/stream"):
        url, headers = f"ws://{server.address}{API}{path}", bearer(token)
        with pytest.raises(InvalidStatus) as refused, connect(url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 401
        problem = json.loads(refused.value.response.body or b"")
        rows = admin.get("/audit", params={"limit": 50}).json()["items"]
        assert [each["reason"] for each in rows if each["request_id"] == problem["request_id"]] == ["unauthenticated"]
    assert admin.get("/networks", params={"name": "planted"}).json()["items"] == []


@pytest.mark.case("AUTH-002")
def test_a_good_token_is_taken_at_every_entry(server: Server, admin: httpx2.Client) -> None:
    agent, token = Agent.enrolled(server, a_peer(admin, a_network(admin))), server.token("read")
    with server.client(token) as client:
        assert client.get("/networks").status_code == client.get("/auth/me").status_code == 200
    with server.client(agent.session) as host:
        assert host.post("/agent/heartbeat", json=heartbeat(str(uuid4()))).status_code == 200
    for path, good in (("/events", token), ("/agent/stream", agent.session)):
        with connect(f"ws://{server.address}{API}{path}", additional_headers=bearer(good)):
            pass
