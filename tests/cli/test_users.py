"""The verbs of `isthmus user`, against a server that answers as told."""

from typing import Any

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import page

ID = "0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"
ONE = f"/api/v1/users/{ID}"
NAMED = "GET /api/v1/users?handle=alice&limit=500"
LOOKUP = "GET /api/v1/directory/lookup?handle=alice%40b.example"


def a_user(**fields: Any) -> dict[str, Any]:
    plain = {"id": ID, "handle": "alice", "display_name": "Alice", "visibility": "handle", "overrides": {}}
    return {**plain, "created_at": "2026-01-01T12:00:00Z", "version": 3, **fields}


def test_create_sends_only_what_was_given(isthmus: Run, server: Script) -> None:
    server.on("POST /api/v1/users", a_user(), status=201)
    shown = isthmus("user", "create", "alice")
    isthmus("user", "create", "alice", "--name", "Alice", "--visibility", "search")
    assert server.bodies_of("POST") == [
        {"handle": "alice"},
        {"handle": "alice", "display_name": "Alice", "visibility": "search"},
    ]
    assert {"alice", "Alice", "handle", ID} <= set(shown.out.split())


def test_list_shows_who_is_there_and_how_to_begin(isthmus: Run, server: Script) -> None:
    server.on("GET /api/v1/users?limit=500", page())
    assert "isthmus user create" in isthmus("user", "list").out
    server.on("GET /api/v1/users?limit=500", page(a_user(overrides={"c.example": "nobody"})))
    assert isthmus("user", "list").out.splitlines()[1].split() == ["alice", "Alice", "handle", "1"]


def test_show_names_what_single_remotes_see(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_user()))
    server.on(f"GET {ONE}", a_user(overrides={"c.example": "nobody"}))
    assert "for c.example  nobody" in isthmus("user", "show", "alice").out
    assert isthmus("user", "show", ID, "--json").json["overrides"] == {"c.example": "nobody"}


def test_set_changes_the_user_and_what_remotes_see(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_user()))
    server.on(f"GET {ONE}", a_user(), headers={"ETag": '"3"'})
    server.on(f"PATCH {ONE}", a_user(visibility="nobody"))
    server.on(f"PUT {ONE}/visibility/b.example", a_user())
    server.on(f"DELETE {ONE}/visibility/c.example", a_user(display_name="last"))
    remotes = ("--remote", "b.example=search", "--remote", "c.example=")
    shown = isthmus("user", "set", "alice", "--visibility", "nobody", *remotes)
    assert shown.code == 0
    assert server.bodies_of("PATCH") == [{"visibility": "nobody"}]
    assert server.bodies_of("PUT") == [{"visibility": "search"}]
    (patch,) = [asked for asked in server.asked if asked.method == "PATCH"]
    assert patch.headers["If-Match"] == '"3"'
    assert "last" in shown.out


@pytest.mark.parametrize("remote", ["b.example", "=search", "b.example=all", "b/x=search"])
def test_what_is_no_setting_for_a_remote_is_refused_here(isthmus: Run, server: Script, remote: str) -> None:
    shown = isthmus("user", "set", "alice", "--remote", remote)
    assert (shown.code, server.asked) == (2, [])
    assert "DOMAIN=VISIBILITY" in shown.err


def test_nothing_to_set_is_a_mistake(isthmus: Run, server: Script) -> None:
    assert isthmus("user", "set", "alice").code == 2


def test_delete_goes_by_the_handle(isthmus: Run, server: Script) -> None:
    server.on(NAMED, page(a_user()))
    server.on(f"DELETE {ONE}", b"", status=204)
    assert isthmus("user", "delete", "alice", "--yes").out == "user alice is deleted\n"


def test_lookup_qualifies_handle_and_id_by_the_domain(isthmus: Run, server: Script) -> None:
    server.on(LOOKUP, {"id": ID, "handle": "alice", "domain": "b.example", "display_name": "Alice\x1b[31m"})
    shown = isthmus("user", "lookup", "alice@b.example").out
    assert "alice@b.example" in shown
    assert f"{ID} at b.example" in shown
    assert "\x1b" not in shown


def test_search_lists_who_was_found_there(isthmus: Run, server: Script) -> None:
    path = "GET /api/v1/directory/search?begins=al&domain=b.example"
    server.on(path, page({"id": ID, "handle": "alice", "domain": "b.example", "display_name": "Alice"}))
    lines = isthmus("user", "search", "al", "--at", "b.example").out.splitlines()
    assert lines[1].split() == ["alice@b.example", "Alice", ID]
    server.on(path, page())
    assert "nobody there" in isthmus("user", "search", "al", "--at", "b.example").out


def test_a_lookup_that_a_remote_refused_tells_what_to_do_and_both_request_ids(isthmus: Run, server: Script) -> None:
    problem = {
        "title": "Remote rejected us",
        "status": 502,
        "code": "remote_rejected_us",
        "stage": "remote",
        "detail": "the remote answered 403 federation_denied",
        "hint": "isthmus remote doctor b.example tells which link is broken",
        "request_id": "ours-1",
        "remote": {"status": 403, "code": "federation_denied", "request_id": "theirs-1"},
    }
    server.on(LOOKUP, problem, status=502)
    shown = isthmus("user", "lookup", "alice@b.example")
    assert shown.code == 1
    for text in ("remote_rejected_us", "federation_denied", "isthmus remote doctor", "ours-1", "theirs-1"):
        assert text in shown.err, text
    assert isthmus("user", "lookup", "alice@b.example", "--json").code == 1
