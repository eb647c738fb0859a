"""A backend with something of everything, the load on it, and `isthmus backup` as an operator types it."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, select

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Gateway, State, Statement, Terms
from isthmus.domain.federation.grant import Grant, Scope
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId, PublicKey
from isthmus.server.adapters.db import open_store
from isthmus.server.adapters.db.tables import metadata
from tests.api.agent import Agent, a_network, a_peer, a_public_key
from tests.api.test_incidents import steal
from tests.server import COMMAND, Server, clean_environment
from tests.tables import on_connection
from tests.trusting import B, a_bridge, an_active_remote

PASSPHRASE = "correct horse battery"
PREFIX = IPv4Network("10.99.0.0/16")

Tables = dict[str, list[dict[str, Any]]]


@dataclass
class Full:
    """Gateway and laptop of "office" have agents, the phone has a key that the server keeps, and the copied one is
    blocked. "office" has a bridge with B, and B's Bob a grant."""

    server: Server
    url: str
    token: str
    network: Any
    gateway: Agent
    laptop: Agent
    copied: Agent
    phone: Any
    grant: str
    bridge: UUID


def a_full_backend(server: Server) -> Full:
    """`server` does not run yet, and runs afterwards."""
    server.start()
    token = server.token("read", "write", "admin")
    with server.client(token) as admin:
        admin.post("/federation/init", json={"domain": "a.example", "infra_domains": ["infra.a.example"]})
        network = a_network(admin, name="office", cidr_v4="10.207.0.0/24")
        gateway = Agent.enrolled(server, a_peer(admin, network, kind="jump"))
        laptop, copied, stolen = [Agent.enrolled(server, a_peer(admin, network)) for _ in range(3)]
        phone = a_peer(admin, network, kind="static", keep_private_key=True)
        steal(copied)
        admin.post(f"/incidents/{steal(stolen)}/resolve", json={"reason": "it was a drill"}).raise_for_status()
    server.stop()
    url = server.settings.get("database_url", f"sqlite:///{server.data / 'isthmus.db'}")
    grant, bridge = uuid4(), uuid4()
    full = Full(server, url, token, network, gateway, laptop, copied, phone, str(grant), bridge)
    asyncio.run(_join(full))
    server.start()
    return full


async def _join(full: Full) -> None:
    now, network_id = datetime.now(UTC), NetworkId(UUID(full.network["id"]))
    offered = (IPv4Network(full.network["cidr_v4"]), IPv6Network(full.network["cidr_v6"]))
    gateway = Gateway(PublicKey(a_public_key()), (Endpoint("203.0.113.1", 51_820),))
    statement = Statement(full.bridge, 1, 1, State.ACTIVE, Terms("plant", (PREFIX,), (gateway,), PREFIX[1], 8443))
    bridge = a_bridge(network_id=network_id, state=State.ACTIVE, accepted=(PREFIX,), theirs=statement)
    service = Service(uuid4(), "wiki", network_id, "tcp", offered[0][9], ((443, 443),), now)
    ends = now + timedelta(days=30)
    scopes = frozenset({Scope.CONNECT})
    grant = Grant(UUID(full.grant), B, 1, f"bob@{B}", "user:ada", "service", str(service.id), scopes, now, ends)
    store = await open_store(full.url)
    async with store.transaction() as tx:
        await tx.remotes.add(an_active_remote())
        await tx.bridges.add(replace(bridge, id=full.bridge, offered=offered, ours=Terms("office", offered)))
        await tx.services.add(service)
        await tx.grants.add(grant)
    await store.close()


async def tables_of(url: str) -> Tables:
    """Everything in the database at `url`, by the names of tables and columns."""

    def read(connection: Connection) -> Tables:
        found = {}
        for table in metadata.sorted_tables:
            rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            found[table.name] = [dict(row) for row in rows]
        return found

    return await on_connection(url, read)


@dataclass
class Load:
    """`asked` peers were asked for in this order, `made` are those of which we were told that they are there."""

    asked: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    network: Any = None


@contextmanager
def under_load(server: Server, token: str) -> Iterator[Load]:
    """One caller makes a peer after the other in a network of its own, until the block ends."""
    load, stop = Load(), threading.Event()

    def work() -> None:
        with server.client(token) as client:
            while not stop.is_set():
                load.asked.append(f"busy-{len(load.asked):05}")
                a_peer(client, load.network, name=load.asked[-1])
                load.made.append(load.asked[-1])

    with server.client(token) as admin:
        load.network = a_network(admin, name="busy")
    caller = threading.Thread(target=work)
    caller.start()
    try:
        yield load
    finally:
        stop.set()
        caller.join(30)


def where(server: Server) -> dict[str, str]:
    """The settings that say where a backend is."""
    return {name: value for name, value in server.settings.items() if name in {"data_dir", "database_url"}}


def backup(verb: str, file: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`isthmus backup VERB FILE` on the machine of a server with these settings; `passphrase` may be another."""
    secret = file.with_name("passphrase")
    secret.write_text(settings.pop("passphrase", PASSPHRASE) + "\n")
    command = [str(COMMAND), "backup", verb, str(file), "--passphrase-file", str(secret), "--json"]
    environment = clean_environment(settings)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def done(process: subprocess.CompletedProcess[str]) -> Any:
    """What it answered, all being well."""
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def failed(process: subprocess.CompletedProcess[str], *words: str) -> Any:
    """The problem that it told, which holds all these words and says what to do."""
    assert process.returncode == 1, process.stdout
    assert "Traceback" not in process.stderr
    problem = json.loads(process.stderr)
    for word in words:
        assert word in problem["title"], problem
    assert problem["hint"]
    return problem
