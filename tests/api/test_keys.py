"""Keys and sessions over real sockets: who is told what first, what a stream is asked, and what ends it."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from isthmus.domain.ids import PeerId
from isthmus.domain.mesh.enrollment import ROTATE_AFTER
from isthmus.protocol import agent as wire
from isthmus.server.adapters.agents.gates import HOLD_SECONDS
from tests.api.agent import Agent, Stream, a_network, a_peer, a_public_key
from tests.api.inprocess import Inside, inside
from tests.api.test_streams import silent
from tests.server import Server

SOON = 5.0


@dataclass
class Office:
    """A jump peer and two members of one network without direct paths, so that each hears of as little as can be."""

    gw: Agent
    laptop: Agent
    desk: Agent


@pytest.fixture
def office(server: Server, admin: httpx2.Client) -> Office:
    network = a_network(admin, direct_paths="off")
    gw = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
    laptop, desk = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(2)]
    return Office(gw, laptop, desk)


async def settled(stream: Stream) -> None:
    """Take what the stream begins with."""
    await stream.next_of(wire.Snapshot)


async def rekeyed(admin: httpx2.Client, agent: Agent, stream: Stream) -> str:
    """Have an agent's key changed as far as the agent's own message; returns the new key."""
    answer = await asyncio.to_thread(admin.post, f"/peers/{agent.peer_id}/rotate-key")
    assert answer.status_code == 202, answer.text
    assert answer.json()["waits_for"] is None
    await stream.next_of(wire.Rotate)
    key = a_public_key()
    await stream.send(wire.Rekey(key))
    return key


def names(message: wire.Snapshot | wire.Delta, key: str) -> bool:
    return key in wire.encode(message).decode()


async def hears_of(key: str, stream: Stream, within: float) -> bool:
    """Whether a config that names `key` comes; others are passed over, such as the one without news after a wish."""
    try:
        async with asyncio.timeout(within):
            while not names(await stream.next_of(wire.Snapshot, wire.Delta), key):
                pass
    except TimeoutError:
        return False
    return True


async def test_a_member_hears_of_its_key_when_the_jump_peer_has_it(admin: httpx2.Client, office: Office) -> None:
    async with office.gw.stream() as gw, office.laptop.stream() as laptop:
        await settled(gw)
        await settled(laptop)
        key = await rekeyed(admin, office.laptop, laptop)
        async with asyncio.timeout(SOON):
            while not names(told := await gw.next_of(wire.Snapshot, wire.Delta), key):
                pass
        assert not await hears_of(key, laptop, within=HOLD_SECONDS / 3)
        revision = told.revision if isinstance(told, wire.Snapshot) else told.to
        await gw.send(wire.Applied(revision, 1))
        assert await hears_of(key, laptop, within=HOLD_SECONDS / 3)
    shown = admin.get(f"/peers/{office.laptop.peer_id}").json()
    assert shown["public_key"] == key
    assert shown["key"]["asked_at"] is None


async def test_nobody_waits_long_for_a_jump_peer_that_does_not_answer(admin: httpx2.Client, office: Office) -> None:
    async with office.gw.stream() as gw, office.laptop.stream() as laptop:
        await settled(gw)
        await settled(laptop)
        key = await rekeyed(admin, office.laptop, laptop)
        assert await hears_of(key, laptop, within=HOLD_SECONDS + SOON)


async def test_all_others_hear_of_a_jump_peers_key_when_it_has_changed(admin: httpx2.Client, office: Office) -> None:
    async with office.gw.stream() as gw, office.laptop.stream() as laptop, office.desk.stream() as desk:
        for stream in (gw, laptop, desk):
            await settled(stream)
        key = await rekeyed(admin, office.gw, gw)
        async with asyncio.timeout(SOON):
            while not names(told := await gw.next_of(wire.Snapshot, wire.Delta), key):
                pass
        assert await silent(laptop, HOLD_SECONDS / 4)
        revision = told.revision if isinstance(told, wire.Snapshot) else told.to
        await gw.send(wire.Applied(revision, 1))
        for stream in (laptop, desk):
            assert await hears_of(key, stream, within=SOON)


async def test_a_wish_is_kept_until_agent_and_jump_peer_are_there(admin: httpx2.Client, office: Office) -> None:
    path = f"/peers/{office.laptop.peer_id}"
    assert admin.post(f"{path}/rotate-key").json()["waits_for"] == "agent"
    assert admin.get(path).json()["key"]["asked_at"] is not None
    async with office.laptop.stream() as laptop:
        await settled(laptop)
        assert await silent(laptop, 1.0)
        assert admin.post(f"{path}/rotate-key").json()["waits_for"] == "jump_peer"
        async with office.gw.stream(), asyncio.timeout(10):
            await laptop.next_of(wire.Rotate)


def test_by_plain_https_the_wish_comes_with_the_config(server: Server, admin: httpx2.Client) -> None:
    agent = Agent.enrolled(server, a_peer(admin, a_network(admin)))
    assert agent.config().rotate is False
    with agent.client() as client:
        refused = client.post("/agent/rekey", json={"public_key": a_public_key()})
        assert (refused.status_code, refused.json()["code"]) == (409, "transition_not_allowed")
        admin.post(f"/peers/{agent.peer_id}/rotate-key").raise_for_status()
        assert agent.config().rotate is True
        key = a_public_key()
        for _ in range(2):
            assert client.post("/agent/rekey", json={"public_key": key}).status_code == 204
    answer = agent.config()
    assert answer.rotate is False
    assert answer.config is not None
    assert answer.config.public_key == key


async def test_a_revoked_session_closes_its_stream_at_once_and_no_other(
    server: Server, admin: httpx2.Client, office: Office
) -> None:
    path = f"/peers/{office.laptop.peer_id}"
    async with office.laptop.stream() as laptop, office.desk.stream() as desk:
        await settled(laptop)
        await settled(desk)
        assert admin.get(path).json()["session"]["since"]
        ending = asyncio.create_task(laptop.closed())
        answer = await asyncio.to_thread(admin.delete, f"{path}/session")
        started = time.monotonic()
        assert answer.status_code == 204
        assert await ending == wire.CLOSE_SESSION_ENDED
        assert time.monotonic() - started < 0.25
        assert await silent(desk)
    with office.laptop.client() as client:
        assert client.get("/agent/config").json()["code"] == "unauthenticated"
    with pytest.raises(InvalidStatus):
        async with office.laptop.stream():
            pass
    assert admin.get(path).json()["session"] is None
    assert office.desk.config().config is not None
    token = admin.post(f"{path}/enrollment-token", json={}).json()["token"]
    again = Agent.enrolled(server, {"enrollment": {"token": token}})
    assert again.config().config is not None


async def test_static_peers_have_neither_session_nor_agent(admin: httpx2.Client) -> None:
    phone = a_peer(admin, a_network(admin), kind="static")["peer"]
    for answer in (admin.delete(f"/peers/{phone['id']}/session"), admin.post(f"/peers/{phone['id']}/rotate-key")):
        assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed")
        assert answer.json()["hint"]


@dataclass
class Aged:
    """A server whose sessions can be made old, and one agent of it."""

    inside: Inside
    peer_id: str
    session: str

    def stream(self, token: str) -> Stream:
        return Stream(self.inside.address, token)

    async def age(self) -> None:
        """From now on the agent's token is as old as one gets."""
        async with self.inside.services.store.transaction() as tx:
            peer_id = PeerId(UUID(self.peer_id))
            (session,) = (await tx.sessions.of_peers([peer_id]))[peer_id]
            await tx.sessions.end_of_peer(peer_id)
            old = session.created_at - ROTATE_AFTER - timedelta(minutes=1)
            await tx.sessions.add(replace(session, created_at=old))


