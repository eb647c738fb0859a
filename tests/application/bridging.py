"""Bridges, grants and services as rows of a backend's store, put there without the calls that make them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Network
from random import Random
from typing import Any
from uuid import UUID

from isthmus.domain.addresses import Endpoint
from isthmus.domain.federation.bridge import Bridge, Gateway, State, Statement, Terms
from isthmus.domain.federation.grant import Grant, HeldGrant, Offered, Scope
from isthmus.domain.federation.names import BackendDomain
from isthmus.domain.federation.service import Service
from isthmus.domain.mesh.network import Network
from isthmus.domain.mesh.peer import Peer
from isthmus.server.application.crossings import recompile_remote
from isthmus.server.ports import Transaction
from tests.application.backend import Backend
from tests.builders import a_key
from tests.trusting import a_bridge, an_active_remote

MOST_GRANTS = 4
REMOTES = [BackendDomain(f"{name}.example") for name in "bcd"]


def their_prefix(number: int) -> IPv4Network:
    return IPv4Network(f"10.{100 + number}.0.0/16")


def an_active_bridge(network: Network, number: int = 0, **fields: Any) -> Bridge:
    """The bridge of `network` with the remote of that number, active on both sides."""
    prefix = their_prefix(number)
    gateways = (Gateway(a_key(900 + number), (Endpoint(f"203.0.113.{number + 1}", 51_820),)),)
    terms = Terms("plant", (prefix,), gateways, prefix[1], 8443)
    bridge_id = UUID(int=7_000 + number)
    ours = Terms(network.name, network.cidrs, vip=network.cidr_v6[1], port=8443)
    given = {"remote": REMOTES[number], "network_id": network.id, "ours": ours}
    given |= {"accepted": (prefix,), "theirs": Statement(bridge_id, 1, 1, State.ACTIVE, terms), "state": State.ACTIVE}
    return a_bridge(7_000 + number, **given | fields)


@dataclass
class Bridging:
    """A network with services, and what random steps do with its bridges."""

    backend: Backend
    network: Network
    random: Random = field(default_factory=lambda: Random(1))
    grants: list[UUID] = field(default_factory=list)

    async def change(self, number: int, *rows: Bridge | Grant | HeldGrant | Service) -> int:
        """Put rows that concern the remote of that number, and tell what follows; how many revisions that made."""
        now, domain = self.backend.clock.now(), REMOTES[number]
        async with self.backend.store.transaction() as tx:
            if domain not in [remote.domain for remote in await tx.remotes.all()]:
                await tx.remotes.add(an_active_remote(domain))
            for row in rows:
                await put(tx, row)
            commits = await recompile_remote(tx, domain, now)
        self.backend.crossings.tell(commits)
        return len(commits)

    async def service(self, name: str = "wiki", **fields: Any) -> Service:
        """A service on the last address of the network."""
        service_id = self.backend.ids.new()
        cidr = self.network.cidrs[0]
        service = Service(service_id, name, self.network.id, "tcp", cidr[-2], ((443, 443),), self.backend.clock.now())
        service = replace(service, **fields)
        async with self.backend.store.transaction() as tx:
            await tx.services.add(service)
        return service

    def a_grant(self, number: int, service: Service | None, **fields: Any) -> Grant:
        """For an hour, of one service or of all."""
        now = self.backend.clock.now()
        grant = Grant(
            id=self.backend.ids.new(),
            remote=REMOTES[number],
            remote_generation=1,
            subject=f"bob@{REMOTES[number]}",
            grantor="user:ada",
            kind="service",
            resource_id=None if service is None else str(service.id),
            scopes=frozenset({Scope.CONNECT}),
            issued_at=now,
            expires_at=now + timedelta(hours=1),
        )
        return replace(grant, **fields)

    def a_held_grant(self, number: int, **fields: Any) -> HeldGrant:
        now, prefix = self.backend.clock.now(), their_prefix(number)
        grant = HeldGrant(
            id=self.backend.ids.new(),
            remote=REMOTES[number],
            remote_generation=1,
            subject="ada@a.example",
            kind="service",
            resource_id="wiki",
            scopes=frozenset({Scope.CONNECT}),
            issued_at=now,
            expires_at=now + timedelta(hours=1),
            services=(Offered("wiki", "plant", "tcp", prefix[7], ((443, 443),)),),
        )
        return replace(grant, **fields)

    async def join(self, everyone: Iterable[Peer]) -> None:
        number = self.random.randrange(len(REMOTES))
        async with self.backend.store.reading() as tx:
            present = await tx.bridges.of_remote(REMOTES[number])
        if not present:
            await self.change(number, an_active_bridge(await self.backend.network_now(self.network.id), number))

    async def move(self, everyone: Iterable[Peer]) -> None:
        """One side suspends or resumes, or its operator accepts something else."""
        number = self.random.randrange(len(REMOTES))
        async with self.backend.store.reading() as tx:
            present = await tx.bridges.of_remote(REMOTES[number])
        if present:
            state = self.random.choice([State.ACTIVE, State.ACTIVE, State.SUSPENDED])
            prefix = their_prefix(number)
            accepted = self.random.choice([(prefix,), tuple(prefix.subnets(1))[:1], ()])
            await self.change(number, replace(present[0], state=state, accepted=accepted))

    async def grant(self, everyone: Iterable[Peer]) -> None:
        number = self.random.randrange(len(REMOTES))
        async with self.backend.store.reading() as tx:
            services = await tx.services.of_network(self.network.id)
        service = self.random.choice([*services, None]) if services else await self.service()
        if len(self.grants) >= MOST_GRANTS or self.random.random() < 0.5:
            grant_id = UUID(int=8_000 + number)
            await self.change(number, self.a_held_grant(number, id=grant_id, revision=self.random.randrange(1, 9)))
            return
        grant = self.a_grant(number, service)
        self.grants.append(grant.id)
        await self.change(number, grant)

    async def revoke(self, everyone: Iterable[Peer]) -> None:
        if self.grants:
            async with self.backend.store.reading() as tx:
                grant = await tx.grants.get(self.grants.pop(self.random.randrange(len(self.grants))))
            number = REMOTES.index(grant.remote)
            await self.change(number, replace(grant, revoked_at=self.backend.clock.now()))


async def put(tx: Transaction, row: Bridge | Grant | HeldGrant | Service) -> None:
    if isinstance(row, HeldGrant):
        await tx.held_grants.put(row)
    elif isinstance(row, Service):
        await tx.services.add(row)
    elif isinstance(row, Bridge):
        known = row.id in [each.id for each in await tx.bridges.of_remote(row.remote)]
        await (tx.bridges.save if known else tx.bridges.add)(row)
    else:
        known = row.id in [each.id for each in await tx.grants.of_remote(row.remote)]
        await (tx.grants.save if known else tx.grants.add)(row)
