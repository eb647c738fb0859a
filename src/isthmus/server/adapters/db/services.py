"""Services in the database."""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.service import Service
from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.db.grant_tables import services
from isthmus.server.adapters.db.grants import paged, ranges_of
from isthmus.server.adapters.db.statements import AnyRow, Statements, values_of
from isthmus.server.records import Page

IS_IT = services.c.id == bindparam("service_id")
ONE = select(services).where(IS_IT)
ONE_LOCKED = ONE.with_for_update()
NAMED = select(services).where(services.c.name == bindparam("named"))
ALL = select(services).order_by(services.c.id)
OF_NETWORK = ALL.where(services.c.network_id == bindparam("of_network"))
ADD = insert(services)
SAVE = update(services).where(IS_IT)
DELETE = delete(services).where(IS_IT)


class SqlServices:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, service_id: UUID) -> Service:
        return found(await self._statements.row(ONE, {"service_id": service_id}), service_id)

    async def lock(self, service_id: UUID) -> Service:
        return found(await self._statements.row(ONE_LOCKED, {"service_id": service_id}), service_id)

    async def named(self, name: str) -> Service | None:
        row = await self._statements.row(NAMED, {"named": name})
        return None if row is None else service_of(row)

    async def page(self, page: Page, network_id: NetworkId | None = None) -> list[Service]:
        statement, values = paged(ALL if network_id is None else OF_NETWORK, services.c.id, page)
        of_network: dict[str, Any] = {} if network_id is None else {"of_network": network_id}
        return [service_of(row) for row in await self._statements.rows(statement, values | of_network)]

    async def of_network(self, network_id: NetworkId) -> list[Service]:
        return [service_of(row) for row in await self._statements.rows(OF_NETWORK, {"of_network": network_id})]

    async def add(self, service: Service) -> None:
        await self._statements.write(ADD, values_of(service))

    async def save(self, service: Service) -> None:
        if not await self._statements.write(SAVE, {"service_id": service.id, **values_of(service)}):
            raise not_found(service.id)

    async def delete(self, service_id: UUID) -> None:
        if not await self._statements.write(DELETE, {"service_id": service_id}):
            raise not_found(service_id)


def not_found(service_id: UUID) -> NotFound:
    return NotFound("service", str(service_id))


def found(row: AnyRow | None, service_id: UUID) -> Service:
    if row is None:
        raise not_found(service_id)
    return service_of(row)


def service_of(row: AnyRow) -> Service:
    return Service(**{**row._mapping, "ports": ranges_of(row.ports)})
