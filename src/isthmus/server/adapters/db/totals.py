"""How many there are of each kind, counted in the database."""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import bindparam, func, literal_column, select

from isthmus.domain.addresses import Family
from isthmus.domain.ids import NetworkId
from isthmus.domain.mesh.incident import State, Type
from isthmus.domain.mesh.peer import Kind
from isthmus.server.adapters.db.federation_tables import outbox, remote_findings, remotes
from isthmus.server.adapters.db.grant_tables import grants, held_grants
from isthmus.server.adapters.db.statements import Statements
from isthmus.server.adapters.db.tables import holdings, incidents, peers
from isthmus.server.records import Held

HAS_KEY = peers.c.public_key.is_not(None).label("has_key")
PEERS = select(peers.c.kind, HAS_KEY, func.count()).group_by(peers.c.kind, HAS_KEY)
HELD = select(holdings.c.network_id, holdings.c.family, holdings.c.held, func.count()).group_by(
    holdings.c.network_id, holdings.c.family, holdings.c.held
)
INCIDENTS = (
    select(incidents.c.type, func.count()).where(incidents.c.state == State.OPEN.value).group_by(incidents.c.type)
)
FINDINGS = (
    select(remote_findings.c.kind, func.count())
    .where(remote_findings.c.cleared_at.is_(None))
    .group_by(remote_findings.c.kind)
)
GRANTS = (
    select(func.count())
    .select_from(grants)
    .where(grants.c.revoked_at.is_(None), grants.c.expires_at > bindparam("now"))
)
HELD_GRANTS = (
    select(func.count())
    .select_from(held_grants)
    .where(held_grants.c.ended_at.is_(None), held_grants.c.expires_at > bindparam("now"))
)
# Spelt out: PostgreSQL does not see that two parameters of the same value make the same expression.
IS_PARKED = (outbox.c.parked != literal_column("''")).label("is_parked")
OUTBOX = (
    select(remotes.c.domain, IS_PARKED, func.count())
    .join(remotes, remotes.c.id == outbox.c.remote_id)
    .group_by(remotes.c.domain, IS_PARKED)
)

LISTED = select(remotes.c.domain).where(remotes.c.removed_at.is_(None)).distinct()


class SqlTotals:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def peers(self) -> dict[tuple[Kind, bool], int]:
        rows = await self._statements.rows(PEERS)
        return {(Kind(kind), bool(has_key)): count for kind, has_key, count in rows}

    async def held(self) -> dict[NetworkId, dict[tuple[Family, Held], int]]:
        found: dict[NetworkId, dict[tuple[Family, Held], int]] = defaultdict(dict)
        for network_id, family, held, count in await self._statements.rows(HELD):
            found[network_id][family, Held(held)] = count
        return found

    async def open_incidents(self) -> dict[Type, int]:
        return {Type(kind): count for kind, count in await self._statements.rows(INCIDENTS)}

    async def open_findings(self) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._statements.rows(FINDINGS)}

    async def live_grants(self, now: datetime) -> int:
        row = await self._statements.row(GRANTS, {"now": now})
        return 0 if row is None else int(row[0])

    async def held_grants(self, now: datetime) -> int:
        row = await self._statements.row(HELD_GRANTS, {"now": now})
        return 0 if row is None else int(row[0])

    async def outbox(self) -> dict[tuple[str, bool], int]:
        listed = [domain for (domain,) in await self._statements.rows(LISTED)]
        rows = await self._statements.rows(OUTBOX)
        counted = {(domain, bool(is_parked)): count for domain, is_parked, count in rows}
        return {(domain, is_parked): 0 for domain in listed for is_parked in (False, True)} | counted
