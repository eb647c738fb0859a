"""Who may call what: every cell of the access table, tried over a socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from starlette.responses import Response
from starlette.routing import Mount, Route
from websockets.exceptions import InvalidStatus

from isthmus.server.adapters.http.access import ACCESS, Need, UnlistedRoute, check_complete
from tests.api.agent import Agent, Stream, a_network, a_peer
from tests.server import API, Server, running

CALLERS = ["nobody", "read", "write", "admin", "agent", "spent enrollment token", "nonsense"]
CELLS = [(method, path, caller) for method, path in ACCESS if method != "WS" for caller in CALLERS]
# The one call after which the caller's token is over, so it comes last.
CELLS.sort(key=lambda cell: cell[1].endswith("/logout"))
NAMES = {"network_id", "peer_id", "token_id", "user_id"}


@pytest.fixture(scope="module")
def agent(server: Server, admin: httpx2.Client) -> Agent:
    return Agent.enrolled(server, a_peer(admin, a_network(admin)))


@pytest.fixture(scope="module")
def tokens(server: Server, agent: Agent) -> dict[str, str | None]:
    """What each caller brings."""
    return {
        "nobody": None,
        "read": server.token("read"),
        "write": server.token("write"),
        "admin": server.token("admin"),
        "agent": agent.session,
        "spent enrollment token": agent.token,
        "nonsense": "isthmus-api-" + "A" * 43,
    }


@pytest.fixture(scope="module")
def strangers(server: Server) -> Iterator[httpx2.Client]:
    """A client whose token is given with each call."""
    with server.client() as client:
        yield client


def expected(need: Need, caller: str) -> int | None:
    """The status of a denial; None where the caller gets through to what the route itself says."""
    if need is Need.NOTHING:
        return None
    if need is Need.LOCAL:
        return 403
    if need is Need.AGENT:
        return None if caller == "agent" else 401
    if caller in {"nobody", "spent enrollment token", "nonsense"}:
        return 401
    return None if caller == need.value else 403


def filled(path: str) -> str:
    """The path with ids of things that do not exist, so that nothing happens to those that do."""
    for name in NAMES:
        path = path.replace(f"{{{name}}}", str(uuid4()))
    return path.replace("{address}", "10.0.0.1").removeprefix(API)


def audited(admin: httpx2.Client) -> list[Any]:
    return list(admin.get("/audit", params={"limit": 5}).raise_for_status().json()["items"])


@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_every_cell_of_the_table_is_as_it_says(
    admin: httpx2.Client, strangers: httpx2.Client, tokens: dict[str, str | None], cell: tuple[str, str, str]
) -> None:
    method, path, caller = cell
    token = tokens[caller]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    newest = audited(admin)[0]["number"]
    answer = strangers.request(method, filled(path), headers=headers)
    rows = [row for row in audited(admin) if row["number"] > newest]
    status = expected(ACCESS[method, path], caller)
    if status is None:
        assert answer.status_code not in {401, 403, 405, 500}
        return
    assert answer.status_code == status
    assert answer.json()["code"] == {401: "unauthenticated", 403: "forbidden"}[status]
    (row,) = rows
    assert (row["outcome"], row["reason"]) == ("denied", answer.json()["code"])
    assert row["request_id"] == answer.headers["x-request-id"] == answer.json()["request_id"]
    assert row["action"].startswith(method)


@pytest.mark.parametrize("caller", CALLERS)
async def test_the_stream_is_for_agents_alone(
    server: Server, admin: httpx2.Client, tokens: dict[str, str | None], caller: str
) -> None:
    if caller == "agent":
        async with Stream(server.address, tokens[caller]) as stream:
            await stream.next()
        return
    newest = audited(admin)[0]["number"]
    with pytest.raises(InvalidStatus) as refused:
        async with Stream(server.address, tokens[caller]):
            pass
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["content-type"] == "application/problem+json"
    (row,) = [row for row in audited(admin) if row["number"] > newest]
    assert (row["outcome"], row["reason"]) == ("denied", "unauthenticated")


def test_everything_is_answered_on_the_servers_own_socket(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.local() as local:
        for method, path in ACCESS:
            if method != "WS" and ACCESS[method, path] is not Need.AGENT:
                assert local.request(method, filled(path)).status_code not in {403, 405, 500}, path
        reset = local.post("/auth/password/reset", json={"username": "admin"}).raise_for_status().json()
        with server.client() as client:
            for password, status in ((server.password, 401), (reset["password"], 200)):
                login = client.post("/auth/login", json={"username": "admin", "password": password})
                assert login.status_code == status


@pytest.mark.parametrize("path", ["/nothing", "/networks/", "/../networks", "//networks", "/agent/nothing"])
def test_a_path_that_nobody_serves_is_a_problem_too(strangers: httpx2.Client, path: str) -> None:
    answer = strangers.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD"])
def test_a_method_that_a_path_does_not_take_is_a_problem_too(strangers: httpx2.Client, method: str) -> None:
    answer = strangers.request(method, "/networks")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_the_openapi_document_lists_the_routes_of_the_table_and_no_others(strangers: httpx2.Client) -> None:
    document = strangers.get("/openapi.json").json()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    for method, path in described:
        operation = document["paths"][path][method.lower()]
        assert bool(operation.get("security")) == (ACCESS[method, path] is not Need.NOTHING)
    # OpenAPI has no words for a WebSocket; docs/operations/events.md describes the one for people.
    own = {(method, path) for method, path in ACCESS if method != "WS" and not path.startswith(f"{API}/agent/")}
    assert described == own - {("GET", f"{API}/openapi.json")}


async def nothing(request: object) -> Response:
    return Response()


def test_a_route_without_a_row_stops_the_start() -> None:
    known = [Route(path, nothing, methods=[method]) for method, path in ACCESS if method != "WS"]
    with pytest.raises(UnlistedRoute, match=r"no row for.*/api/v1/forgotten"):
        check_complete([*known, Route(f"{API}/forgotten", nothing, methods=["GET"])])
    with pytest.raises(UnlistedRoute, match="no route for"):
        check_complete(known[1:])
    with pytest.raises(UnlistedRoute, match="a kind of route"):
        check_complete([*known, Mount("/static", routes=known)])


def test_a_call_of_a_remote_at_the_wrong_door_is_not_served_and_recorded(server: Server, admin: httpx2.Client) -> None:
    newest = audited(admin)[0]["number"]
    for method in ("POST", "GET"):
        answer = httpx2.request(method, f"{server.url}/federation/directory/get-user-by-handle")
        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")
    rows = [row for row in audited(admin) if row["number"] > newest]
    assert [(row["actor"], row["outcome"], row["reason"]) for row in rows] == [
        ("anyone", "denied", "route_not_found")
    ] * 2
