"""Services: addresses and ports of our networks that grants can open to remotes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import InvalidValue, TransitionNotAllowed
from isthmus.domain.federation import granting, serving
from isthmus.domain.federation.grant import Grant
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.network import Network
from isthmus.server.application.caller import Caller
from isthmus.server.application.crossing_watch import CrossingWatch
from isthmus.server.application.crossings import recompile
from isthmus.server.application.grant_letters import SERVICE, tell
from isthmus.server.application.networks import check_version
from isthmus.server.ports import Clock, Ids, ServiceNameTaken, Store, Transaction
from isthmus.server.records import Commit, Page


@dataclass(frozen=True, slots=True)
class Draft:
    name: str
    network_id: NetworkId
    protocol: Literal["tcp", "udp"]
    address: str
    ports: Sequence[str]
    note: str = ""


class ServiceCatalogue:
    """Whoever changes a service has locked the remotes that are granted it, then its network."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, crossings: CrossingWatch) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._crossings = crossings

    async def create(self, caller: Caller, draft: Draft) -> Service:
        now, service_id = self._clock.now(), self._ids.new()
        try:
            async with self._store.transaction() as tx:
                granted = await granted_of(tx, str(service_id), now)
                network = await tx.networks.lock(draft.network_id)
                service = Service(
                    service_id,
                    serving.parse_name(draft.name),
                    network.id,
                    draft.protocol,
                    await located(tx, network, draft.address),
                    serving.parse_ports(draft.ports),
                    now,
                    granting.parse_note(draft.note),
                )
                await tx.services.add(service)
                commits = await self._follow(tx, granted, [network.id], now)
                await tx.journal.audit([caller.did("service.create", service.id, now, **facts_of(service))])
        except ServiceNameTaken:
            raise taken() from None
        self._crossings.tell(commits)
        return service

    async def get(self, service_id: UUID) -> Service:
        async with self._store.reading() as tx:
            return await tx.services.get(service_id)

    async def page(self, page: Page, network_id: NetworkId | None = None) -> list[Service]:
        async with self._store.reading() as tx:
            return await tx.services.page(page, network_id)

    async def update(
        self, caller: Caller, service_id: UUID, changes: Mapping[str, Any], version: int | None
    ) -> Service:
        """`changes` may name `name`, `protocol`, `address`, `ports` and `note`."""
        now = self._clock.now()
        try:
            async with self._store.transaction() as tx:
                granted = await granted_of(tx, str(service_id), now)
                before = await tx.services.lock(service_id)
                check_version(before.version, version)
                network = await tx.networks.lock(before.network_id)
                after = await changed(tx, network, before, changes)
                commits: list[Commit] = []
                if after != before:
                    after = replace(after, version=before.version + 1)
                    await tx.services.save(after)
                    commits = await self._follow(tx, granted, [network.id], now)
                facts = {"fields": sorted(changes), **facts_of(after)}
                await tx.journal.audit([caller.did("service.update", service_id, now, **facts)])
        except ServiceNameTaken:
            raise taken() from None
        self._crossings.tell(commits)
        return after

    async def delete(self, caller: Caller, service_id: UUID, version: int | None) -> None:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            granted = await granted_of(tx, str(service_id), now)
            service = await tx.services.lock(service_id)
            check_version(service.version, version)
            check_unused([service], granted)
            await tx.services.delete(service_id)
            commits = await self._follow(tx, granted, [service.network_id], now)
            await tx.journal.audit([caller.did("service.delete", service_id, now, **facts_of(service))])
        self._crossings.tell(commits)

    async def _follow(
        self, tx: Transaction, granted: Sequence[Grant], networks: Sequence[NetworkId], now: datetime
    ) -> list[Commit]:
        """Tell the remotes that are granted it what their grants open now, and compile it."""
        for grant in granted:
            after = replace(grant, version=grant.version + 1)
            await tx.grants.save(after)
            await tell(tx, await tx.remotes.get(grant.remote), after, now)
        return await recompile(tx, networks, now)


async def granted_of(tx: Transaction, service_id: str, now: datetime) -> list[Grant]:
    """The live grants that open a service, or all of them, with their remotes locked."""
    found = [each for each in await tx.grants.live(now) if opens(each, service_id)]
    for domain in sorted({each.remote for each in found}):
        await tx.remotes.lock(domain)
    return [each for each in await tx.grants.live(now) if opens(each, service_id)] if found else []


def opens(grant: Grant, service_id: str) -> bool:
    return grant.kind == SERVICE and grant.resource_id in (None, service_id)


def check_unused(services: Sequence[Service], grants: Sequence[Grant]) -> None:
    """Refuse to let a service go that a live grant names. Raises `TransitionNotAllowed`."""
    for service in services:
        named = [each for each in grants if each.kind == SERVICE and each.resource_id == str(service.id)]
        if named:
            hint = f"revoke them first: isthmus grant revoke {named[0].id}"
            raise TransitionNotAllowed(f"service {service.name}", f"is named by {len(named)} live grants", hint)


async def changed(tx: Transaction, network: Network, before: Service, changes: Mapping[str, Any]) -> Service:
    parsed = dict(changes)
    if "name" in changes:
        parsed["name"] = serving.parse_name(changes["name"])
    if "address" in changes:
        parsed["address"] = await located(tx, network, changes["address"])
    if "ports" in changes:
        parsed["ports"] = serving.parse_ports(changes["ports"])
    if "note" in changes:
        parsed["note"] = granting.parse_note(changes["note"])
    return replace(before, **parsed)


async def located(tx: Transaction, network: Network, address: str) -> IPAddress:
    offers = [offer for peer in await tx.peers.in_every_config(network.id) for offer in peer.offers]
    return serving.parse_service_address(address, [*network.cidrs, *offers])


def facts_of(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "network": str(service.network_id),
        "protocol": service.protocol,
        "address": str(service.address),
        "ports": serving.ports_as_texts(service.ports),
        "version": service.version,
    }


def taken() -> InvalidValue:
    return InvalidValue("/name", "is the name of another service", "isthmus service list shows them")
