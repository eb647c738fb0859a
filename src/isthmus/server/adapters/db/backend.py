"""The backend's own facts and the sealed keys that operators asked to keep, in the database."""

from ipaddress import IPv6Network

from sqlalchemy import bindparam, delete, select, update

from isthmus.domain.ids import PeerId
from isthmus.server.adapters.db.statements import Statements, upsert_into, values_of
from isthmus.server.adapters.db.tables import backend, kept_keys
from isthmus.server.ports import Conflict
from isthmus.server.records import KeptKey

ULA = select(backend.c.ula)
SET_ULA = update(backend).where(backend.c.ula.is_(None)).values(ula=bindparam("drawn"))
TOUCH = update(backend).values(audited=backend.c.audited)
KEPT_KEY = select(kept_keys).where(kept_keys.c.peer_id == bindparam("peer_id"))
DELETE_KEPT_KEY = delete(kept_keys).where(kept_keys.c.peer_id == bindparam("peer_id"))


class SqlBackendFacts:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def ula(self) -> IPv6Network | None:
        row = await self._statements.row(ULA)
        return None if row is None else row.ula

    async def set_ula(self, ula: IPv6Network) -> None:
        """A backend draws it once: raises `Conflict` when it has one, perhaps from another server's first start."""
        if not await self._statements.write(SET_ULA, {"drawn": ula}):
            raise Conflict("backend_ula_once")

    async def touch(self) -> None:
        """A write that changes nothing."""
        await self._statements.write(TOUCH)


class SqlKeptKeys:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def put(self, key: KeptKey) -> None:
        await self._statements.write(upsert_into(kept_keys, self._statements.dialect), values_of(key))

    async def get(self, peer_id: PeerId) -> KeptKey | None:
        row = await self._statements.row(KEPT_KEY, {"peer_id": peer_id})
        return None if row is None else KeptKey(**row._mapping)

    async def delete(self, peer_id: PeerId) -> None:
        await self._statements.write(DELETE_KEPT_KEY, {"peer_id": peer_id})
