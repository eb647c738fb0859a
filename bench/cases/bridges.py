"""A grant of one of many bridges is revoked: from there to the delta that its gateway is sent."""

import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from uuid import UUID

from bench.measure import Goal, Row, Size
from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Bridge, Gateway, Side, State, Statement, Terms
from isthmus.domain.federation.grant import Grant, Scope
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.remote import Remote
from isthmus.domain.federation.remote import State as Standing
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId, PeerId, PublicKey
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Kind, Peer
from isthmus.server.adapters.db import open_store
from isthmus.server.application.crossings import recompile, recompile_remote
from isthmus.server.application.mesh import MeshMemory
from isthmus.server.ports import Store, Transaction
from isthmus.wireguard.keys import PrivateKey

NETWORK_ID, JUMP_ID = NetworkId(UUID(int=1)), PeerId(UUID(int=2))
CIDR, CIDR_V6 = IPv4Network("10.20.0.0/16"), IPv6Network("fd12:3456:789a:1::/64")


async def measured(size: Size) -> AsyncIterator[Row]:
    bridges, grants, rounds = size.pick(3, 100), size.pick(9, 1_000), size.pick(3, 50)
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            now = datetime.now(UTC)
            made = await filled(store, bridges, grants, now)
            mesh = MeshMemory(store)
            await mesh.around(JUMP_ID)
            times = [await revoked(store, mesh, grant, now) for grant in made[:rounds]]
        finally:
            await store.close()
    what = f"revoked grant to delta, {grants:,} grants on {bridges} bridges of one network"
    yield Row.of(what, "ms", times, goal=Goal(100.0, of_p99=True))


async def filled(store: Store, bridges: int, grants: int, now: datetime) -> list[Grant]:
    async with store.transaction() as tx:
        await tx.networks.lock_all()
        await tx.networks.add(Network(NETWORK_ID, "office", CIDR, CIDR_V6, "office.internal", now, revision=1))
        await tx.peers.add(
            Peer(JUMP_ID, NETWORK_ID, "gw", Kind.JUMP, (), now, a_key(), endpoint=Endpoint("198.51.100.1", 51_820))
        )
        await tx.services.add(Service(UUID(int=3), "wiki", NETWORK_ID, "tcp", CIDR[9], ((443, 443),), now))
        for number in range(bridges):
            await join(tx, number, now)
        made = [a_grant(number, bridges, now) for number in range(grants)]
        for grant in made:
            await tx.grants.add(grant)
        await recompile(tx, [NETWORK_ID], now)
    return made


async def join(tx: Transaction, number: int, now: datetime) -> None:
    domain, bridge_id = remote_of(number), UUID(int=1_000 + number)
    prefix = IPv4Network((int(IPv4Address("172.16.0.0")) + (number << 8), 24))
    terms = Terms("plant", (prefix,), (Gateway(a_key(), (Endpoint("203.0.113.1", 51_820),)),), prefix[1], 8443)
    theirs = Statement(bridge_id, 1, 1, State.ACTIVE, terms)
    bridge = Bridge(bridge_id, domain, 1, 1, NETWORK_ID, Side.OURS, State.ACTIVE, now, now)
    await tx.remotes.add(Remote(UUID(int=5_000 + number), domain, 1, Standing.ACTIVE, now, ()))
    await tx.bridges.add(
        replace(bridge, ours=Terms("office", (CIDR,)), offered=(CIDR,), accepted=(prefix,), theirs=theirs)
    )


def a_grant(number: int, bridges: int, now: datetime) -> Grant:
    return Grant(
        id=UUID(int=100_000 + number),
        remote=remote_of(number % bridges),
        remote_generation=1,
        subject="bob",
        grantor="ada",
        kind="service",
        resource_id=str(UUID(int=3)),
        scopes=frozenset({Scope.CONNECT}),
        issued_at=now,
        expires_at=now + timedelta(days=30),
    )


def remote_of(number: int) -> BackendDomain:
    return BackendDomain(f"r{number}.example")


def a_key() -> PublicKey:
    return PublicKey(str(PrivateKey.generate().public()))


async def revoked(store: Store, mesh: MeshMemory, grant: Grant, now: datetime) -> float:
    """Milliseconds from the call to the text of the delta."""
    memory, _ = await mesh.around(JUMP_ID)
    has = memory.network.revision
    started = time.perf_counter()
    async with store.transaction() as tx:
        await tx.remotes.lock(grant.remote)
        await tx.grants.save(replace(grant, revoked_at=now))
        commits = await recompile_remote(tx, grant.remote, now)
    for commit in commits:
        mesh.changed(commit)
    memory, gateway = await mesh.around(JUMP_ID)
    if memory.news(gateway, has).delta is None:
        raise AssertionError("the gateway is not told that the grant was revoked")
    return (time.perf_counter() - started) * 1e3
