"""The component sockets of a real server: there for the own Federator alone, and apart from what people use."""

import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from isthmus.protocol.federation import COMPONENTS, RPCS
from isthmus.protocol.places import Places
from tests.server import API, Server, running

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("components")) as server:
        yield server


@pytest.fixture
def places(lone: Server) -> Places:
    return Places(lone.data)


def rows(server: Server) -> list[Any]:
    with server.local() as local:
        return list(local.get("/audit", params={"limit": 1000}).json()["items"])


def ask(path: Path, request: str, **headers: str) -> httpx2.Response:
    method, _, target = request.partition(" ")
    with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)), base_url="http://component") as client:
        return client.request(method, target, json={"handle": "alice"}, headers=headers)


@pytest.mark.parametrize("component", sorted(COMPONENTS))
def test_each_component_has_a_socket_for_the_owner_of_the_server_alone(places: Places, component: str) -> None:
    path = places.component(component)
    mode = path.stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_another_user_of_the_machine_gets_no_connection(places: Places) -> None:
    path = str(places.component("directory"))
    with socket.socket(socket.AF_UNIX) as own:
        own.connect(path)
    switch = ["setpriv", "--reuid=nobody", "--clear-groups", "--inh-caps=-all"]
    other = subprocess.run(
        [*switch, sys.executable, "-c", CONNECT, path], capture_output=True, text=True, check=False, timeout=30
    )
    assert other.returncode != 0
    assert "PermissionError" in other.stderr or "Permission denied" in other.stderr


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /federation/get-user-by-handle",
        "GET /federation/get-user-by-handle",
        "POST /federation/%67et-user-by-handle",
        "POST /federation/get-user-by-handle?a=b",
        "GET /api/v1/networks",
        "GET /",
    ],
)
def test_without_a_context_whatever_is_asked_gets_the_same_answer_and_a_row(
    lone: Server, places: Places, request_line: str
) -> None:
    before = len(rows(lone))
    answer = ask(places.component("directory"), request_line, **{"X-Calling-Instance": "x", "X-Sdwan-Network": "wan"})
    assert (answer.status_code, answer.json()["code"], answer.json()["stage"]) == (401, "context_invalid", "component")
    after = rows(lone)
    assert len(after) == before + 1
    assert (after[0]["actor"], after[0]["outcome"], after[0]["reason"]) == ("anyone", "denied", "context.missing")
    assert after[0]["request_id"] == answer.json()["request_id"]


def test_calls_of_remotes_are_not_answered_where_people_and_agents_are(lone: Server) -> None:
    with lone.client(lone.token("read", "write", "admin")) as client, lone.local() as local:
        for component, rpc in RPCS:
            for each in (client, local):
                for path in (f"/federation/{rpc}", f"/federation/{component}/{rpc}"):
                    url = str(each.base_url).removesuffix(API).rstrip("/").removesuffix(API) + path
                    assert each.post(url, json={}).status_code == 404


def test_a_server_that_stops_takes_its_sockets_along_and_starts_again(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        path = Places(server.data).component("directory")
        assert path.exists()
        server.stop()
        assert not path.exists()
        server.start()
        assert ask(path, "POST /federation/get-instance").status_code == 401
        server.kill()
        # What a killed server leaves behind stops no later one.
        assert path.exists()
        server.start()
        assert ask(path, "POST /federation/get-instance").status_code == 401
