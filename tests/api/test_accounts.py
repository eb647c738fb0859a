"""Accounts: what others have is absent, powers are kept apart, and access ends when it should."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from isthmus.protocol.notice import CLOSE_ACCESS_ENDED
from isthmus.server.adapters.http.browser import CSRF_HEADER, csrf_of
from tests.api.accounts import Person, an_account, sign_in
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.api.test_incidents import steal
from tests.api.watcher import Watcher
from tests.server import API, Server, bearer

SOON = 1.0  # seconds within which whoever may not hear any more hears nothing


@dataclass
class Estate:
    """A network with a peer and an incident, and who administers that network alone."""

    network: dict[str, Any]
    peer: str
    incident: str
    owner: Person
    client: httpx2.Client


@contextmanager
def estate(server: Server, admin: httpx2.Client) -> Iterator[Estate]:
    network = a_network(admin)
    a_peer(admin, network, kind="jump")
    created = a_peer(admin, network, groups=[a_name("group")])
    steal(Agent.enrolled(server, created))
    incidents = admin.get("/incidents", params={"network": network["id"]}).raise_for_status().json()["items"]
    owner = an_account(server, "network_admin", [network["id"]])
    with server.client(owner.token) as client:
        yield Estate(network, created["peer"]["id"], incidents[0]["id"], owner, client)


@pytest.fixture(scope="module")
def estates(server: Server, admin: httpx2.Client) -> Iterator[tuple[Estate, Estate]]:
    with estate(server, admin) as ours, estate(server, admin) as theirs:
        yield ours, theirs


def newest(admin: httpx2.Client) -> int:
    return int(admin.get("/audit", params={"limit": 1}).raise_for_status().json()["items"][0]["number"])


def rows_after(admin: httpx2.Client, number: int) -> list[Any]:
    rows = admin.get("/audit", params={"limit": 50}).raise_for_status().json()["items"]
    return [row for row in rows if row["number"] > number]


def attempts(of: Estate) -> list[tuple[str, str, Any]]:
    network, peer = f"/networks/{of.network['id']}", f"/peers/{of.peer}"
    return [
        ("GET", network, None),
        ("PATCH", network, {"mtu": 1380}),
        ("DELETE", network, None),
        ("GET", f"{network}/capacity", None),
        ("GET", f"{network}/topology", None),
        ("GET", f"{network}/reservations", None),
        ("POST", f"{network}/reservations", {"address": "10.0.0.9"}),
        ("POST", f"{network}/peers", {"name": "intruder"}),
        ("POST", f"{network}/peers/bulk", {"operations": [{"action": "create", "name": "intruder"}]}),
        ("GET", peer, None),
        ("PATCH", peer, {"isolated": True}),
        ("DELETE", peer, None),
        ("GET", f"{peer}/paths", None),
        ("GET", f"{peer}/config-revisions", None),
        ("POST", f"{peer}/enrollment-token", {}),
        ("POST", f"{peer}/rotate-key", None),
        ("DELETE", f"{peer}/session", None),
        ("GET", f"/incidents/{of.incident}", None),
        ("POST", f"/incidents/{of.incident}/resolve", {"reason": "mine"}),
    ]


def ids_of(of: Estate) -> dict[str, str]:
    return {each: str(uuid4()) for each in (of.network["id"], of.peer, of.incident)}


@pytest.mark.case("AUTH-001", "AUTH-005")
def test_what_another_has_is_absent_in_the_words_of_what_never_was_and_attempts_to_change_it_are_recorded(
    admin: httpx2.Client, estates: tuple[Estate, Estate]
) -> None:
    for ours, theirs in (estates, estates[::-1]):
        absent = ids_of(theirs)
        for method, path, body in attempts(theirs):
            before, state = newest(admin), admin.get(f"/networks/{theirs.network['id']}").json()["revision"]
            answer = ours.client.request(method, path, json=body)
            rows = rows_after(admin, before)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
            never = next(id_ for id_ in absent if id_ in path)
            of_nothing = ours.client.request(method, path.replace(never, absent[never]), json=body)
            assert of_nothing.status_code == 404
            assert of_nothing.json()["detail"] == answer.json()["detail"].replace(never, absent[never])
            assert [(row["actor"], row["outcome"], row["reason"]) for row in rows] == (
                [] if method == "GET" else [(f"user:{ours.owner.name}", "denied", "not_found")]
            ), path
            assert admin.get(f"/networks/{theirs.network['id']}").json()["revision"] == state
            # The benign twin: whoever it belongs to gets through.
            if method == "GET":
                assert theirs.client.request(method, path).status_code == 200, path


@pytest.mark.case("AUTH-005")
def test_no_list_filter_or_count_includes_what_another_has(estates: tuple[Estate, Estate]) -> None:
    for ours, theirs in (estates, estates[::-1]):
        own, foreign = ours.network["id"], {"network": theirs.network["id"]}
        assert [each["id"] for each in ours.client.get("/networks").json()["items"]] == [own]
        for path in ("/peers", "/incidents", "/groups"):
            items = ours.client.get(path).raise_for_status().json()["items"]
            assert {each["network"]["id"] for each in items} == {own}, path
            assert ours.client.get(path, params=foreign).json() == {"items": [], "next": None}
            # As a network that never was is answered.
            assert ours.client.get(path, params={"network": str(uuid4())}).json() == {"items": [], "next": None}
        assert ours.client.get("/incidents", params={"peer": theirs.peer}).json()["items"] == []
        assert ours.client.get("/networks", params={"name": theirs.network["name"]}).json()["items"] == []


@pytest.mark.case("AUTH-005")
async def test_no_event_tells_of_what_another_has(
    server: Server, admin: httpx2.Client, estates: tuple[Estate, Estate]
) -> None:
    ours, theirs = estates
    async with (
        Watcher(server, ours.owner.token) as all_of_it,
        Watcher(server, ours.owner.token, f"?network={theirs.network['id']}") as asked_for,
    ):
        assert all_of_it.hello.revisions.keys() == {ours.network["id"]}
        assert asked_for.hello.revisions == {}
        admin.patch(f"/peers/{theirs.peer}", json={"owner": "Ada"}).raise_for_status()
        admin.patch(f"/peers/{ours.peer}", json={"owner": "Ada"}).raise_for_status()
        async with asyncio.timeout(SOON):
            assert (await all_of_it.next()).subject == ours.peer
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asked_for.next()


@pytest.mark.case("AUTH-005")
def test_a_token_is_seen_and_ended_by_its_owner_and_by_who_manages_accounts(
    server: Server, estates: tuple[Estate, Estate]
) -> None:
    ours, theirs = estates
    made = theirs.client.post("/tokens", json={"name": "ci", "scopes": ["read"]}).raise_for_status().json()
    assert made["id"] not in {each["id"] for each in ours.client.get("/tokens").json()["items"]}
    assert ours.client.delete(f"/tokens/{made['id']}").status_code == 404
    assert made["id"] in {each["id"] for each in theirs.client.get("/tokens").json()["items"]}
    with server.client(made["token"]) as script:
        assert script.get("/networks").status_code == 200
        assert theirs.client.delete(f"/tokens/{made['id']}").status_code == 204
        assert script.get("/networks").status_code == 401


@pytest.mark.case("MESH-008")
def test_who_may_make_peers_in_a_network_makes_no_powerful_ones_and_none_elsewhere(
    server: Server, admin: httpx2.Client
) -> None:
    network, other = a_network(admin), a_network(admin)
    jump = a_peer(admin, network, kind="jump")["peer"]["id"]
    static = a_peer(admin, network, kind="static", additional_allowed_ips=["192.0.2.0/24"])["peer"]["id"]
    path = f"/networks/{network['id']}/peers"
    with server.client(an_account(server, "user", [network["id"]]).token) as user:
        made = user.post(path, json={"name": a_name()}).raise_for_status().json()["peer"]
        powerful: list[tuple[str, str, Any]] = [
            ("POST", path, {"name": a_name(), "kind": "jump", "endpoint": "198.51.100.7:51820"}),
            ("POST", path, {"name": a_name(), "kind": "static", "additional_allowed_ips": ["0.0.0.0/0"]}),
            ("PATCH", f"/peers/{made['id']}", {"additional_allowed_ips": ["0.0.0.0/0"]}),
            ("PATCH", f"/peers/{made['id']}", {"additional_allowed_ips": ["203.0.113.0/24"]}),
            ("PATCH", f"/peers/{jump}", {"endpoint": "198.51.100.8:51820"}),
            ("POST", f"/peers/{jump}/enrollment-token", {}),
            ("GET", f"/peers/{static}/config", None),
            ("POST", f"{path}/bulk", {"operations": [{"action": "create", "name": a_name(), "kind": "jump"}]}),
            ("PATCH", f"/networks/{network['id']}", {"mtu": 1380}),
            ("POST", "/networks", {"name": a_name("mine")}),
        ]
        for method, where, body in powerful:
            before, revision = newest(admin), admin.get(f"/networks/{network['id']}").json()["revision"]
            answer = user.request(method, where, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), where
            (row,) = rows_after(admin, before)
            assert (row["outcome"], row["reason"]) == ("denied", "forbidden")
            assert admin.get(f"/networks/{network['id']}").json()["revision"] == revision
        # Another network is not forbidden but absent: 403 would tell that it is there.
        assert user.post(f"/networks/{other['id']}/peers", json={"name": a_name()}).status_code == 404
        assert user.patch(f"/peers/{made['id']}", json={"owner": "Ada"}).status_code == 200
        assert user.delete(f"/peers/{made['id']}").status_code == 204
    ranged = {"name": a_name(), "additional_allowed_ips": ["198.18.0.0/24"]}
    with server.client(an_account(server, "admin").token) as twin:
        assert twin.post(path, json=ranged).status_code == 201
        assert twin.patch(f"/peers/{jump}", json={"endpoint": "198.51.100.8:51820"}).status_code == 200


def test_a_role_counts_from_the_next_call_on_for_sessions_and_tokens(server: Server, admin: httpx2.Client) -> None:
    person = an_account(server, "admin")
    with server.client(person.token) as client, server.local() as owner:
        token = client.post("/tokens", json={"name": "ci", "scopes": ["read", "write", "admin"]}).json()["token"]
        with server.client(token) as script:
            body = {"name": a_name("net")}
            assert script.post("/networks", json=body).status_code == 201
            account = owner.get(f"/accounts/{person.id}")
            changed = owner.patch(
                f"/accounts/{person.id}", json={"role": "auditor"}, headers={"If-Match": account.headers["etag"]}
            )
            assert changed.json()["role"] == "auditor"
            assert client.get("/auth/me").json()["scopes"] == ["audit", "metrics", "read", "self"]
            for each in (client, script):
                assert each.get("/networks").status_code == 200
                refused = each.post("/networks", json={"name": a_name("net")})
                assert (refused.status_code, refused.json()["detail"]) == (
                    403,
                    "the role auditor lacks the scope write",
                )
            stale = owner.patch(
                f"/accounts/{person.id}", json={"role": "owner"}, headers={"If-Match": account.headers["etag"]}
            )
            assert stale.status_code == 412


def test_an_account_is_made_listed_and_deleted_with_a_password_that_is_shown_once(
    server: Server, admin: httpx2.Client
) -> None:
    with server.local() as owner:
        name = a_name("ada")
        made = owner.post("/accounts", json={"username": name, "role": "auditor"}).raise_for_status()
        account = made.json()["account"]
        assert made.headers["cache-control"] == "no-store"
        assert account in owner.get("/accounts").json()["items"]
        assert "password" not in str(owner.get("/accounts").json())
        twice = owner.post("/accounts", json={"username": name, "role": "auditor"})
        assert twice.json()["errors"][0]["pointer"] == "/username"
        for body, pointer in (
            ({"username": a_name(), "role": "auditor", "networks": [str(uuid4())]}, "/networks"),
            ({"username": a_name(), "role": "user", "networks": [str(uuid4())]}, "/networks"),
            ({"username": a_name(), "role": "king"}, "/role"),
        ):
            refused = owner.post("/accounts", json=body)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer)
        assert owner.delete(f"/accounts/{account['id']}").status_code == 204
        assert owner.get(f"/accounts/{account['id']}").status_code == 404
    with server.client() as client:
        body = {"username": name, "password": made.json()["password"]}
        assert client.post("/auth/login", json=body).status_code == 401


def test_the_last_owner_stays_one(server: Server) -> None:
    with server.local() as local:
        (first, *_) = [each for each in local.get("/accounts").json()["items"] if each["role"] == "owner"]
        second = an_account(server, "owner")
        with server.client(second.token) as other:
            assert other.patch(f"/accounts/{first['id']}", json={"disabled": True}).status_code == 200
            for refused in (
                other.patch(f"/accounts/{second.id}", json={"disabled": True}),
                other.patch(f"/accounts/{second.id}", json={"role": "admin"}),
                other.delete(f"/accounts/{second.id}"),
            ):
                assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
            assert other.patch(f"/accounts/{first['id']}", json={"disabled": False}).status_code == 200
        assert local.delete(f"/accounts/{second.id}").status_code == 204


def log_out(server: Server, person: Person) -> None:
    with server.client(person.token) as own:
        own.post("/auth/logout").raise_for_status()


def change_password(server: Server, person: Person) -> None:
    body = {"current_password": person.password, "new_password": "a new long password"}
    with server.client(person.token) as own:
        own.put("/auth/password", json=body).raise_for_status()


def disable(server: Server, person: Person) -> None:
    with server.local() as owner:
        owner.patch(f"/accounts/{person.id}", json={"disabled": True}).raise_for_status()


def delete(server: Server, person: Person) -> None:
    with server.local() as owner:
        owner.delete(f"/accounts/{person.id}").raise_for_status()


def reset(server: Server, person: Person) -> None:
    with server.local() as owner:
        owner.post(f"/accounts/{person.id}/password").raise_for_status()


@pytest.mark.case("AUTH-003")
@pytest.mark.parametrize("end", [log_out, change_password, disable, delete, reset])
async def test_a_session_and_its_stream_end_at_once(server: Server, admin: httpx2.Client, end: Any) -> None:
    person, live = an_account(server, "auditor"), an_account(server, "auditor")
    async with Watcher(server, person.token) as watcher, Watcher(server, live.token) as twin:
        await asyncio.to_thread(end, server, person)
        async with asyncio.timeout(SOON):
            assert await watcher.closed() == CLOSE_ACCESS_ENDED
        _refused_once(server, admin, person.token)
        with server.client(live.token) as client:
            assert client.get("/networks").status_code == 200
        assert twin.connection.close_code is None


@pytest.mark.case("AUTH-003")
async def test_a_session_and_its_stream_end_when_their_time_is_over(server: Server, admin: httpx2.Client) -> None:
    person = an_account(server, "auditor")
    end = datetime.now(UTC) + timedelta(seconds=2)
    with closing(sqlite3.connect(server.data / "isthmus.db", timeout=10)) as database, database:
        micros = int(end.timestamp() * 1_000_000)
        (count,) = database.execute("SELECT count(*) FROM api_tokens WHERE expires_at IS NOT NULL").fetchone()
        assert count
        changed = database.execute(
            "UPDATE api_tokens SET expires_at = ? WHERE hex(user_id) = ? OR user_id = ?",
            (micros, person.id.replace("-", "").upper(), person.id.replace("-", "")),
        )
        assert changed.rowcount == 1
    async with Watcher(server, person.token) as watcher:
        async with asyncio.timeout(2 + SOON):
            assert await watcher.closed() == CLOSE_ACCESS_ENDED
        assert datetime.now(UTC) >= end
    _refused_once(server, admin, person.token)


def _refused_once(server: Server, admin: httpx2.Client, token: str) -> None:
    before, asked = newest(admin), time.monotonic()
    with server.client(token) as client:
        answer = client.get("/networks")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert time.monotonic() - asked < SOON
    (row,) = rows_after(admin, before)
    assert (row["outcome"], row["reason"]) == ("denied", "unauthenticated")


@pytest.mark.case("AUTH-003")
def test_a_session_id_that_was_set_before_the_sign_in_is_nobodys_after_it(server: Server, admin: httpx2.Client) -> None:
    person = an_account(server, "auditor")
    planted = "isthmus-api-" + "A" * 43
    cookie = "__Host-isthmus-session"
    with httpx2.Client(base_url=f"{server.url}{API}", headers={"Origin": server.url}) as browser:
        body = {"username": person.name, "password": person.password}
        headers = {"Cookie": f"{cookie}={planted}", CSRF_HEADER: csrf_of(planted)}
        answer = browser.post("/auth/session", json=body, headers=headers).raise_for_status()
        (given,) = (each for each in answer.headers.get_list("set-cookie") if each.startswith(cookie))
        fresh = given.partition(";")[0].partition("=")[2]
        assert fresh != planted
        before = newest(admin)
        assert browser.get("/auth/me", headers={"Cookie": f"{cookie}={planted}"}).status_code == 401
        (row,) = rows_after(admin, before)
        assert row["reason"] == "unauthenticated"
        assert browser.get("/auth/me", headers={"Cookie": f"{cookie}={fresh}"}).status_code == 200


def test_who_is_disabled_signs_in_no_more_and_is_told_no_more_than_others(server: Server) -> None:
    person = an_account(server, "auditor")
    disable(server, person)
    with server.client() as client:
        right = client.post("/auth/login", json={"username": person.name, "password": person.password})
        wrong = client.post("/auth/login", json={"username": person.name, "password": "not this one"})
        assert right.status_code == wrong.status_code == 401
        assert right.json()["detail"] == wrong.json()["detail"]
        with server.local() as owner:
            owner.patch(f"/accounts/{person.id}", json={"disabled": False}).raise_for_status()
        assert sign_in(client, person.name, person.password).status_code == 200


def test_an_agent_of_a_network_has_no_part_in_this(server: Server, admin: httpx2.Client) -> None:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    assert httpx2.get(f"{server.url}{API}/accounts", headers=bearer(agent.session)).status_code == 403