async def test_a_token_is_changed_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        aged = await an_aged(server)
        async with aged.stream(aged.session) as stream, asyncio.timeout(10):
            fresh = (await stream.next_of(wire.SessionToken)).session_token
            # Until the fresh one is presented, the old one is good.
            async with server.client(aged.session) as client:
                assert (await client.get("/agent/config")).status_code == 200
            async with aged.stream(fresh) as renewed:
                await settled(renewed)
                assert await stream.closed() == wire.CLOSE_REPLACED
                async with server.client(aged.session) as client:
                    refused = await client.get("/agent/config")
                assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
                assert await silent(renewed)


async def test_by_plain_https_a_token_is_changed_with_the_config(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        aged = await an_aged(server)
        async with server.client(aged.session) as client:
            fresh = (await client.get("/agent/config")).json()["session_token"]
        assert fresh
        async with server.client(fresh) as client:
            answer = await client.get("/agent/config")
        assert (answer.status_code, answer.json()["session_token"]) == (200, "")
        async with server.client(aged.session) as client:
            assert (await client.get("/agent/config")).status_code == 401


async def an_aged(server: Inside) -> Aged:
    async with await server.admin() as admin:
        network = (await admin.post("/networks", json={"name": "office"})).json()
        created = (await admin.post(f"/networks/{network['id']}/peers", json={"name": "laptop"})).json()
    body = {"token": created["enrollment"]["token"], "public_key": a_public_key(), "hostname": "h"}
    async with server.client() as client:
        answer = await client.post("/agent/enroll", json=body | {"machine_id": "m", "agent_version": "0"})
    aged = Aged(server, created["peer"]["id"], answer.json()["session_token"])
    await aged.age()
    return aged
