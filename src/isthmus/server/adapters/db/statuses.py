"""What peers reported last, in the database."""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter

from sqlalchemy import Insert, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from isthmus.domain.ids import PeerId
from isthmus.server.adapters.db.statements import Statements, in_parts
from isthmus.server.adapters.db.tables import peer_statuses, peers
from isthmus.server.records import PeerStatus

FIELDS = [column.name for column in peer_statuses.c]
OF_PEERS = select(peer_statuses).where(peer_statuses.c.peer_id.in_(bindparam("peer_ids", expanding=True)))


class SqlStatuses:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def save(self, statuses: Sequence[PeerStatus]) -> None:
        # In one order always, so that two servers which save at once wait for each other instead of deadlocking.
        ordered = sorted(statuses, key=attrgetter("peer_id"))
        values = [{name: getattr(status, name) for name in FIELDS} for status in ordered]
        if values:
            await self._statements.write(save_in(self._statements.dialect), values)

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, PeerStatus]:
        statuses = {}
        for part in in_parts(peer_ids):
            for row in await self._statements.rows(OF_PEERS, {"peer_ids": part}):
                statuses[PeerId(row.peer_id)] = PeerStatus(**row._mapping)
        return statuses


@cache
def save_in(dialect: str) -> Insert:
    """Insert or overwrite a status where its peer exists; the peer cannot go before the commit."""
    values = [bindparam(column.name, type_=column.type).label(column.name) for column in peer_statuses.c]
    row = (
        select(*values)
        .where(peers.c.id == bindparam("peer_id", type_=peers.c.id.type))
        .select_from(peers)
        .with_for_update(read=True, key_share=True)
    )
    insert = postgresql.insert(peer_statuses) if dialect == "postgresql" else sqlite.insert(peer_statuses)
    filled = insert.from_select(FIELDS, row)
    changes = {name: filled.excluded[name] for name in FIELDS if name != "peer_id"}
    return filled.on_conflict_do_update(index_elements=["peer_id"], set_=changes)
