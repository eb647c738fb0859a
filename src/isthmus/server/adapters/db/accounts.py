"""Local users and API tokens in the database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.accounts import Role
from isthmus.domain.errors import NotFound
from isthmus.domain.ids import ApiTokenId, Digest, NetworkId, UserId
from isthmus.server.adapters.db.statements import QUIET, AnyRow, Statements, values_of
from isthmus.server.adapters.db.tables import api_tokens, users
from isthmus.server.records import ApiToken, Page, User

USERS = select(users).order_by(users.c.id)
USERS_LOCKED = USERS.with_for_update()
USER = select(users).where(users.c.id == bindparam("user_id"))
USER_NAMED = select(users).where(users.c.name == bindparam("named"))
USER_IDENTIFIED = select(users).where(
    users.c.issuer == bindparam("issued_by"), users.c.subject == bindparam("known_as")
)
ADD_USER = insert(users)
SAVE_USER = update(users).where(users.c.id == bindparam("user_id"))
DELETE_USER = delete(users).where(users.c.id == bindparam("user_id"))

# The columns of the two have names in common.
OWNER = {f"owner_{column.name}": column.name for column in users.c}
TOKEN = (
    select(api_tokens, *(users.c[name].label(label) for label, name in OWNER.items()))
    .join(users, users.c.id == api_tokens.c.user_id)
    .where(api_tokens.c.digest == bindparam("digest"))
)
ADD_TOKEN = insert(api_tokens)
TOUCH_TOKEN = (
    update(api_tokens)
    .where(api_tokens.c.id == bindparam("token_id"))
    .values(last_used_at=bindparam("used_at"))
    .execution_options(**{QUIET: True})
)
DELETE_TOKEN = delete(api_tokens).where(api_tokens.c.id == bindparam("token_id"))
DELETE_TOKENS_OF = delete(api_tokens).where(api_tokens.c.user_id == bindparam("user_id"))


class SqlAccounts:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def user_named(self, name: str) -> User | None:
        return _found(await self._statements.row(USER_NAMED, {"named": name}))

    async def user(self, user_id: UserId) -> User | None:
        return _found(await self._statements.row(USER, {"user_id": user_id}))

    async def user_identified(self, issuer: str, subject: str) -> User | None:
        return _found(await self._statements.row(USER_IDENTIFIED, {"issued_by": issuer, "known_as": subject}))

    async def users(self) -> list[User]:
        return [user_of(dict(row._mapping)) for row in await self._statements.rows(USERS)]

    async def lock_users(self) -> list[User]:
        return [user_of(dict(row._mapping)) for row in await self._statements.rows(USERS_LOCKED)]

    async def add_user(self, user: User) -> None:
        await self._statements.write(ADD_USER, fields_of(user))

    async def save_user(self, user: User) -> None:
        if not await self._statements.write(SAVE_USER, {**fields_of(user), "user_id": user.id}):
            raise NotFound("account", user.name)

    async def delete_user(self, user_id: UserId) -> None:
        await self._statements.write(DELETE_TOKENS_OF, {"user_id": user_id})
        await self._statements.write(DELETE_USER, {"user_id": user_id})

    async def token_with_digest(self, digest: Digest) -> tuple[ApiToken, User] | None:
        row = await self._statements.row(TOKEN, {"digest": digest})
        if row is None:
            return None
        own = dict(row._mapping)
        owner = {name: own.pop(label) for label, name in OWNER.items()}
        return ApiToken(**{**own, "scopes": frozenset(row.scopes)}), user_of(owner)

    async def tokens(self, page: Page, user_id: UserId | None = None) -> list[ApiToken]:
        statement = select(api_tokens).order_by(api_tokens.c.id).limit(page.limit)
        if page.after is not None:
            statement = statement.where(api_tokens.c.id > page.after)
        if user_id is not None:
            statement = statement.where(api_tokens.c.user_id == user_id)
        return [token_of(row) for row in await self._statements.rows(statement)]

    async def add_token(self, token: ApiToken) -> None:
        await self._statements.write(ADD_TOKEN, {**values_of(token), "scopes": sorted(token.scopes)})

    async def touch_tokens(self, used: dict[ApiTokenId, datetime]) -> None:
        # In one order always, so that two servers wait for each other instead of deadlocking.
        values = [{"token_id": token_id, "used_at": used[token_id]} for token_id in sorted(used)]
        if values:
            await self._statements.write(TOUCH_TOKEN, values)

    async def delete_token(self, token_id: ApiTokenId, user_id: UserId | None = None) -> bool:
        statement = DELETE_TOKEN if user_id is None else DELETE_TOKEN.where(api_tokens.c.user_id == user_id)
        return bool(await self._statements.write(statement, {"token_id": token_id}))

    async def delete_tokens_of(self, user_id: UserId) -> None:
        await self._statements.write(DELETE_TOKENS_OF, {"user_id": user_id})


def user_of(columns: Mapping[str, Any]) -> User:
    networks = frozenset(NetworkId(UUID(each)) for each in columns["networks"])
    return User(**{**columns, "role": Role(columns["role"]), "networks": networks})


def _found(row: AnyRow | None) -> User | None:
    return None if row is None else user_of(dict(row._mapping))


def fields_of(user: User) -> dict[str, Any]:
    return {**values_of(user), "role": user.role.value, "networks": sorted(map(str, user.networks))}


def token_of(row: AnyRow) -> ApiToken:
    return ApiToken(**{**row._mapping, "scopes": frozenset(row.scopes)})
