"""The agents' plain calls: configs by revision, reports, and what a report cannot do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from isthmus.server.adapters.http.edge import MAX_BODY
from tests.api.agent import Agent, a_network, a_peer, a_public_key, heartbeat
from tests.server import API, Server, free_port, running


@pytest.fixture
def gw(server: Server, admin: httpx2.Client) -> Agent:
    """An enrolled jump peer in a network of its own."""
    return Agent.enrolled(server, a_peer(admin, a_network(admin), kind="jump"))


@pytest.fixture
def laptop(server: Server, admin: httpx2.Client, gw: Agent) -> Agent:
    """A member of the same network."""
    network = admin.get(f"/peers/{gw.peer_id}").json()["network"]
    return Agent.enrolled(server, a_peer(admin, network))


@pytest.fixture
def calls(gw: Agent) -> Iterator[httpx2.Client]:
    """Calls of the jump peer."""
    with gw.client() as client:
        yield client


def status_of(admin: httpx2.Client, agent: Agent) -> Any:
    return admin.get(f"/peers/{agent.peer_id}").raise_for_status().json()["status"]


def nonce_of(client: httpx2.Client) -> str:
    return str(client.get("/agent/config").raise_for_status().json()["nonce"])


def report_on(peer: Agent, endpoint: str, **fields: Any) -> dict[str, Any]:
    return {"public_key": peer.public_key, "endpoint": endpoint, "latest_handshake": 1_700_000_000} | fields


def test_who_has_the_present_revision_gets_no_config(gw: Agent, calls: httpx2.Client) -> None:
    answer = gw.config()
    assert answer.config is not None
    again = calls.get("/agent/config", params={"revision": answer.revision}).json()
    assert (again["revision"], again["config"]) == (answer.revision, None)
    for other in (answer.revision - 1, answer.revision + 1, "nonsense", ""):
        assert calls.get("/agent/config", params={"revision": other}).json()["config"] is not None


@pytest.mark.case("SEED-063")
def test_heartbeats_update_last_seen_and_endpoint_and_are_acknowledged(
    admin: httpx2.Client, gw: Agent, laptop: Agent, calls: httpx2.Client
) -> None:
    with laptop.client() as own:
        nonces = {"gw": [nonce_of(calls)], "laptop": [nonce_of(own)]}
        seen = []
        for endpoint in ("203.0.113.9:40000", "203.0.113.10:40001"):
            before = datetime.now(UTC)
            reports = [report_on(laptop, endpoint)]
            for name, client, seen_peers in (("gw", calls, reports), ("laptop", own, [])):
                ack = client.post(
                    "/agent/heartbeat", json=heartbeat(nonces[name][-1], peers=seen_peers)
                ).raise_for_status()
                nonces[name].append(ack.json()["nonce"])
            shown = status_of(admin, laptop)
            assert shown["endpoint"] == endpoint
            for agent in (gw, laptop):
                seen.append(datetime.fromisoformat(status_of(admin, agent)["last_seen"]))
                assert before <= seen[-1] <= datetime.now(UTC)
        assert min(seen[2:]) > max(seen[:2])
        for name, client in (("gw", calls), ("laptop", own)):
            assert len(set(nonces[name])) == 3
            for stale in nonces[name][:-1]:
                refused = client.post("/agent/heartbeat", json=heartbeat(stale))
                assert (refused.status_code, refused.json()["code"]) == (409, "replay_detected")
            client.post("/agent/heartbeat", json=heartbeat(refused.json()["nonce"])).raise_for_status()
    assert status_of(admin, laptop)["endpoint"] == "203.0.113.10:40001"


def test_what_a_jump_peer_sent_the_peer_received(admin: httpx2.Client, laptop: Agent, calls: httpx2.Client) -> None:
    report = report_on(laptop, "203.0.113.9:1", rx=5, tx=7)
    calls.post("/agent/heartbeat", json=heartbeat(nonce_of(calls), peers=[report])).raise_for_status()
    shown = status_of(admin, laptop)
    assert (shown["rx"], shown["tx"]) == (7, 5)
    assert shown["latest_handshake"].startswith("2023-11-14T22:13:20")


def test_reports_on_others_change_nothing(
    server: Server, admin: httpx2.Client, gw: Agent, laptop: Agent, calls: httpx2.Client
) -> None:
    """Keys that nobody has, keys of another network, and reports of one who is no jump peer."""
    stranger = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    nobody = report_on(laptop, "203.0.113.9:1") | {"public_key": a_public_key()}
    calls.post("/agent/heartbeat", json=heartbeat(nonce_of(calls), peers=[nobody])).raise_for_status()
    reports = [nobody, report_on(stranger, "203.0.113.9:1")]
    refused = calls.post("/agent/heartbeat", json=heartbeat(nonce_of(calls), peers=reports))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/peers/1/public_key")
    with laptop.client() as own:
        claim = report_on(gw, "203.0.113.66:1")
        own.post("/agent/heartbeat", json=heartbeat(nonce_of(own), peers=[claim])).raise_for_status()
    assert status_of(admin, stranger)["endpoint"] is None
    assert status_of(admin, gw)["endpoint"] is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"peers": [{"public_key": "x"}]}, 422),
        ({"peers": [{"public_key": "A" * 44, "latest_handshake": -1}]}, 422),
        ({"peers": [{"public_key": "A" * 44, "latest_handshake": 10**15}]}, 422),
        ({"peers": [{"public_key": "A" * 44, "endpoint": "a\nb"}]}, 422),
        ({"peers": [{"public_key": "A" * 44, "endpoint": "\x1b[2J"}]}, 422),
        ({"peers": [{"public_key": "A" * 44}] * 257}, 422),
        ({"hostname": "h" * 256}, 422),
        ({"hostname": "\x1b[31mred"}, 422),
        ({"hostname": "x" * MAX_BODY}, 413),
        ({"revision": -1}, 422),
    ],
)
def test_a_report_that_cannot_be_true_is_refused_as_a_whole(
    admin: httpx2.Client, gw: Agent, calls: httpx2.Client, fields: dict[str, Any], status: int
) -> None:
    nonce, before = nonce_of(calls), status_of(admin, gw)
    answer = calls.post("/agent/heartbeat", json=heartbeat(nonce, **fields))
    assert answer.status_code == status, answer.text
    assert status_of(admin, gw) == before
    assert calls.post("/agent/heartbeat", json=heartbeat(nonce)).status_code == 200, "the nonce was not spent"


def test_reports_survive_a_stop_of_the_server(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        with server.client(server.token("read", "write")) as admin:
            agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
        with agent.client() as client:
            client.post("/agent/heartbeat", json=heartbeat(nonce_of(client), hostname="moon")).raise_for_status()
        assert server.stop() == 0
        server.start()
        with server.local() as local:
            assert status_of(local, agent)["hostname"] == "moon"
        with agent.client() as client:
            known = heartbeat("a nonce from before the restart")
            client.post("/agent/heartbeat", json=known).raise_for_status()


def test_agents_and_people_on_their_own_listeners_do_not_see_each_others_paths(tmp_path: Path) -> None:
    agents = f"127.0.0.1:{free_port()}"
    with running(tmp_path, agent_listen=agents) as server:
        token = server.token("read", "write")
        with server.client(token) as admin:
            created = a_peer(admin, a_network(admin))
            body = {"token": created["enrollment"]["token"], "public_key": a_public_key()}
            body |= {"hostname": "h", "machine_id": "m", "agent_version": "0"}
            hidden = admin.post("/agent/enroll", json=body)
            assert (hidden.status_code, hidden.json()["code"]) == (404, "route_not_found")
        with httpx2.Client(base_url=f"http://{agents}{API}", headers={"Authorization": f"Bearer {token}"}) as other:
            for path in ("/networks", "/openapi.json", "/auth/me", "/../v1/networks"):
                assert other.get(path).json()["code"] == "route_not_found", path
            session = other.post("/agent/enroll", json=body).raise_for_status().json()["session_token"]
        with httpx2.Client(base_url=f"http://{agents}{API}", headers={"Authorization": f"Bearer {session}"}) as agent:
            assert agent.get("/agent/config").status_code == 200
