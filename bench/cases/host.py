"""A real agent on a lab host with wireguard-go: what applying one more peer takes, and what it costs at rest."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address

from bench.client import CallFailed, Client
from bench.measure import Goal, Row, Size
from bench.mesh import CIDR, random_key
from bench.procfs import cpu_seconds, resident_bytes
from lab import Host, Lab, LabUnavailable, Process

PORT = 8080
SOCKET = "/var/lib/isthmus/server.sock"
START_SECONDS = 30.0
APPLY_SECONDS = 60.0
POLL_SECONDS = 0.01


async def measured(size: Size) -> AsyncIterator[Row]:
    try:
        with Lab() as lab:
            async for row in _rows(lab, size):
                yield row
    except LabUnavailable as reason:
        yield Row("agent: apply one added peer", "ms", skipped=str(reason))


async def _rows(lab: Lab, size: Size) -> AsyncIterator[Row]:
    count, rounds, seconds = size.pick(20, 1_000), size.pick(3, 30), size.pick(3, 60)
    client = await _server(lab.host("core"))
    network = await client.call("POST", "/api/v1/networks", {"name": "bench", "cidr_v4": CIDR})
    peers = f"/api/v1/networks/{network['id']}/peers"
    drafts = [{"name": f"peer-{number}", "kind": "static", "public_key": random_key()} for number in range(count)]
    await client.call("POST", f"{peers}/bulk", {"operations": [{"action": "create", **draft} for draft in drafts]})
    agent = await _agent(lab, client, peers)
    revision = int((await client.call("GET", f"/api/v1/networks/{network['id']}"))["revision"])
    first = await _applied(agent, revision)
    took = []
    for number in range(rounds):
        body = {"name": f"late-{number}", "kind": "static", "public_key": random_key()}
        await client.call("POST", peers, body)
        took.append(await _applied(agent, revision + number + 1))
    note = f"all {count:,} at once took {first:,.0f} ms"
    yield Row.of(f"agent: apply one added peer at {count:,} peers", "ms", took, goal=Goal(60.0), note=note)
    pid = agent.pid
    if pid is None:
        raise ProcessLookupError("the agent has ended")
    before = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    share = (cpu_seconds(pid) - before) / seconds * 100
    yield Row("agent: memory, wireguard-go not included", "MB", resident_bytes(pid) / 1e6, goal=Goal(45.0))
    yield Row("agent: CPU at rest, of one core", "%", share, goal=Goal(0.3))
    client.close()


async def _server(core: Host) -> Client:
    """A server on a host of the lab; its own socket is reached from outside."""
    address = ip_address(str(core.ipv4))
    core.start(
        ["isthmus", "server"],
        env={
            "ISTHMUS_LISTEN": f"{address}:{PORT}",
            "ISTHMUS_PLAINTEXT": "development",
            "ISTHMUS_DATA_DIR": SOCKET.rpartition("/")[0],
        },
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client = await Client.connected_to(core.path(SOCKET))
            await client.call("GET", "/api/v1/health/ready")
        except (OSError, CallFailed):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(POLL_SECONDS)
        else:
            return client


async def _agent(lab: Lab, client: Client, peers: str) -> Process:
    """The agent of a jump peer, enrolled and running."""
    host = lab.host("gw")
    body = {"name": "gw", "kind": "jump", "endpoint": f"{host.ipv4}:51820"}
    created = await client.call("POST", peers, body)
    env = {"ISTHMUS_AGENT_ALLOW_HTTP": "true", "ISTHMUS_AGENT_BACKEND": "userspace"}
    command = ["isthmus", "agent", "enroll", "--server", f"http://{lab.hosts['core'].ipv4}:{PORT}", "--token-file", "-"]
    await asyncio.to_thread(host.run, command, input=created["enrollment"]["token"], env=env)
    return host.start(["isthmus", "agent", "run"], name="agent", env=env)


async def _applied(agent: Process, revision: int) -> float:
    """Milliseconds that the agent says it took to make `revision` true."""
    deadline = time.monotonic() + APPLY_SECONDS
    while time.monotonic() < deadline and agent.running:
        complete, _, _ = agent.output.rpartition("\n")
        for line in map(json.loads, complete.splitlines()):
            if line["event"] == "config applied" and line["revision"] >= revision:
                return float(line["took_ms"])
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError(f"the agent has not applied revision {revision} within {APPLY_SECONDS:g} s:\n{agent.output}")
