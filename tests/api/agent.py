"""An agent as the server sees it: enrolls, calls, and talks on the stream."""

import itertools
import ssl
from dataclasses import dataclass
from typing import Any, Self

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from isthmus.protocol import agent as wire
from isthmus.wireguard.keys import PrivateKey
from tests.server import API, Server, bearer

NUMBERS = itertools.count(1)
LARGEST = 16 * 1024 * 1024


def a_public_key() -> str:
    return str(PrivateKey.generate().public())


def a_name(stem: str = "peer") -> str:
    """A name that no other test of this process uses."""
    return f"{stem}-{next(NUMBERS)}"


def a_network(admin: httpx2.Client, **fields: Any) -> Any:
    """A new network without IPv4, unless `fields` say otherwise."""
    return admin.post("/networks", json={"name": a_name("net")} | fields).raise_for_status().json()


def a_peer(admin: httpx2.Client, network: Any, **fields: Any) -> Any:
    """A new peer with what is shown of it once."""
    if fields.get("kind") == "jump":
        fields = {"endpoint": "198.51.100.7:51820"} | fields
    body = {"name": a_name()} | fields
    return admin.post(f"/networks/{network['id']}/peers", json=body).raise_for_status().json()


def enroll_body(token: str, **fields: Any) -> dict[str, Any]:
    return {
        "token": token,
        "public_key": a_public_key(),
        "hostname": "host",
        "machine_id": "machine",
        "agent_version": "0",
    } | fields


def heartbeat(nonce: str, hostname: str = "host", **fields: Any) -> dict[str, Any]:
    host: dict[str, Any] = {"hostname": hostname, "machine_id": "machine", "boot_id": "boot", "agent_version": "0"}
    host |= {"booted_at": 1_700_000_000, "started_at": 1_700_000_060}
    return {"nonce": nonce, "revision": 0, "host": host} | fields


@dataclass
class Agent:
    """One enrolled agent."""

    server: Server
    peer_id: str
    public_key: str
    token: str
    session: str

    @classmethod
    def enrolled(cls, server: Server, created: Any) -> Self:
        """Spend the enrollment token of a peer that was just created."""
        body = enroll_body(created["enrollment"]["token"])
        with server.client() as client:
            answer = client.post("/agent/enroll", json=body).raise_for_status().json()
        return cls(server, answer["peer"]["id"], body["public_key"], body["token"], answer["session_token"])

    def client(self) -> httpx2.Client:
        return self.server.client(self.session)

    def config(self) -> wire.ConfigAnswer:
        with self.client() as client:
            answer = client.get("/agent/config").raise_for_status()
        return msgspec.json.decode(answer.content, type=wire.ConfigAnswer)

    def stream(self, revision: int | None = None, query: str | None = None) -> "Stream":
        asked = query if query is not None else "" if revision is None else f"?revision={revision}"
        return Stream(self.server.address, self.session, asked)


class Stream:
    """`async with agent.stream() as stream:` then `await stream.next()`."""

    def __init__(self, address: str, token: str | None, query: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._url = f"{'ws' if tls is None else 'wss'}://{address}{API}/agent/stream{query}"
        self._token, self._tls = token, tls
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await connect(
            self._url,
            additional_headers=bearer(self._token),
            max_size=LARGEST,
            open_timeout=20,
            proxy=None,
            ssl=self._tls,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    @property
    def connection(self) -> ClientConnection:
        assert self._connection is not None
        return self._connection

    async def next(self) -> wire.FromServer:
        message: wire.FromServer = wire.decode_from_server(await self.connection.recv())
        return message

    async def next_of(self, *kinds: type[Any]) -> Any:
        """The next message of one of these kinds; others are passed over."""
        while True:
            message = await self.next()
            if isinstance(message, kinds):
                return message

    async def send(self, message: wire.FromAgent | str | bytes) -> None:
        text = message if isinstance(message, str | bytes) else wire.encode(message).decode()
        await self.connection.send(text)

    async def closed(self) -> int:
        """Read to the end of the stream; returns the code that it was closed with."""
        try:
            while True:
                await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0
