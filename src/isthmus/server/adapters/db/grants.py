"""Grants, their tokens, and the grants that remotes have given to ours, in the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.grant import Disclose, Grant, GrantToken, HeldGrant, Offered, Scope
from isthmus.domain.federation.names import BackendDomain
from isthmus.server.adapters.db.grant_tables import grant_tokens, grants, held_grants
from isthmus.server.adapters.db.often import Often
from isthmus.server.adapters.db.statements import AnyRow, Statements, upsert_into, values_of
from isthmus.server.records import Page

IS_IT = grants.c.id == bindparam("grant_id")
ONE = select(grants).where(IS_IT)
ONE_LOCKED = ONE.with_for_update()
IN_ORDER = select(grants).order_by(grants.c.id)
OF_REMOTE = IN_ORDER.where(grants.c.remote == bindparam("of_remote"))
LIVE = IN_ORDER.where(grants.c.revoked_at.is_(None), grants.c.expires_at > bindparam("now"))
LIVE_OF_REMOTE = LIVE.where(grants.c.remote == bindparam("of_remote"))
ADD = insert(grants)
SAVE = update(grants).where(IS_IT)
USED = update(grants).where(IS_IT).values(last_used_at=bindparam("at"))

TOKEN_FIELDS = {
    "public_id": grant_tokens.c.public_id,
    "digest": grant_tokens.c.digest,
    "token_created_at": grant_tokens.c.created_at,
    "token_expires_at": grant_tokens.c.expires_at,
}
WITH_TOKEN = (
    select(*(column.label(name) for name, column in TOKEN_FIELDS.items()), *grants.c)
    .join(grants, grants.c.id == grant_tokens.c.grant_id)
    .where(grant_tokens.c.public_id == bindparam("of_public_id"))
)
OF_GRANT = grant_tokens.c.grant_id == bindparam("of_grant")
TOKENS = select(grant_tokens).where(OF_GRANT).order_by(grant_tokens.c.created_at, grant_tokens.c.public_id)
ADD_TOKEN = insert(grant_tokens)
DROP_TOKENS = delete(grant_tokens).where(OF_GRANT)

HELD = select(held_grants).order_by(held_grants.c.id, held_grants.c.remote)
HELD_OF = HELD.where(held_grants.c.remote == bindparam("of_remote"))
HELD_ONE = HELD_OF.where(held_grants.c.id == bindparam("grant_id"))
HELD_LIVE = HELD.where(held_grants.c.ended_at.is_(None), held_grants.c.expires_at > bindparam("now"))
HELD_LIVE_OF_REMOTE = HELD_LIVE.where(held_grants.c.remote == bindparam("of_remote"))


class SqlGrants:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, grant_id: UUID) -> Grant:
        return found(await self._statements.row(ONE, {"grant_id": grant_id}), grant_id)

    async def lock(self, grant_id: UUID) -> Grant:
        return found(await self._statements.row(ONE_LOCKED, {"grant_id": grant_id}), grant_id)

    async def with_token(self, public_id: str) -> tuple[Grant, GrantToken] | None:
        rows = await self._statements.records(OFTEN_WITH_TOKEN, {"of_public_id": public_id})
        return rows[0] if rows else None

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[Grant]:
        statement, values = paged(IN_ORDER if domain is None else OF_REMOTE, grants.c.id, page)
        rows = await self._statements.rows(statement, values | of_remote(domain))
        return [grant_of(row._mapping) for row in rows]

    async def live(self, now: datetime, domain: BackendDomain | None = None) -> list[Grant]:
        statement = LIVE if domain is None else LIVE_OF_REMOTE
        rows = await self._statements.rows(statement, {"now": now} | of_remote(domain))
        return [grant_of(row._mapping) for row in rows]

    async def of_remote(self, domain: BackendDomain) -> list[Grant]:
        return [grant_of(row._mapping) for row in await self._statements.rows(OF_REMOTE, of_remote(domain))]

    async def add(self, grant: Grant) -> None:
        await self._statements.write(ADD, fields_of(grant))

    async def save(self, grant: Grant) -> None:
        if not await self._statements.write(SAVE, {"grant_id": grant.id, **fields_of(grant)}):
            raise not_found(grant.id)

    async def add_token(self, token: GrantToken) -> None:
        await self._statements.write(ADD_TOKEN, values_of(token))

    async def tokens_of(self, grant_id: UUID) -> list[GrantToken]:
        return [GrantToken(**row._mapping) for row in await self._statements.rows(TOKENS, {"of_grant": grant_id})]

    async def save_token(self, token: GrantToken) -> None:
        await self._statements.write(upsert_into(grant_tokens, self._statements.dialect), values_of(token))

    async def drop_tokens(self, grant_id: UUID) -> None:
        await self._statements.write(DROP_TOKENS, {"of_grant": grant_id})

    async def used(self, times: Sequence[tuple[UUID, datetime]]) -> None:
        # In one order always, so that two servers wait for each other instead of deadlocking.
        if times:
            await self._statements.write(USED, [{"grant_id": each, "at": at} for each, at in sorted(times)])


class SqlHeldGrants:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, domain: BackendDomain, grant_id: UUID) -> HeldGrant | None:
        row = await self._statements.row(HELD_ONE, {"of_remote": domain, "grant_id": grant_id})
        return None if row is None else held_of(row)

    async def put(self, grant: HeldGrant) -> None:
        offered = [values_of(each) | {"address": str(each.address)} for each in grant.services]
        values = values_of(grant) | {"scopes": scopes_of(grant.scopes), "services": offered}
        await self._statements.write(upsert_into(held_grants, self._statements.dialect), values)

    async def of_remote(self, domain: BackendDomain) -> list[HeldGrant]:
        return [held_of(row) for row in await self._statements.rows(HELD_OF, of_remote(domain))]

    async def live(self, now: datetime, domain: BackendDomain | None = None) -> list[HeldGrant]:
        statement = HELD_LIVE if domain is None else HELD_LIVE_OF_REMOTE
        return [held_of(row) for row in await self._statements.rows(statement, {"now": now} | of_remote(domain))]

    async def page(self, page: Page, domain: BackendDomain | None = None) -> list[HeldGrant]:
        statement, values = paged(HELD if domain is None else HELD_OF, held_grants.c.id, page)
        return [held_of(row) for row in await self._statements.rows(statement, values | of_remote(domain))]


def of_remote(domain: BackendDomain | None) -> dict[str, Any]:
    return {} if domain is None else {"of_remote": domain}


def paged(statement: Select[Any], key: Any, page: Page) -> tuple[Select[Any], dict[str, Any]]:
    limited = statement.limit(bindparam("most"))
    if page.after is None:
        return limited, {"most": page.limit}
    return limited.where(key > bindparam("after")), {"most": page.limit, "after": page.after}


def not_found(grant_id: UUID) -> NotFound:
    return NotFound("grant", str(grant_id))


def found(row: AnyRow | None, grant_id: UUID) -> Grant:
    if row is None:
        raise not_found(grant_id)
    return grant_of(row._mapping)


def grant_of(row: Mapping[Any, Any]) -> Grant:
    fields = {column.name: row[column.name] for column in grants.c}
    return Grant(**fields | {"scopes": frozenset(map(Scope, row["scopes"])), "disclose": Disclose(row["disclose"])})


def fields_of(grant: Grant) -> dict[str, Any]:
    return values_of(grant) | {"scopes": scopes_of(grant.scopes), "disclose": grant.disclose.value}


def scopes_of(scopes: frozenset[Scope]) -> list[str]:
    return sorted(each.value for each in scopes)


def held_of(row: AnyRow) -> HeldGrant:
    offered = tuple(map(offered_of, row.services))
    return HeldGrant(**{**row._mapping, "scopes": frozenset(map(Scope, row.scopes)), "services": offered})


def offered_of(stored: Mapping[str, Any]) -> Offered:
    return Offered(**{**stored, "address": ip_address(stored["address"]), "ports": ranges_of(stored["ports"])})


def ranges_of(stored: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in stored)


def with_token_of(row: AnyRow) -> tuple[Grant, GrantToken]:
    token = GrantToken(row.public_id, row.id, row.digest, row.token_created_at, row.token_expires_at)
    return grant_of(row._mapping), token


OFTEN_WITH_TOKEN = Often(WITH_TOKEN, with_token_of)
