"""A network of a server under test: its peers, and simulated agents that have really enrolled."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.client import Client, spread
from bench.server import Server
from bench.stream import Stream, expect_all

CIDR = "10.64.0.0/10"
CLIENTS = 8
CREATED_AT_ONCE = 500  # peers in one call, which the server takes some hundred milliseconds for
DIALS = 100  # connections that are being opened at a time, so that the kernel's queue is not what is measured


@dataclass(frozen=True, slots=True)
class Agent:
    """An enrolled peer and the session token of its agent."""

    peer_id: str
    name: str
    session: str


def random_key() -> str:
    """A public key: 32 random bytes lie on the curve or on its twist, and both count as keys."""
    return base64.b64encode(os.urandom(32)).decode()


@dataclass(slots=True)
class Mesh:
    """One network, filled over the API like any other."""

    server: Server
    client: Client
    network_id: str
    made: int = 0

    @classmethod
    async def made_on(cls, server: Server, name: str = "bench", **more: Any) -> "Mesh":
        """`more` goes into the body. Direct paths are off unless it says otherwise, however few agents there are."""
        client = await server.client()
        body = {"name": name, "cidr_v4": CIDR, "direct_paths": "off", **more}
        network = await client.call("POST", "/api/v1/networks", body)
        return cls(server, client, network["id"])

    def draft(self, kind: str, **more: Any) -> dict[str, Any]:
        """The body that creates a peer; static ones bring a key of their own."""
        self.made += 1
        body = {"name": f"{kind}-{self.made}", "kind": kind, **more}
        if kind == "static":
            body["public_key"] = random_key()
        if kind == "jump":
            body["endpoint"] = f"198.51.100.7:{10_000 + self.made}"
        return body

    async def create(self, draft: dict[str, Any], client: Client | None = None) -> dict[str, Any]:
        path = f"/api/v1/networks/{self.network_id}/peers"
        created: dict[str, Any] = await (client or self.client).call("POST", path, draft)
        return created

    async def fill(self, count: int, kind: str = "static", **more: Any) -> list[dict[str, Any]]:
        """Create `count` peers, many with each call."""
        path = f"/api/v1/networks/{self.network_id}/peers/bulk"
        drafts = [{"action": "create", **self.draft(kind, **more)} for _ in range(count)]
        made: list[dict[str, Any]] = []
        for start in range(0, count, CREATED_AT_ONCE):
            answer = await self.client.call("POST", path, {"operations": drafts[start : start + CREATED_AT_ONCE]})
            made += answer["rows"]
        return made

    async def agents(self, count: int, kind: str = "dynamic") -> list[Agent]:
        """Create `count` peers and enroll them over several connections."""
        created = await self.fill(count, kind)
        async with self.server.clients(min(CLIENTS, count)) as clients:
            return await spread(clients, created, self.enroll)

    async def enroll(self, client: Client, created: dict[str, Any]) -> Agent:
        """Make a peer that was created an agent's."""
        peer = created["peer"]
        body = {
            "token": created["enrollment"]["token"],
            "public_key": random_key(),
            "hostname": peer["name"],
            "machine_id": peer["id"].replace("-", ""),
            "agent_version": "0.1.0",
        }
        answer = await client.call("POST", "/api/v1/agent/enroll", body)
        return Agent(peer["id"], peer["name"], answer["session_token"])

    async def load(self, jump: Agent) -> None:
        """Have the server keep the network in memory, as it does wherever an agent is connected."""
        async with self.server.clients(1) as (client,):
            client.speak_for(jump.session)
            await client.call("GET", "/api/v1/agent/config")

    async def revision(self) -> int:
        """The network's revision: every change counts it up by one."""
        return int((await self.client.call("GET", f"/api/v1/networks/{self.network_id}"))["revision"])

    async def patch(self, peer_id: str, **fields: Any) -> None:
        await self.client.call("PATCH", f"/api/v1/peers/{peer_id}", fields)

    async def move(self, jump_id: str, number: int) -> None:
        """Give a jump peer another endpoint, which concerns everyone."""
        await self.patch(jump_id, endpoint=f"198.51.100.8:{20_000 + number}")


async def dial(server: Server, streams: Sequence[Stream]) -> None:
    """Open all streams at once, as agents do after a restart of the server."""
    places = asyncio.Semaphore(DIALS)

    async def one(stream: Stream) -> None:
        async with places:
            await stream.connect(server.port)

    await asyncio.gather(*map(one, streams))


async def hang_up(streams: Sequence[Stream]) -> None:
    for stream in streams:
        stream.abort()
    await asyncio.gather(*(stream.closed for stream in streams))


@contextlib.asynccontextmanager
async def connected(server: Server, agents: Sequence[Agent]) -> AsyncIterator[list[Stream]]:
    """Streams of all these agents, each with its config."""
    streams = [Stream(agent.session) for agent in agents]
    gate = expect_all(streams, 0)
    await dial(server, streams)
    await gate.opened()
    try:
        yield streams
    finally:
        await hang_up(streams)
