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
from tests.api.accounts import an_account
from tests.api.agent import Agent, Stream, a_network, a_peer
from tests.server import API, Server, running

STRANGERS = ["nobody", "spent enrollment token", "nonsense"]
TOKENS = ["read", "peers", "write", "admin", "audit", "accounts", "metrics"]
ROLES = ["owner", "admin by role", "network_admin", "auditor", "user"]
CALLERS = [*STRANGERS, "agent", *TOKENS, *ROLES]
CELLS = [(method, path, caller) for method, path in ACCESS if method != "WS" for caller in CALLERS]
# The one call after which the caller's token is over, so it comes last.
CELLS.sort(key=lambda cell: cell[1].endswith("/logout"))
NAMES = {"network_id", "peer_id", "token_id", "user_id", "account_id"}
ROLE_TABLE = Path(__file__).parents[2] / "docs/operations/accounts.md"
# Either of two scopes is enough, as the page says below its tables.
OR_ELSE = {"peers": "write", "audit": "admin", "self": "admin", "metrics": "read"}
# What concerns no network and is open to those whose role is for some: the own account, and their part of lists.
OF_NO_NETWORK = {"/auth/logout", "/auth/me", "/auth/password", "/tokens", "/tokens/{token_id}"}
LISTS = {"/networks", "/peers", "/groups", "/incidents"}


def documented() -> dict[str, tuple[frozenset[str], bool]]:
    """The scopes of each role, and whether it is for some networks, as the page for operators says."""
    lines = ROLE_TABLE.read_text("utf-8").partition("## What a role may do")[2].strip().splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[:7])
    scopes = head[1:-1]
    return {
        row[0].strip("`"): (
            frozenset(scope for scope, says in zip(scopes, row[1:-1], strict=True) if says == "yes"),
            row[-1] == "its networks",
        )
        for row in rows
    }


DOCUMENTED = documented()


@pytest.fixture(scope="module")
def agent(server: Server, admin: httpx2.Client) -> Agent:
    return Agent.enrolled(server, a_peer(admin, a_network(admin)))


@pytest.fixture(scope="module")
def tokens(server: Server, admin: httpx2.Client, agent: Agent) -> dict[str, str | None]:
    """What each caller brings."""
    return {
        "nobody": None,
        **{scope: server.token(scope) for scope in TOKENS},
        **{role: signed_in(server, admin, role.removesuffix(" by role")) for role in ROLES},
        "agent": agent.session,
        "spent enrollment token": agent.token,
        "nonsense": "isthmus-api-" + "A" * 43,
    }


@pytest.fixture(scope="module")
def strangers(server: Server) -> Iterator[httpx2.Client]:
    """A client whose token is given with each call."""
    with server.client() as client:
        yield client


def signed_in(server: Server, admin: httpx2.Client, role: str) -> str:
    """What somebody with this role signs in to; whose role is for some networks has one that nobody else has."""
    networks = [a_network(admin)["id"]] if DOCUMENTED[role][1] else []
    return an_account(server, role, networks).token


def expected(need: Need, method: str, path: str, caller: str) -> int | None:
    """The status of a denial; None where the caller gets through to what the route itself says."""
    if need is Need.NOTHING:
        return None
    if need is Need.LOCAL:
        return 403
    if need is Need.AGENT:
        return None if caller == "agent" else 401
    if caller in STRANGERS:
        return 401
    if caller == "agent":
        return 403
    scopes, is_of_networks = DOCUMENTED.get(caller.removesuffix(" by role"), ({caller}, False))
    if caller == "admin":
        scopes, is_of_networks = {caller}, False
    if not {need.value, OR_ELSE.get(str(need.value))} & set(scopes):
        return 403
    # All ids are those of things that do not exist, so who gets through hears 404.
    names_one = any(name in path for name in ("{network_id}", "{peer_id}", "{incident_id}"))
    open_to_all = OF_NO_NETWORK | LISTS if method == "GET" else OF_NO_NETWORK
    if is_of_networks and not names_one and path.removeprefix(API) not in open_to_all:
        return 403
    return None


def url_of(client: httpx2.Client, path: str) -> httpx2.URL:
    return client.base_url.join(filled(path))


def filled(path: str) -> str:
    """The path with ids of things that do not exist, so that nothing happens to those that do."""
    for name in NAMES:
        path = path.replace(f"{{{name}}}", str(uuid4()))
    return path.replace("{address}", "10.0.0.1")


def audited(admin: httpx2.Client) -> list[Any]:
    return list(admin.get("/audit", params={"limit": 5}).raise_for_status().json()["items"])


@pytest.mark.case("AUTH-001", "SEED-093")
@pytest.mark.parametrize("cell", CELLS, ids=" ".join)
def test_every_cell_of_the_table_is_as_it_says(
    admin: httpx2.Client, strangers: httpx2.Client, tokens: dict[str, str | None], cell: tuple[str, str, str]
) -> None:
    method, path, caller = cell
    token = tokens[caller]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    newest = audited(admin)[0]["number"]
    answer = strangers.request(method, url_of(strangers, path), headers=headers)
    rows = [row for row in audited(admin) if row["number"] > newest]
    status = expected(ACCESS[method, path], method, path, caller)
    if status is None:
        assert answer.status_code not in {401, 403, 405, 500}
        return
    assert answer.status_code == status
    assert answer.json()["code"] == {401: "unauthenticated", 403: "forbidden"}[status]
    (row,) = rows
    assert (row["outcome"], row["reason"]) == ("denied", answer.json()["code"])
    assert row["request_id"] == answer.headers["x-request-id"] == answer.json()["request_id"]
    assert row["action"].startswith(method)


@pytest.mark.case("SEED-093")
def test_an_auditor_changes_nothing_but_the_own_sign_in() -> None:
    own = {"/setup", "/auth/login", "/auth/session", "/session/oidc/start", "/session/oidc/finish", *OF_NO_NETWORK}
    reads = ("GET", "WS")
    for (method, path), need in ACCESS.items():
        if method in reads or need is Need.AGENT or path.removeprefix(API) in own or path.startswith(f"{API}/agent/"):
            continue
        # To try a grant against facts changes nothing, whatever the method.
        if path.endswith("/explain"):
            continue
        assert expected(need, method, path, "auditor") == 403, path


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
                assert local.request(method, url_of(local, path)).status_code not in {403, 405, 500}, path
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


@pytest.mark.case("SEED-106")
def test_the_openapi_document_lists_the_routes_of_the_table_and_no_others(strangers: httpx2.Client) -> None:
    document = strangers.get("/openapi.json").json()
    described = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            # A WebSocket is opened by a GET that is answered with 101.
            key = "WS" if "101" in operation["responses"] else method.upper(), path
            schemes = {Need.NOTHING: set(), Need.AGENT: {"session"}}.get(ACCESS[key], {"bearer"})
            assert {name for each in operation.get("security", []) for name in each} == schemes, key
            described.add(key)
    assert described == ACCESS.keys()


async def nothing(request: object) -> Response:
    return Response()


@pytest.mark.case("AUTH-001")
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
