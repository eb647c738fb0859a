"""Every field of every request with values of the wrong kind, size or intent: refused or taken, never a fault."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from isthmus.server.adapters.http.access import ACCESS
from tests.api.agent import Agent, a_name, a_network, a_peer, a_public_key, enroll_body, heartbeat
from tests.server import API, Server

DEEP: Any = "x"
for _ in range(500):
    DEEP = [DEEP]
HOSTILE: list[Any] = [
    *(None, True, -1, 1.5, 2**31, 2**63, 10**400, float("nan")),
    *("", "x" * 70_000, "\x00", "a\nb", "\ud800", "\u202e\ufeff", "é", "²", "0", "'; DROP TABLE peers; --"),
    *("[Peer]\nPublicKey = x", "::1%lo", "10.0.0.0/33", "1.2.3.4:99999"),
    *([], {}, [None], {"": None}, ["\x00"], {"a": {"b": []}}, list(range(1000)), DEEP),
]
# What one database takes and another does not; everything else never gets as far as to one.
STORED_DIFFERENTLY: list[Any] = [
    2**31,
    2**63,
    "\x00",
    "a\x00b",
    "\ud800",
    "\u202e\ufeff",
    "é",
    ["\x00"],
    {"\x00": "\x00"},
]
JSON = {"Content-Type": "application/json"}


class Target:
    """A server with one of everything, and good requests to spoil."""

    def __init__(self, server: Server, admin: httpx2.Client) -> None:
        self.server = server
        self.admin = admin
        self.network = a_network(admin, cidr_v4="10.1.0.0/16")
        self.phone = a_peer(admin, self.network, kind="static")["peer"]
        self.laptop = a_peer(admin, self.network)["peer"]
        self.template = admin.post("/network-templates", json={"name": a_name("template")}).raise_for_status().json()
        self.gw = Agent.enrolled(server, a_peer(admin, self.network, kind="jump"))
        self.agent_client = self.gw.client()
        self.log = server.log


@pytest.fixture(scope="module")
def target(either_server: Server) -> Iterator[Target]:
    with either_server.client(either_server.token("read", "write", "admin")) as admin:
        made = Target(either_server, admin)
        yield made
        made.agent_client.close()


Request = Callable[[Target], tuple[httpx2.Client, str, str, dict[str, Any]]]
NETWORK = {"cidr_v4": "10.77.0.0/24", "cidr_v6": "fd00::/64", "domain": "x.internal", "mtu": 1400}
NETWORK |= {"listen_port": 51820, "keepalive": 25}
PEER = {
    "groups": ["staff"],
    "isolated": False,
    "full_encapsulation": False,
    "owner": "ada",
    "labels": {"site": "north"},
}
PEER |= {"additional_allowed_ips": ["192.168.9.0/24"]}
NEW_PEER = {"kind": "dynamic", "address_v4": "10.1.0.99", "address_v6": "fd00::9", "token_lifetime": 3600} | PEER
NEW_STATIC = {"kind": "static", "keep_private_key": False, "endpoint": "192.0.2.1:51820"}
TEMPLATE = {"mtu": 1400, "listen_port": 51820, "keepalive": 25, "domain_suffix": "internal"}
TEMPLATE |= {"cidr_prefix": 24, "cidr_pool": "10.0.0.0/8"}
REPORT = {"public_key": "A" * 44, "endpoint": "192.0.2.7:1", "latest_handshake": 1, "rx": 1, "tx": 2}
BODIES: dict[str, Request] = {
    "login": lambda t: (t.admin, "POST", "/auth/login", {"username": "ada", "password": "wrong"}),
    "password": lambda t: (t.admin, "PUT", "/auth/password", {"current_password": "a", "new_password": "b" * 12}),
    "token": lambda t: (t.admin, "POST", "/tokens", {"name": "ci", "scopes": ["read"], "lifetime": 60}),
    "network": lambda t: (t.admin, "POST", "/networks", {"name": a_name("net"), "template": None} | NETWORK),
    "network change": lambda t: (
        t.admin,
        "PATCH",
        f"/networks/{t.network['id']}",
        {"name": t.network["name"], "force": True} | NETWORK | {"cidr_v4": "10.1.0.0/16"},
    ),
    "reservation": lambda t: (
        t.admin,
        "POST",
        f"/networks/{t.network['id']}/reservations",
        {"address": "10.1.0.250", "note": "printer"},
    ),
    "peer": lambda t: (t.admin, "POST", f"/networks/{t.network['id']}/peers", {"name": a_name()} | NEW_PEER),
    "static peer": lambda t: (
        t.admin,
        "POST",
        f"/networks/{t.network['id']}/peers",
        {"name": a_name(), "public_key": a_public_key()} | NEW_STATIC,
    ),
    "peer change": lambda t: (
        t.admin,
        "PATCH",
        f"/peers/{t.phone['id']}",
        {"name": t.phone["name"], "endpoint": None, "public_key": a_public_key()} | PEER,
    ),
    "bulk": lambda t: (t.admin, "POST", bulk_path(t), {"operations": [{"action": "create", "name": a_name()}]}),
    "bulk creation": lambda t: (t.admin, "POST", bulk_path(t), {"action": "create", "name": a_name()} | NEW_PEER),
    "bulk update": lambda t: (
        t.admin,
        "POST",
        bulk_path(t),
        {"action": "update", "name": t.phone["name"], "new_name": t.phone["name"], "public_key": a_public_key()}
        | {"version": None, "groups": ["staff"]}
        | PEER,
    ),
    "bulk deletion": lambda t: (
        t.admin,
        "POST",
        bulk_path(t),
        {"action": "delete", "name": "nobody", "force": False, "version": 1},
    ),
    "template": lambda t: (t.admin, "POST", "/network-templates", {"name": a_name("template")} | TEMPLATE),
    "template change": lambda t: (
        t.admin,
        "PATCH",
        f"/network-templates/{t.template['id']}",
        {"name": t.template["name"]} | TEMPLATE,
    ),
    "enrollment token": lambda t: (t.admin, "POST", f"/peers/{t.laptop['id']}/enrollment-token", {"lifetime": 60}),
    "enroll": lambda t: (t.admin, "POST", "/agent/enroll", enroll_body("isthmus-enroll-x", protocol=1)),
    "heartbeat": lambda t: (t.agent_client, "POST", "/agent/heartbeat", heartbeat("x", peers=[REPORT])),
    "report": lambda t: (t.agent_client, "POST", "/agent/heartbeat", REPORT),
    "host": lambda t: (t.agent_client, "POST", "/agent/heartbeat", heartbeat("x")["host"]),
    "resolution": lambda t: (t.admin, "POST", f"/incidents/{t.network['id']}/resolve", {"reason": "a drill"}),
    "limits": lambda t: (t.admin, "PATCH", f"/networks/{t.network['id']}", {"limits": {"port_changes": 6}}),
    "applied": lambda t: (t.agent_client, "POST", "/agent/applied", {"revision": 1, "took_ms": 5, "error": "no"}),
}


def bulk_path(target: Target) -> str:
    return f"/networks/{target.network['id']}/peers/bulk"


def check_unharmed(answer: httpx2.Response, what: object) -> None:
    assert answer.status_code < 500, f"{what}: {answer.text}"
    assert "Traceback" not in answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", what
        assert answer.json()["code"]
        # Of a bulk, up to a hundred rows are named.
        assert len(answer.content) <= (65_536 if "/operations/" in answer.text else 8192)


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_value_in_any_field_of_a_body_is_no_fault(target: Target, name: str) -> None:
    client, method, path, good = BODIES[name](target)
    nonce = ""
    for field in [*good, "unknown"]:
        for value in STORED_DIFFERENTLY if "database_url" in target.server.settings else HOSTILE:
            body = BODIES[name](target)[3] | {field: value}
            if path == "/agent/heartbeat":
                # A fresh nonce each time, or replay detection would answer before anything else.
                nonce = fresh_nonce(target)
                whole: dict[str, Any] = {"report": {"peers": [body]}, "host": {"host": body}}
                around = whole.get(name, body)
                body = heartbeat(nonce) | around | {"nonce": value if field == "nonce" else nonce}
            if name.startswith("bulk "):
                body = {"operations": [body]}
            answer = client.request(method, path, content=json.dumps(body), headers=JSON)
            check_unharmed(answer, (field, str(value)[:50]))
    check_nothing_broke(target)


def fresh_nonce(target: Target) -> str:
    """The agent's next nonce. To say that it is another machine, and then again the first one, gets it blocked."""
    answer = target.agent_client.get("/agent/config").json()
    if answer.get("code") == "agent_blocked":
        reason = {"reason": "an agent that plays many"}
        target.admin.post(f"/incidents/{answer['incident']}/resolve", json=reason).raise_for_status()
        answer = target.agent_client.get("/agent/config").json()
    return str(answer["nonce"])


