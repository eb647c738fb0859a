"""Networks in the database."""

from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from isthmus.domain.errors import network_not_found
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.limits import Limits
from isthmus.domain.mesh.network import DirectPaths, Network
from isthmus.server.adapters.db.statements import AnyRow, Statements
from isthmus.server.adapters.db.tables import networks
from isthmus.server.records import Page

# Whoever adds a network or relies on there being no other takes this lock first (PostgreSQL; SQLite has one writer).
LIST_LOCK = 0x15_74_6D_01

COLUMNS = [column for column in networks.c if column.name != "history_begins"]
ALL = select(*COLUMNS).order_by(networks.c.id)
ALL_LOCKED = ALL.with_for_update()
ONE = select(*COLUMNS).where(networks.c.id == bindparam("network_id"))
ONE_LOCKED = ONE.with_for_update()
FIRST = ALL.limit(bindparam("most"))
NEXT = FIRST.where(networks.c.id > bindparam("after"))
NAMED = networks.c.name == bindparam("named")
ADD = insert(networks)
SAVE = update(networks).where(networks.c.id == bindparam("network_id"))
DELETE = delete(networks).where(networks.c.id == bindparam("network_id"))
EXCLUDE_OTHERS = select(func.pg_advisory_xact_lock(LIST_LOCK))


class SqlNetworks:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, network_id: NetworkId) -> Network:
        return found(await self._statements.row(ONE, {"network_id": network_id}), network_id)

    async def lock(self, network_id: NetworkId) -> Network:
        return found(await self._statements.row(ONE_LOCKED, {"network_id": network_id}), network_id)

    async def lock_all(self) -> list[Network]:
        await self._exclude_others()
        return [network_of(row) for row in await self._statements.rows(ALL_LOCKED)]

    async def page(
        self, page: Page, name: str | None = None, within: frozenset[NetworkId] | None = None
    ) -> list[Network]:
        statement = FIRST if page.after is None else NEXT
        if name is not None:
            statement = statement.where(NAMED)
        if within is not None:
            statement = statement.where(networks.c.id.in_(within))
        values = {"most": page.limit, "after": page.after, "named": name}
        given = {key: value for key, value in values.items() if value is not None}
        return [network_of(row) for row in await self._statements.rows(statement, given)]

    async def all(self) -> list[Network]:
        return [network_of(row) for row in await self._statements.rows(ALL)]

    async def add(self, network: Network) -> None:
        await self._exclude_others()
        await self._statements.write(ADD, {"id": network.id, **fields_of(network)})

    async def save(self, network: Network) -> None:
        if not await self._statements.write(SAVE, {"network_id": network.id, **fields_of(network)}):
            raise network_not_found(network.id)

    async def delete(self, network_id: NetworkId) -> None:
        if not await self._statements.write(DELETE, {"network_id": network_id}):
            raise network_not_found(network_id)

    async def _exclude_others(self) -> None:
        if self._statements.dialect == "postgresql":
            await self._statements.rows(EXCLUDE_OTHERS)


def found(row: AnyRow | None, network_id: NetworkId) -> Network:
    if row is None:
        raise network_not_found(network_id)
    return network_of(row)


def network_of(row: AnyRow) -> Network:
    fields = dict(row._mapping)
    fields["direct_paths"] = DirectPaths(row.direct_paths)
    fields["dns_upstreams"] = tuple(ip_address(text) for text in row.dns_upstreams)
    fields["limits"] = Limits.of(row.limits)
    return Network(**fields)


def fields_of(network: Network) -> dict[str, Any]:
    fields = {name: getattr(network, name) for name in FIELDS}
    fields["direct_paths"] = network.direct_paths.value
    fields["dns_upstreams"] = [str(address) for address in network.dns_upstreams]
    fields["limits"] = asdict(network.limits)
    return fields


# Columns are named after the record's fields.
FIELDS = [column.name for column in COLUMNS if column.name != "id"]
