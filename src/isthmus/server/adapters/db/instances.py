"""The instances of this backend in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from isthmus.domain.addresses import IPAddress
from isthmus.domain.errors import NotFound
from isthmus.domain.federation.instance import Instance, Maker
from isthmus.domain.federation.names import InfraDomain, InstanceId
from isthmus.domain.ids import NetworkId, PeerId
from isthmus.server.adapters.db.instance_tables import instance_leaves, own_instances
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts, values_of
from isthmus.server.adapters.db.tables import blocked_peers, holdings, networks, peers
from isthmus.server.certificate_records import OwnLeaf, Purpose
from isthmus.server.instance_ports import Host
from isthmus.server.records import Page

IS_LIVE = own_instances.c.revoked_at.is_(None)
ONE = select(own_instances).where(own_instances.c.id == bindparam("instance_id"))
ONE_LOCKED = ONE.with_for_update()
NAMED = select(own_instances).where(own_instances.c.name == bindparam("of_name"), IS_LIVE)
LAST_OF_AGENT = (
    select(own_instances)
    .where(own_instances.c.peer_id == bindparam("of_peer"), own_instances.c.maker == Maker.AGENT.value)
    .order_by(own_instances.c.id.desc())
    .limit(1)
)
COUNT = select(func.count()).select_from(own_instances).where(IS_LIVE)
STRANDED = (
    select(own_instances)
    .where(IS_LIVE, own_instances.c.peer_id.is_not(None), own_instances.c.peer_id.not_in(select(peers.c.id)))
    .order_by(own_instances.c.id)
)
ADD = insert(own_instances)
SAVE = update(own_instances).where(own_instances.c.id == bindparam("instance_id"))
ADD_LEAF = insert(instance_leaves)
LEAVES = (
    select(instance_leaves)
    .where(instance_leaves.c.instance_id.in_(bindparam("instance_ids", expanding=True)))
    .order_by(instance_leaves.c.issued_at, instance_leaves.c.serial)
)
DROP_LEAVES = delete(instance_leaves).where(instance_leaves.c.instance_id == bindparam("of_instance"))
DROP_OLD_LEAVES = DROP_LEAVES.where(instance_leaves.c.ends_at < bindparam("before"))
HOSTS = (
    select(own_instances.c.id, peers.c.id, peers.c.name, networks.c.id, networks.c.name)
    .join(peers, peers.c.id == own_instances.c.peer_id)
    .join(networks, networks.c.id == peers.c.network_id)
    .where(own_instances.c.id.in_(bindparam("instance_ids", expanding=True)))
)
ADDRESSES = (
    select(own_instances.c.id, holdings.c.address)
    .join(peers, peers.c.id == own_instances.c.peer_id)
    .join(holdings, holdings.c.peer_id == peers.c.id)
    .where(
        IS_LIVE,
        peers.c.network_id == bindparam("of_network"),
        peers.c.id.not_in(select(blocked_peers.c.peer_id)),
    )
    .order_by(own_instances.c.id, holdings.c.family, holdings.c.address)
)


class SqlInstances:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, instance_id: InstanceId) -> Instance:
        return found(await self._statements.row(ONE, {"instance_id": instance_id}), instance_id)

    async def lock(self, instance_id: InstanceId) -> Instance:
        return found(await self._statements.row(ONE_LOCKED, {"instance_id": instance_id}), instance_id)

    async def live_named(self, name: str) -> Instance | None:
        row = await self._statements.row(NAMED, {"of_name": name})
        return None if row is None else instance_of(row)

    async def of_agent(self, peer_id: PeerId) -> Instance | None:
        row = await self._statements.row(LAST_OF_AGENT, {"of_peer": peer_id})
        return None if row is None else instance_of(row)

    async def page(self, page: Page, *, revoked: bool = False) -> list[Instance]:
        statement = select(own_instances).order_by(own_instances.c.id).limit(page.limit)
        if not revoked:
            statement = statement.where(IS_LIVE)
        if page.after is not None:
            statement = statement.where(own_instances.c.id > page.after)
        return [instance_of(row) for row in await self._statements.rows(statement)]

    async def count(self) -> int:
        row = await self._statements.row(COUNT)
        return 0 if row is None else int(row[0])

    async def add(self, instance: Instance) -> None:
        await self._statements.write(ADD, fields_of(instance))

    async def save(self, instance: Instance) -> None:
        if not await self._statements.write(SAVE, {"instance_id": instance.id, **fields_of(instance)}):
            raise NotFound("instance", str(instance.id))

    async def add_leaf(self, instance_id: InstanceId, leaf: OwnLeaf) -> None:
        fields = {column.name: getattr(leaf, column.name) for column in instance_leaves.c if hasattr(leaf, column.name)}
        fields |= {"serial": f"{leaf.serial:x}", "infra_domains": list(leaf.infra_domains)}
        await self._statements.write(ADD_LEAF, {"instance_id": instance_id, **fields})

    async def leaves(self, instance_ids: Sequence[InstanceId]) -> dict[InstanceId, list[OwnLeaf]]:
        known: dict[InstanceId, list[OwnLeaf]] = {}
        for part in in_parts(instance_ids):
            for row in await self._statements.rows(LEAVES, {"instance_ids": part}):
                known.setdefault(InstanceId(row.instance_id), []).append(leaf_of(row))
        return known

    async def drop_leaves(self, instance_id: InstanceId, before: datetime | None = None) -> None:
        if before is None:
            await self._statements.write(DROP_LEAVES, {"of_instance": instance_id})
        else:
            await self._statements.write(DROP_OLD_LEAVES, {"of_instance": instance_id, "before": before})

    async def hosts(self, instance_ids: Sequence[InstanceId]) -> dict[InstanceId, Host]:
        known: dict[InstanceId, Host] = {}
        for part in in_parts(instance_ids):
            for id_, *host in await self._statements.rows(HOSTS, {"instance_ids": part}):
                known[InstanceId(id_)] = Host(*host)
        return known

    async def stranded(self) -> list[Instance]:
        return [instance_of(row) for row in await self._statements.rows(STRANDED)]

    async def addresses(self, network_id: NetworkId) -> dict[InstanceId, tuple[IPAddress, ...]]:
        known: dict[InstanceId, tuple[IPAddress, ...]] = {}
        for instance, address in await self._statements.rows(ADDRESSES, {"of_network": network_id}):
            known[instance] = (*known.get(instance, ()), address)
        return known


def found(row: AnyRow | None, instance_id: InstanceId) -> Instance:
    if row is None:
        raise NotFound("instance", str(instance_id))
    return instance_of(row)


def instance_of(row: AnyRow) -> Instance:
    return Instance(**{**row._mapping, "maker": Maker(row.maker)})


def fields_of(instance: Instance) -> dict[str, Any]:
    return values_of(instance) | {"maker": instance.maker.value}


def leaf_of(row: AnyRow) -> OwnLeaf:
    fields = {name: value for name, value in row._mapping.items() if name != "instance_id"}
    names = tuple(InfraDomain(name) for name in row.infra_domains)
    return OwnLeaf(**{**fields, "serial": int(row.serial, 16), "purpose": Purpose.INSTANCE, "infra_domains": names})
