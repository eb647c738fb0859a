"""A fresh installation: nothing in it is known to anybody else, and it becomes somebody's own once."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.accounts import sign_in
from tests.server import Server, running

GUESSES = ("", "admin", "password", "isthmus", "changeme", "adminadmin12", "admin-admin-admin")
PASSWORD = "a long password of my own"
AUDIT = {"audit_log", "audit_links", "audit_seals", "backend"}


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    with running(tmp_path_factory.mktemp("one")) as one, running(tmp_path_factory.mktemp("two")) as two:
        for server in (one, two):
            with server.local() as local:
                names = {"domain": "a.example", "infra_domains": ["infra.a.example"]}
                local.post("/federation/init", json=names).raise_for_status()
        yield one, two


def secrets_of(server: Server) -> dict[str, bytes]:
    """All that it keeps to itself in files, by their places; certificates are no secrets, and differ all the same."""
    kinds = {".key", ".pem"}
    files = [path for path in server.data.rglob("*") if path.is_file() and path.suffix in kinds]
    return {str(path.relative_to(server.data)): path.read_bytes() for path in files}


@pytest.mark.case("AUTH-008")
def test_two_fresh_installations_have_no_secret_in_common(installations: tuple[Server, Server]) -> None:
    one, two = installations
    first, second = secrets_of(one), secrets_of(two)
    assert len(first) >= 8
    assert {Path(name).suffix for name in first} == {".key", ".pem"}
    assert not {*first.values()} & {*second.values()}
    assert one.password != two.password
    with one.local() as here, two.local() as there:
        ids = [[each["id"] for each in client.get("/accounts").json()["items"]] for client in (here, there)]
        assert [len(each) for each in ids] == [1, 1]
        assert ids[0] != ids[1]
        ranges = [client.post("/networks", json={"name": "probe"}).json()["cidr_v6"] for client in (here, there)]
        assert ranges[0] != ranges[1]
        for client in (here, there):
            (network,) = client.get("/networks").json()["items"]
            client.delete(f"/networks/{network['id']}").raise_for_status()


@pytest.mark.case("AUTH-008")
def test_the_one_account_of_a_fresh_installation_has_no_password_that_anybody_knows(
    installations: tuple[Server, Server],
) -> None:
    one, two = installations
    with one.client() as client:
        for guess in (*GUESSES, two.password):
            answer = client.post("/auth/login", json={"username": "admin", "password": guess})
            assert answer.status_code in (401, 422), guess
        assert sign_in(client, "admin", one.password).status_code == 200


def state_of(server: Server) -> list[httpx2.Response]:
    """What an owner sees of accounts and tokens."""
    with server.local() as local:
        return [local.get(path).raise_for_status().json() for path in ("/accounts", "/tokens", "/networks")]


@pytest.mark.case("AUTH-008")
def test_the_setup_works_once_and_is_not_there_any_more(installations: tuple[Server, Server]) -> None:
    for server in installations:
        with server.client() as client, server.local() as local:
            assert client.get("/setup").json() == {"username": "admin"}
            body = {"password": server.password, "username": "ada", "new_password": PASSWORD}
            wrong = client.post("/setup", json=body | {"password": "not this one"})
            assert (wrong.status_code, wrong.json()["code"]) == (401, "unauthenticated")
            short = client.post("/setup", json=body | {"new_password": "short"})
            assert (short.status_code, short.json()["errors"][0]["pointer"]) == (422, "/new_password")
            # The twin of all that comes later.
            assert client.post("/setup", json=body).status_code == 204
            (row,) = [each for each in local.get("/audit").json()["items"] if each["action"] == "account.setup"]
            assert (row["actor"], row["outcome"]) == ("user:ada", "done")
            assert sign_in(client, "ada", PASSWORD).status_code == 200
            assert (
                client.post("/auth/login", json={"username": "admin", "password": server.password}).status_code == 401
            )

            assert (client.get("/setup").status_code, client.get("/setup").json()["code"]) == (404, "not_found")
            before, newest = state_of(server), local.get("/audit", params={"limit": 1}).json()["items"][0]["number"]
            again = client.post("/setup", json=body | {"username": "eve", "new_password": PASSWORD + "!"})
            assert (again.status_code, again.json()["code"]) == (404, "not_found")
            rows = [each for each in local.get("/audit").json()["items"] if each["number"] > newest]
            assert [(each["outcome"], each["reason"]) for each in rows] == [("denied", "not_found")]
            assert state_of(server) == before
            assert sign_in(client, "ada", PASSWORD).status_code == 200


def test_who_changes_the_first_password_in_another_way_has_set_it_up_too(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client() as client, server.local() as local:
        assert client.get("/setup").status_code == 200
        local.post("/auth/password/reset", json={"username": "admin"}).raise_for_status()
        assert client.get("/setup").status_code == 404
