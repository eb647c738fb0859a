"""Local users and API tokens in the database."""

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.errors import NotFound
from isthmus.domain.ids import ApiTokenId, Digest, UserId
from isthmus.server.adapters.db.statements import QUIET, AnyRow, Statements, values_of
from isthmus.server.adapters.db.tables import api_tokens, users
from isthmus.server.records import ApiToken, Page, User

USERS = select(users).order_by(users.c.id)
USER = select(users).where(users.c.id == bindparam("user_id"))
USER_NAMED = select(users).where(users.c.name == bindparam("named"))
ADD_USER = insert(users)
SAVE_USER = update(users).where(users.c.id == bindparam("user_id"))

TOKEN = (
    select(api_tokens, users.c.name.label("owner"))
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
        return user_of(await self._statements.row(USER_NAMED, {"named": name}))

    async def user(self, user_id: UserId) -> User | None:
        return user_of(await self._statements.row(USER, {"user_id": user_id}))

    async def users(self) -> list[User]:
        return [User(**row._mapping) for row in await self._statements.rows(USERS)]

    async def add_user(self, user: User) -> None:
        await self._statements.write(ADD_USER, values_of(user))

    async def save_user(self, user: User) -> None:
        if not await self._statements.write(SAVE_USER, {**values_of(user), "user_id": user.id}):
            raise NotFound("user", user.name)

    async def token_with_digest(self, digest: Digest) -> tuple[ApiToken, str] | None:
        row = await self._statements.row(TOKEN, {"digest": digest})
        if row is None:
            return None
        fields = dict(row._mapping)
        owner = fields.pop("owner")
        return ApiToken(**{**fields, "scopes": frozenset(row.scopes)}), owner

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

    async def delete_token(self, token_id: ApiTokenId) -> None:
        if not await self._statements.write(DELETE_TOKEN, {"token_id": token_id}):
            raise NotFound("token", str(token_id))

    async def delete_tokens_of(self, user_id: UserId) -> None:
        await self._statements.write(DELETE_TOKENS_OF, {"user_id": user_id})


def user_of(row: AnyRow | None) -> User | None:
    return None if row is None else User(**row._mapping)


def token_of(row: AnyRow) -> ApiToken:
    return ApiToken(**{**row._mapping, "scopes": frozenset(row.scopes)})
