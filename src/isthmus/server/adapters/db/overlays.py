"""Where the ingress listens inside our networks, in the database."""

from sqlalchemy import bindparam, delete, insert, select

from isthmus.domain.ids import NetworkId
from isthmus.server.adapters.db.federation_tables import overlay_ingresses
from isthmus.server.adapters.db.statements import Statements, values_of
from isthmus.server.federation_records import OverlayIngress

OF_NETWORK = overlay_ingresses.c.network_id == bindparam("of_network")
ONE = select(overlay_ingresses).where(OF_NETWORK)
ALL = select(overlay_ingresses).order_by(overlay_ingresses.c.network_id)
ADD = insert(overlay_ingresses)
DROP = delete(overlay_ingresses).where(OF_NETWORK)


class SqlOverlayIngresses:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, network_id: NetworkId) -> OverlayIngress | None:
        row = await self._statements.row(ONE, {"of_network": network_id})
        return None if row is None else OverlayIngress(**row._mapping)

    async def all(self) -> list[OverlayIngress]:
        return [OverlayIngress(**row._mapping) for row in await self._statements.rows(ALL)]

    async def put(self, ingress: OverlayIngress) -> None:
        await self.drop(ingress.network_id)
        await self._statements.write(ADD, values_of(ingress))

    async def drop(self, network_id: NetworkId) -> bool:
        return bool(await self._statements.write(DROP, {"of_network": network_id}))