def check_nothing_broke(target: Target) -> None:
    """What was taken can be read, by people and by the agent, and nothing was logged but incidents."""
    for path in ("/networks", "/peers", "/tokens", "/audit", f"/networks/{target.network['id']}/reservations"):
        assert target.admin.get(path, params={"limit": 1000}).status_code == 200, path
    assert fresh_nonce(target)
    fresh, target.log = target.server.log[len(target.log) :], target.server.log
    assert [line for line in fresh.splitlines() if '"event": "incident"' not in line] == []


RAW = {
    "nothing": b"",
    "not JSON": b"{",
    "a number": b"5",
    "a list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "very deep lists": b"[" * 100_000,
    "very deep objects": b'{"a":' * 40_000,
    "a name twice": b'{"name": "a", "name": "b"}',
    "a long number": b'{"mtu": ' + b"9" * 100_000 + b"}",
    "many names": json.dumps({str(number): number for number in range(10_000)}).encode(),
}


@pytest.mark.parametrize("body", RAW.values(), ids=RAW)
def test_a_body_that_is_no_good_json_is_no_fault(target: Target, body: bytes) -> None:
    for name in BODIES:
        client, method, path, _ = BODIES[name](target)
        check_unharmed(client.request(method, path, content=body, headers=JSON), path)
    check_nothing_broke(target)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a/b;x", ""]
)
def test_another_content_type_is_no_fault(target: Target, kind: str) -> None:
    for name in BODIES:
        client, method, path, good = BODIES[name](target)
        answer = client.request(method, path, content=json.dumps(good), headers={"Content-Type": kind})
        check_unharmed(answer, path)
    check_nothing_broke(target)


