"""kill -9 in the middle of work: whatever was answered is there afterwards."""

import asyncio
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx2

from isthmus.protocol import agent as wire
from tests.api.agent import Agent, a_name, a_network, a_peer
from tests.server import Server, running


def content_of(server: Server) -> tuple[Any, Any]:
    with server.local() as local:
        networks = local.get("/networks", params={"limit": 1000}).raise_for_status().json()["items"]
        peers = local.get("/peers", params={"limit": 1000}).raise_for_status().json()["items"]
    for peer in peers:
        del peer["status"]
    return networks, peers


async def create_until_killed(server: Server, network: Any, token: str) -> dict[str, Any]:
    """Eight creators at once, until the server is gone; returns every peer that it answered for."""
    answered: dict[str, Any] = {}
    enough = asyncio.Event()
    path = f"/networks/{network['id']}/peers"

    async def create(client: httpx2.AsyncClient) -> None:
        while True:
            try:
                answer = await client.post(path, json={"name": a_name()})
            except httpx2.TransportError:
                return
            peer = answer.raise_for_status().json()["peer"]
            answered[peer["id"]] = peer
            if len(answered) == 20:
                enough.set()

    async def kill() -> None:
        await enough.wait()
        await asyncio.sleep(random.uniform(0, 0.2))
        await asyncio.to_thread(server.kill)

    async with server.async_client(token) as client:
        await asyncio.gather(kill(), *(create(client) for _ in range(8)))
    return answered


async def test_a_server_that_is_killed_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        token = server.token("read", "write")
        with server.client(token) as admin:
            network = a_network(admin, cidr_v4="10.20.0.0/16")
            agent = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
        begun = agent.config().revision
        answered = await create_until_killed(server, network, token)
        await asyncio.to_thread(server.start)

        stored = {peer["id"]: peer for peer in content_of(server)[1]}
        assert answered.keys() <= stored.keys()
        for peer_id, peer in answered.items():
            assert stored[peer_id]["addresses"] == peer["addresses"]
        addresses = [address for peer in stored.values() for address in peer["addresses"]]
        assert len(addresses) == len(set(addresses))
        with server.client(token) as admin:
            shown = admin.get(f"/networks/{network['id']}").raise_for_status().json()
            assert shown["revision"] == begun + len(stored) - 1, "every peer that is there has its revision, no other"
            assert shown["capacity"]["v4"]["used"] == len(stored)
            a_peer(admin, network)
        async with agent.stream(begun) as stream:
            assert isinstance(await stream.next_of(wire.Unchanged), wire.Unchanged)


def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        token = server.token("read", "write", "admin")
        with server.client(token) as admin:
            network = a_network(admin, cidr_v4="10.20.0.0/24")
            agent = Agent.enrolled(server, a_peer(admin, network))
            a_peer(admin, network, kind="static", keep_private_key=True)
            path = f"/networks/{network['id']}/reservations"
            admin.post(path, json={"address": "10.20.0.99", "note": "printer"}).raise_for_status()
        before, password = content_of(server), server.password
        assert server.stop() == 0
        begin = time.monotonic()
        server.start()
        assert time.monotonic() - begin < 20
        assert content_of(server) == before
        assert server.output.count(password) == 1, "it is shown once"
        assert agent.config().config is not None
        with server.client() as client:
            login = client.post("/auth/login", json={"username": "admin", "password": password})
            assert login.status_code == 200
        with server.client(token) as admin:
            assert len(admin.get(f"/networks/{network['id']}/reservations").json()["items"]) == 1
            static = next(peer for peer in content_of(server)[1] if peer["kind"] == "static")
            assert "PrivateKey = " in admin.get(f"/peers/{static['id']}/config").json()["text"]


async def test_a_stopped_server_tells_its_agents_and_ends_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        with server.client(server.token("write")) as admin:
            agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
        async with agent.stream() as stream:
            await stream.next_of(wire.Snapshot)
            begin = time.monotonic()
            assert await asyncio.to_thread(server.stop) == 0
            assert time.monotonic() - begin < 5
            assert await stream.closed() == wire.CLOSE_GOING_AWAY
        assert "Traceback" not in server.log


def test_what_is_in_the_files_is_for_the_owner_alone_and_holds_no_secret(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        with server.client(server.token("write")) as admin:
            created = a_peer(admin, a_network(admin))
            agent = Agent.enrolled(server, created)
        secrets = [created["enrollment"]["token"], agent.session, server.password]
        server.stop()
        for path in (server.data, *server.data.iterdir()):
            assert path.stat().st_mode & 0o077 == 0, path
        with sqlite3.connect(server.data / "isthmus.db") as database:
            stored = "\n".join(database.iterdump())
        assert not [secret for secret in secrets if secret in stored or secret in server.log]
