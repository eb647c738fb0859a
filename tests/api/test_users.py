"""The directory by REST: people are kept, changed and deleted, and who may see them is said for all and for one."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.agent import a_name
from tests.server import Server


@pytest.fixture(scope="module")
def admin(either_server: Server) -> Iterator[httpx2.Client]:
    with either_server.client(either_server.token("read", "write", "admin")) as client:
        yield client


def a_user(admin: httpx2.Client, **fields: Any) -> Any:
    return admin.post("/users", json={"handle": a_name("user"), **fields}).raise_for_status().json()


def state_of(admin: httpx2.Client) -> Any:
    return admin.get("/users", params={"limit": 1000}).json()["items"]


def newest(admin: httpx2.Client) -> Any:
    return admin.get("/audit", params={"limit": 1}).json()["items"][0]


def test_a_user_is_made_read_changed_and_deleted_with_a_row_for_each(admin: httpx2.Client) -> None:
    made = a_user(admin, display_name="Alice Liddell")
    assert (made["visibility"], made["overrides"], made["version"]) == ("handle", {}, 1)
    assert newest(admin)["action"] == "directory.create"
    path = f"/users/{made['id']}"
    assert admin.get(path).json() == made
    changed = admin.patch(path, json={"visibility": "search"}, headers={"If-Match": '"1"'})
    assert (changed.json()["visibility"], changed.json()["display_name"]) == ("search", "Alice Liddell")
    assert (newest(admin)["action"], changed.headers["etag"]) == ("directory.update", '"2"')
    stale = admin.patch(path, json={"visibility": "nobody"}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    found = admin.get("/users", params={"handle": made["handle"]}).json()["items"]
    assert found == [changed.json()]
    assert admin.delete(path).status_code == 204
    assert (newest(admin)["action"], newest(admin)["subject"]) == ("directory.delete", made["id"])
    assert admin.get(path).status_code == 404


def test_what_one_remote_may_see_is_set_and_taken_back(admin: httpx2.Client) -> None:
    made = a_user(admin)
    path = f"/users/{made['id']}/visibility"
    for remote, seen in (("b.example", "search"), ("c.example", "nobody"), ("b.example", "nobody")):
        shown = admin.put(f"{path}/{remote}", json={"visibility": seen}).raise_for_status().json()
    assert shown["overrides"] == {"b.example": "nobody", "c.example": "nobody"}
    row = newest(admin)
    assert (row["action"], row["facts"]["remote"], row["facts"]["visibility"]) == (
        "directory.visibility",
        "b.example",
        "nobody",
    )
    shown = admin.delete(f"{path}/c.example").raise_for_status().json()
    assert shown["overrides"] == {"b.example": "nobody"}
    assert admin.delete(f"{path}/d.example").json()["version"] == shown["version"]


WRONG: dict[str, tuple[Any, str]] = {
    "a handle in capitals": ({"handle": "Alice"}, "/handle"),
    "a handle with a domain": ({"handle": "alice@b.example"}, "/handle"),
    "a name of two lines": ({"handle": "alice", "display_name": "a\nPostUp = x"}, "/display_name"),
    "a name with a bell": ({"handle": "alice", "display_name": "a\x07"}, "/display_name"),
    "a name with a NUL": ({"handle": "alice", "display_name": "a\x00"}, "/display_name"),
    "a visibility that is none": ({"handle": "alice", "visibility": "all"}, "/visibility"),
    "no handle": ({}, "/handle"),
    "a field that there is not": ({"handle": "alice", "password": "x"}, "/password"),
}


@pytest.mark.parametrize(("body", "pointer"), WRONG.values(), ids=WRONG)
def test_what_is_no_user_is_refused(admin: httpx2.Client, body: Any, pointer: str) -> None:
    before = state_of(admin)
    answer = admin.post("/users", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (newest(admin)["outcome"], newest(admin)["reason"]) == ("denied", "validation_failed")
    assert state_of(admin) == before


def test_a_handle_is_one_persons(admin: httpx2.Client) -> None:
    one, other = a_user(admin), a_user(admin)
    for answer in (
        admin.post("/users", json={"handle": one["handle"]}),
        admin.patch(f"/users/{other['id']}", json={"handle": one["handle"]}),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/handle")
    again = {"handle": one["handle"]}
    admin.delete(f"/users/{one['id']}").raise_for_status()
    assert admin.post("/users", json=again).json()["id"] != one["id"]


@pytest.mark.parametrize("remote", ["localhost", "B.example", "192.0.2.1", "b.example.", "b..example"])
def test_what_is_no_domain_gets_no_setting(admin: httpx2.Client, remote: str) -> None:
    made = a_user(admin)
    answer = admin.put(f"/users/{made['id']}/visibility/{remote}", json={"visibility": "search"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/remote")
    assert admin.get(f"/users/{made['id']}").json() == made


def test_nobody_there_is_not_found(admin: httpx2.Client) -> None:
    path = f"/users/{uuid4()}"
    for answer in (
        admin.get(path),
        admin.patch(path, json={"visibility": "search"}),
        admin.delete(path),
        admin.put(f"{path}/visibility/b.example", json={"visibility": "search"}),
        admin.delete(f"{path}/visibility/b.example"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


ODD = ["'; DROP TABLE directory_users; --", "{{ 7 * 7 }} ${x} $(reboot)", "PostUp = reboot", '"\\', "Zoë 🦊 שלום"]


@pytest.mark.parametrize("name", ODD)
def test_text_stays_text(admin: httpx2.Client, name: str) -> None:
    made = a_user(admin, display_name=name)
    assert admin.get(f"/users/{made['id']}").json()["display_name"] == name


def test_people_come_in_pages(admin: httpx2.Client) -> None:
    made = [a_user(admin)["id"] for _ in range(3)]
    found, after = [], None
    while True:
        query = {"limit": 2} | ({} if after is None else {"after": after})
        page = admin.get("/users", params=query).raise_for_status().json()
        found += [user["id"] for user in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert [user for user in found if user in made] == made
    assert len(found) == len(set(found))
