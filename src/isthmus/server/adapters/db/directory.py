"""The people of the directory and the kept answers to mutations, in the database."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, delete, func, insert, or_, select, tuple_, update

from isthmus.domain.errors import NotFound
from isthmus.domain.federation.directory import User, Visibility, folded
from isthmus.domain.federation.names import BackendDomain
from isthmus.server.adapters.db.often import Often
from isthmus.server.adapters.db.statements import AnyRow, Statements, values_of
from isthmus.server.adapters.db.tables import directory_overrides, directory_users, kept_answers
from isthmus.server.directory_ports import AnswerKey, KeptAnswer
from isthmus.server.records import Page

IS_IT = directory_users.c.id == bindparam("of_user")
ONE = select(directory_users).where(IS_IT)
ONE_LOCKED = ONE.with_for_update()
NAMED = select(directory_users).where(directory_users.c.handle == bindparam("named"))
FIRST = select(directory_users).order_by(directory_users.c.id).limit(bindparam("most"))
ADD = insert(directory_users)
SAVE = update(directory_users).where(IS_IT)
DELETE = delete(directory_users).where(IS_IT)
OF_USER = select(directory_overrides).where(directory_overrides.c.user_id == bindparam("of_user"))
OVERRIDES = select(directory_overrides).where(directory_overrides.c.user_id.in_(bindparam("user_ids", expanding=True)))
ADD_OVERRIDES = insert(directory_overrides)
DROP_OVERRIDES = delete(directory_overrides).where(directory_overrides.c.user_id == bindparam("of_user"))
OF_KEY = and_(
    kept_answers.c.remote == bindparam("of_remote"),
    kept_answers.c.generation == bindparam("of_generation"),
    kept_answers.c.component == bindparam("of_component"),
    kept_answers.c.rpc == bindparam("of_rpc"),
    kept_answers.c.key == bindparam("of_key"),
)
ANSWER = select(kept_answers).where(OF_KEY)
ADD_ANSWER = insert(kept_answers)
KEY_COLUMNS = tuple(kept_answers.primary_key.columns)
OLD = select(*KEY_COLUMNS).where(kept_answers.c.at < bindparam("before")).limit(bindparam("most"))
FORGET = delete(kept_answers).where(tuple_(*KEY_COLUMNS).in_(OLD))


class SqlDirectoryUsers:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, user_id: UUID) -> User:
        return await self._one(ONE, user_id)

    async def lock(self, user_id: UUID) -> User:
        return await self._one(ONE_LOCKED, user_id)

    async def with_handle(self, handle: str) -> User | None:
        found = await self._statements.records(USER_NAMED, {"named": handle})
        if not found:
            return None
        overrides = await self._statements.records(OVERRIDES_OF, {"of_user": found[0].id})
        return replace(found[0], overrides=dict(overrides)) if overrides else found[0]

    async def page(self, page: Page, handle: str | None = None) -> list[User]:
        statement = FIRST
        if page.after is not None:
            statement = statement.where(directory_users.c.id > page.after)
        if handle is not None:
            statement = statement.where(directory_users.c.handle == handle)
        return await self._users(statement, {"most": page.limit})

    async def beginning_with(self, begins: str, remote: BackendDomain, limit: int) -> list[User]:
        return await self._users(searching(begins, remote).limit(limit), {})

    async def add(self, user: User) -> None:
        await self._statements.write(ADD, {"id": user.id, **fields_of(user)})
        await self._add_overrides(user)

    async def save(self, user: User) -> None:
        if not await self._statements.write(SAVE, {"of_user": user.id, **fields_of(user)}):
            raise not_found(user.id)
        await self._statements.write(DROP_OVERRIDES, {"of_user": user.id})
        await self._add_overrides(user)

    async def delete(self, user_id: UUID) -> None:
        if not await self._statements.write(DELETE, {"of_user": user_id}):
            raise not_found(user_id)

    async def _one(self, statement: Select[Any], user_id: UUID) -> User:
        found = await self._users(statement, {"of_user": user_id})
        if not found:
            raise not_found(user_id)
        return found[0]

    async def _users(self, statement: Select[Any], values: dict[str, Any]) -> list[User]:
        rows = await self._statements.rows(statement, values)
        overrides: dict[UUID, dict[BackendDomain, Visibility]] = {row.id: {} for row in rows}
        if rows:
            for each in await self._statements.rows(OVERRIDES, {"user_ids": list(overrides)}):
                overrides[each.user_id][each.remote] = Visibility(each.visibility)
        return [user_of(row, overrides[row.id]) for row in rows]

    async def _add_overrides(self, user: User) -> None:
        rows = [
            {"user_id": user.id, "remote": remote, "visibility": visibility.value}
            for remote, visibility in user.overrides.items()
        ]
        if rows:
            await self._statements.write(ADD_OVERRIDES, rows)


class SqlKeptAnswers:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def get(self, key: AnswerKey) -> KeptAnswer | None:
        wanted = {f"of_{name}": value for name, value in values_of(key).items()}
        row = await self._statements.row(ANSWER, wanted)
        return None if row is None else KeptAnswer(key, row.body, row.answer, row.at)

    async def add(self, answer: KeptAnswer) -> None:
        values = {**values_of(answer.key), "body": answer.body, "answer": answer.answer, "at": answer.at}
        await self._statements.write(ADD_ANSWER, values)

    async def forget(self, before: datetime, most: int) -> int:
        return await self._statements.write(FORGET, {"before": before, "most": most})


def searching(begins: str, remote: BackendDomain) -> Select[Any]:
    """Those whom `remote` may search for: what is said for it alone counts, else what is said for all."""
    own = and_(directory_overrides.c.user_id == directory_users.c.id, directory_overrides.c.remote == remote)
    shown = func.coalesce(directory_overrides.c.visibility, directory_users.c.visibility)
    text = folded(begins)
    matches = or_(
        directory_users.c.handle.startswith(text, autoescape=True),
        directory_users.c.folded_name.startswith(text, autoescape=True),
    )
    return (
        select(directory_users)
        .outerjoin(directory_overrides, own)
        .where(shown == Visibility.SEARCH.value, matches)
        .order_by(directory_users.c.handle)
    )


def fields_of(user: User) -> dict[str, Any]:
    return {
        "handle": user.handle,
        "display_name": user.display_name,
        "folded_name": folded(user.display_name),
        "visibility": user.visibility.value,
        "created_at": user.created_at,
        "version": user.version,
    }


def user_of(row: AnyRow, overrides: dict[BackendDomain, Visibility]) -> User:
    visibility = Visibility(row.visibility)
    return User(row.id, row.handle, row.display_name, visibility, row.created_at, overrides, row.version)


def not_found(user_id: UUID) -> NotFound:
    return NotFound("user", str(user_id))


def override_of(row: AnyRow) -> tuple[BackendDomain, Visibility]:
    return BackendDomain(row.remote), Visibility(row.visibility)


USER_NAMED = Often(NAMED, lambda row: user_of(row, {}))
OVERRIDES_OF = Often(OF_USER, override_of)
