"""The verbs of `isthmus account`, against a server that answers as told."""

from typing import Any

import pytest

from tests.cli.conftest import Run, Script
from tests.cli.samples import NETWORK_ID, a_network, page

ID = "0a4b8f9e-3c1d-4e5f-8a6b-7c8d9e0f1a2c"
ONE = f"/api/v1/accounts/{ID}"
NETWORKS = "GET /api/v1/networks?limit=500"


def an_account(**fields: Any) -> dict[str, Any]:
    plain = {"id": ID, "name": "ada", "role": "network_admin", "networks": [NETWORK_ID], "disabled_at": None}
    return {**plain, "created_at": "2026-01-01T12:00:00Z", "version": 3, **fields}


@pytest.fixture
def known(server: Script) -> Script:
    server.on("GET /api/v1/accounts?limit=500", page(an_account()))
    server.on(NETWORKS, page(a_network()))
    server.on("GET /api/v1/networks?name=office&limit=500", page(a_network()))
    server.on(f"GET {ONE}", an_account(), headers={"ETag": '"3"'})
    return server


def test_create_names_networks_and_shows_the_password_once(isthmus: Run, known: Script) -> None:
    known.on("POST /api/v1/accounts", {"account": an_account(), "password": "correct-horse"}, status=201)
    shown = isthmus("account", "create", "ada", "--role", "network_admin", "--network", "office")
    assert known.bodies_of("POST") == [{"username": "ada", "role": "network_admin", "networks": [NETWORK_ID]}]
    assert "\ncorrect-horse\n" in shown.out
    assert "isthmus password change" in shown.out


def test_list_and_show_tell_where_a_role_counts(isthmus: Run, known: Script) -> None:
    assert isthmus("account", "list").out.splitlines()[1].split() == ["ada", "network_admin", "office", "active"]
    known.on("GET /api/v1/accounts?limit=500", page(an_account(role="owner", networks=[])))
    assert isthmus("account", "list").out.splitlines()[1].split() == ["ada", "owner", "all", "active"]
    known.on(f"GET {ONE}", an_account(role="user", networks=[], disabled_at="2026-01-02T12:00:00Z"))
    shown = isthmus("account", "show", ID).out
    assert "networks  none" in shown
    assert "disabled since 2026-01-02" in shown


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        (("set", "ada", "--role", "user"), {"role": "user"}),
        (("set", "ada", "--network", "office"), {"networks": [NETWORK_ID]}),
        (("disable", "ada", "--yes"), {"disabled": True}),
        (("enable", "ada"), {"disabled": False}),
    ],
)
def test_a_change_goes_to_the_version_that_was_read(
    isthmus: Run, known: Script, arguments: tuple[str, ...], change: dict[str, Any]
) -> None:
    known.on(f"PATCH {ONE}", an_account())
    assert isthmus("account", *arguments).code == 0
    assert known.bodies_of("PATCH") == [change]
    (patch,) = [asked for asked in known.asked if asked.method == "PATCH"]
    assert patch.headers["If-Match"] == '"3"'


def test_nothing_to_set_and_a_role_that_is_none_are_mistakes(isthmus: Run, server: Script) -> None:
    assert isthmus("account", "set", "ada").code == 2
    assert isthmus("account", "set", "ada", "--role", "king").code == 2
    assert server.asked == []


def test_password_and_delete_go_by_the_name(isthmus: Run, known: Script) -> None:
    known.on(f"POST {ONE}/password", {"account": an_account(), "password": "correct-horse"})
    assert "\ncorrect-horse\n" in isthmus("account", "password", "ada", "--yes").out
    known.on(f"DELETE {ONE}", b"", status=204)
    assert isthmus("account", "delete", "ada", "--yes").out == "account ada is deleted\n"
    unknown = isthmus("account", "delete", "bob", "--yes")
    assert (unknown.code, "isthmus account list" in unknown.err) == (1, True)
