"""Crossings in the database."""

from uuid import UUID

from sqlalchemy import bindparam, delete, select

from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.crossing import Crossing, Outline
from isthmus.server.adapters.db.crossing_tables import crossings
from isthmus.server.adapters.db.statements import Statements, upsert_into
from isthmus.server.crossing_records import crossing_of, crossing_state, outline_in

OF_NETWORK = (
    select(crossings.c.state).where(crossings.c.network_id == bindparam("of_network")).order_by(crossings.c.bridge_id)
)
ONE = select(crossings.c.state).where(crossings.c.bridge_id == bindparam("of_bridge"))
DELETE = delete(crossings).where(crossings.c.bridge_id == bindparam("gone"))


class SqlCrossings:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def of_network(self, network_id: NetworkId) -> list[Crossing]:
        rows = await self._statements.rows(OF_NETWORK, {"of_network": network_id})
        return [crossing_of(row.state) for row in rows]

    async def outlines(self, network_id: NetworkId) -> list[Outline]:
        rows = await self._statements.rows(OF_NETWORK, {"of_network": network_id})
        return [outline_in(row.state) for row in rows]

    async def get(self, bridge_id: UUID) -> Crossing | None:
        row = await self._statements.row(ONE, {"of_bridge": bridge_id})
        return None if row is None else crossing_of(row.state)

    async def put(self, network_id: NetworkId, crossing: Crossing) -> None:
        values = {"bridge_id": crossing.id, "network_id": network_id, "state": crossing_state(crossing)}
        await self._statements.write(upsert_into(crossings, self._statements.dialect), values)

    async def delete(self, bridge_id: UUID) -> None:
        await self._statements.write(DELETE, {"gone": bridge_id})