PLACES = ["%00", "%ff", "..%2f..", "x" * 3000, "%0d%0aX-Evil:%201", "0", "-", "%F0%9F%92%A9", "{peer_id}", "%20"]


@pytest.mark.parametrize("text", PLACES)
def test_a_hostile_path_is_no_fault(target: Target, text: str) -> None:
    for method, path in ACCESS:
        if method == "WS" or "{" not in path:
            continue
        parts = [text if part.startswith("{") else part for part in path.removeprefix(API).split("/")]
        answer = target.admin.request(method, "/".join(parts))
        check_unharmed(answer, path)
        assert "x-evil" not in answer.headers
        known = path.removeprefix(API).replace("{network_id}", target.network["id"]).replace("{address}", text)
        if "{address}" in path:
            check_unharmed(target.admin.request(method, known), known)
    check_nothing_broke(target)


@pytest.mark.parametrize("value", ["", "\x00", "x" * 5000, "-1", "0", "9" * 30, "1e3", "é", "'--", "[]", "٣"])
def test_a_hostile_query_is_no_fault(target: Target, value: str) -> None:
    names = [
        "group",
        "label",
        "to",
        "limit",
        "after",
        "before",
        "name",
        "search",
        "kind",
        "network",
        "enrolled",
        "peers",
        "pool",
        "force",
    ]
    paths = ["/networks", "/peers", "/groups", "/network-templates", "/tokens", "/audit", "/network-suggestion"]
    history = f"/peers/{target.phone['id']}/config-revisions"
    for path in (*paths, f"/peers/{uuid4()}", history, f"{history}/2", f"{history}/2/diff"):
        for name in names:
            answer = target.admin.get(path, params={name: value} | ({"peers": 5} if name == "pool" else {}))
            check_unharmed(answer, (path, name))
    for name in ("revision", "peer"):
        check_unharmed(target.agent_client.get("/agent/config", params={name: value}), name)
    check_nothing_broke(target)


@pytest.mark.parametrize("value", ["", "*", "3", '"', '""', '"x"', 'W/"1"', '"1", "2"', '"' + "9" * 400 + '"', '"-1"'])
def test_a_hostile_if_match_is_no_fault(target: Target, value: str) -> None:
    for path in (f"/networks/{target.network['id']}", f"/peers/{target.phone['id']}"):
        answer = target.admin.patch(path, json={}, headers={"If-Match": value})
        check_unharmed(answer, path)
        assert (answer.status_code == 200) == (value == "*"), answer.text


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", "bearer x", "Bearer " + "x" * 8000, "Bearer \xe9"])
def test_a_hostile_authorization_is_unauthenticated(target: Target, value: str) -> None:
    with target.server.client() as client:
        for path in ("/networks", "/agent/config"):
            answer = client.get(path, headers=[(b"Authorization", value.encode("latin-1"))])
            check_unharmed(answer, path)
            assert answer.status_code == 401
    check_nothing_broke(target)
