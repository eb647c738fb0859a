"""One backend under faults: a real server process, agents that hold on to it, and somebody who changes things."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.faults import truth
from tests.faults.administrator import Administrator
from tests.faults.agent import SimulatedAgent
from tests.server import API, Server, bearer

NETWORKS = 2
AGENTS = 5  # of each network, beside two jump peers
# A machine that does much else at the same time is no fault.
START_SECONDS = 120.0
SETTLE_SECONDS = 120.0
CALL_SECONDS = 30.0
POLL_SECONDS = 0.05
LOOKS = 3


class World:
    """`chance` decides everything that is not a matter of time."""

    def __init__(self, server: Server, client: httpx2.AsyncClient, chance: random.Random) -> None:
        self.server = server
        self.agents: dict[str, SimulatedAgent] = {}
        self.chance = chance
        self.administrator = Administrator(client, chance, self._welcome)
        self._client = client

    @property
    def seen(self) -> Counter[str]:
        """How many messages of each kind all agents have got."""
        return sum((agent.seen for agent in self.agents.values()), Counter())

    def _welcome(self, peer_id: str, session: str) -> None:
        agent = SimulatedAgent(self.server.address, session, random.Random(self.chance.random()))
        self.agents[peer_id] = agent
        agent.start()

    async def start_server(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def kill_server(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def stop_server(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def living(self) -> list[SimulatedAgent]:
        return [agent for agent in self.agents.values() if not agent.has_ended]

    async def settled(self) -> dict[str, Any]:
        """Wait until every agent has the revision that its peer should have, and has said so; returns the peers."""
        await self.administrator.enroll_all()
        for agent in self.living():
            agent.go_on()
            agent.start()
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            peers = await self._peers()
            behind = self._behind(peers)
            if not behind:
                return peers
            if time.monotonic() > deadline:
                raise AssertionError(f"after {SETTLE_SECONDS:g} s: {'; '.join(behind)}")
            await asyncio.sleep(POLL_SECONDS)

    async def _peers(self) -> dict[str, Any]:
        answer = (await self._client.get("/peers", params={"limit": 1000})).raise_for_status().json()
        return {peer["id"]: peer for peer in answer["items"]}

    def _behind(self, peers: dict[str, Any]) -> list[str]:
        found = []
        for peer_id, agent in self.agents.items():
            if (failure := agent.failure()) is not None:
                raise failure
            peer = peers.get(peer_id)
            if peer is None:
                if not agent.has_ended:
                    found.append(f"{peer_id} is deleted and its agent goes on")
                continue
            wanted, said = peer["desired_revision"], peer["status"]["applied_revision"]
            # One that was cut off has yet to come back, perhaps with an old state.
            if not agent.is_connected or not (wanted == said == agent.held.revision):
                state = f"{agent.standing} with {agent.held.revision}, said {said}"
                found.append(f"{peer['name']} {state}, should have {wanted}")
        return found

    async def faults(self) -> list[str]:
        """Every difference between what agents hold, what was answered, and what the database says, that stays. The
        server changes things by itself too, perhaps just between the one look and the other."""
        found: list[str] = []
        for _ in range(LOOKS):
            await self.settled()
            found = await self._differences()
            if not found:
                break
        return found

    async def _differences(self) -> list[str]:
        rows = await truth.of_database(self._database, self.server.folder)
        found = self.administrator.ledger.faults(rows)
        for peer in rows.peers.values():
            agent = self.agents.get(str(peer.id))
            if agent is None:
                continue
            if agent.held.revision != rows.desired(peer):
                found.append(f"{peer.name} is at {agent.held.revision}, not at {rows.desired(peer)}")
            if truth.normal(agent.held.config) != truth.normal(rows.config(peer)):
                found.append(f"{peer.name} has another config than the one computed from all rows")
        for network in rows.networks:
            logged = [change.revision for change in rows.changes if change.network_id == network.id]
            if logged != list(range(1, network.revision + 1)):
                found.append(f"the log of {network.name} is not 1 to {network.revision}: {logged}")
        return found

    @property
    def _database(self) -> str:
        return self.server.settings.get("database_url") or f"sqlite:///{self.server.data / 'isthmus.db'}"


@asynccontextmanager
async def a_world(folder: Path, seed: int, **settings: str) -> AsyncIterator[World]:
    """A world in an empty folder that has settled for the first time."""
    server = Server(folder, settings, START_SECONDS)
    await asyncio.to_thread(server.start)
    token = await asyncio.to_thread(server.token, "read", "write", "admin")
    try:
        async with httpx2.AsyncClient(
            base_url=f"{server.url}{API}", headers=bearer(token), timeout=CALL_SECONDS, trust_env=False
        ) as client:
            world = World(server, client, random.Random(seed))
            await world.administrator.prepare(NETWORKS, AGENTS)
            await world.settled()
            try:
                yield world
            finally:
                for agent in world.agents.values():
                    await agent.kill()
    finally:
        await asyncio.to_thread(server.kill)
