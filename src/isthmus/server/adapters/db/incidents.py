"""Incidents and the access control list in the database."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, bindparam, delete, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import IncidentId, PeerId
from isthmus.domain.mesh.incident import EVIDENCE, Incident, State, Type
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts
from isthmus.server.adapters.db.tables import blocked_peers, incidents
from isthmus.server.records import IncidentFilter, Page

ONE = select(incidents).where(incidents.c.id == bindparam("incident_id"))
OPEN_OF_PEER = (
    select(incidents)
    .where(incidents.c.peer_id == bindparam("of_peer"), incidents.c.state == State.OPEN.value)
    .order_by(incidents.c.id)
)
ADD = insert(incidents)
SAVE = update(incidents).where(incidents.c.id == bindparam("incident_id"))
BLOCK = insert(blocked_peers)
UNBLOCK = delete(blocked_peers).where(blocked_peers.c.incident_id == bindparam("of_incident"))
BLOCKING = (
    select(blocked_peers.c.peer_id, blocked_peers.c.incident_id)
    .where(blocked_peers.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
    .order_by(blocked_peers.c.incident_id)
)


class SqlIncidents:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, incident_id: IncidentId) -> Incident:
        row = await self._statements.row(ONE, {"incident_id": incident_id})
        if row is None:
            raise NotFound("incident", str(incident_id))
        return incident_of(row)

    async def page(self, page: Page, where: IncidentFilter) -> list[Incident]:
        statement = filtered(where).order_by(incidents.c.id.desc()).limit(page.limit)
        if page.after is not None:
            statement = statement.where(incidents.c.id < page.after)
        return [incident_of(row) for row in await self._statements.rows(statement)]

    async def open_of_peer(self, peer_id: PeerId) -> list[Incident]:
        return [incident_of(row) for row in await self._statements.rows(OPEN_OF_PEER, {"of_peer": peer_id})]

    async def add(self, incident: Incident) -> None:
        await self._statements.write(ADD, {"id": incident.id, **fields_of(incident)})

    async def save(self, incident: Incident) -> None:
        if not await self._statements.write(SAVE, {"incident_id": incident.id, **fields_of(incident)}):
            raise NotFound("incident", str(incident.id))

    async def block(self, peer_id: PeerId, incident_id: IncidentId) -> None:
        await self._statements.write(BLOCK, {"peer_id": peer_id, "incident_id": incident_id})

    async def unblock(self, incident_id: IncidentId) -> None:
        await self._statements.write(UNBLOCK, {"of_incident": incident_id})

    async def blocking(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, tuple[IncidentId, ...]]:
        found: dict[PeerId, tuple[IncidentId, ...]] = {}
        for part in in_parts(peer_ids):
            for peer_id, incident_id in await self._statements.rows(BLOCKING, {"peer_ids": part}):
                found[peer_id] = (*found.get(peer_id, ()), incident_id)
        return found


def filtered(where: IncidentFilter) -> Select[*tuple[Any, ...]]:
    statement = select(incidents)
    if where.network_id is not None:
        statement = statement.where(incidents.c.network_id == where.network_id)
    if where.within is not None:
        statement = statement.where(incidents.c.network_id.in_(where.within))
    if where.peer_id is not None:
        statement = statement.where(incidents.c.peer_id == where.peer_id)
    if where.state is not None:
        statement = statement.where(incidents.c.state == where.state.value)
    if where.type is not None:
        statement = statement.where(incidents.c.type == where.type.value)
    return statement


def incident_of(row: AnyRow) -> Incident:
    fields = dict(row._mapping)
    kind = Type(row.type)
    fields |= {"type": kind, "state": State(row.state)}
    fields["evidence"] = msgspec.convert(row.evidence, EVIDENCE[kind])
    return Incident(**fields)


def fields_of(incident: Incident) -> dict[str, Any]:
    fields = {column.name: getattr(incident, column.name) for column in incidents.c if column.name != "id"}
    fields |= {"type": incident.type.value, "state": incident.state.value}
    fields["evidence"] = msgspec.to_builtins(incident.evidence)
    return fields
