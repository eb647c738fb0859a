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
    async def made_on(cls, server: Server, name: str = "bench", cidr: str = CIDR) -> "Mesh":
        client = await server.client()
        network = await client.call("POST", "/api/v1/networks", {"name": name, "cidr_v4": cidr})
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
        """Create `count` peers over several connections."""

        async def one(client: Client, number: int) -> dict[str, Any]:
            return await self.create(self.draft(kind, **more), client)

        async with self.server.clients(min(CLIENTS, count)) as clients:
            return await spread(clients, range(count), one)

    async def agents(self, count: int, kind: str = "dynamic") -> list[Agent]:
        """Create and enroll `count` peers."""

        async def enroll(client: Client, created: dict[str, Any]) -> Agent:
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

        created = await self.fill(count, kind)
        async with self.server.clients(min(CLIENTS, count)) as clients:
            return await spread(clients, created, enroll)

    async def revision(self) -> int:
        """The network's revision: every change counts it up by one."""
        return int((await self.client.call("GET", f"/api/v1/networks/{self.network_id}"))["revision"])

    async def patch(self, peer_id: str, **fields: Any) -> None:
        await self.client.call("PATCH", f"/api/v1/peers/{peer_id}", fields)


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
