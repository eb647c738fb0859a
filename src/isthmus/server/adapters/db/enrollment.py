"""Enrollment tokens and sessions in the database."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from isthmus.domain.ids import Digest, PeerId, SessionId
from isthmus.domain.mesh.enrollment import EnrollmentToken, Session
from isthmus.server.adapters.db.statements import AnyRow, Statements, in_parts, upsert_into, values_of
from isthmus.server.adapters.db.tables import enrollment_tokens, sessions

TOKEN = select(enrollment_tokens).where(enrollment_tokens.c.digest == bindparam("digest"))
TOKEN_LOCKED = TOKEN.with_for_update()
TOKENS_OF = select(enrollment_tokens).where(enrollment_tokens.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
SAVE_TOKEN = update(enrollment_tokens).where(enrollment_tokens.c.digest == bindparam("of_digest"))

ADD_SESSION = insert(sessions)
SESSION = select(sessions).where(sessions.c.digest == bindparam("digest"))
SESSIONS_OF = select(sessions).where(sessions.c.peer_id.in_(bindparam("peer_ids", expanding=True)))
END_SESSIONS = delete(sessions).where(sessions.c.peer_id == bindparam("peer_id"))
END_SESSION = delete(sessions).where(sessions.c.id == bindparam("session_id"))


class SqlEnrollments:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def put(self, token: EnrollmentToken) -> None:
        await self._statements.write(upsert_into(enrollment_tokens, self._statements.dialect), values_of(token))

    async def find(self, digest: Digest) -> EnrollmentToken | None:
        row = await self._statements.row(TOKEN, {"digest": digest})
        return None if row is None else token_of(row)

    async def lock(self, digest: Digest) -> EnrollmentToken | None:
        row = await self._statements.row(TOKEN_LOCKED, {"digest": digest})
        return None if row is None else token_of(row)

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, EnrollmentToken]:
        tokens = {}
        for part in in_parts(peer_ids):
            for row in await self._statements.rows(TOKENS_OF, {"peer_ids": part}):
                tokens[PeerId(row.peer_id)] = token_of(row)
        return tokens

    async def save(self, token: EnrollmentToken) -> None:
        await self._statements.write(SAVE_TOKEN, {**values_of(token), "of_digest": token.digest})


class SqlSessions:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def add(self, session: Session) -> None:
        await self._statements.write(ADD_SESSION, values_of(session))

    async def with_digest(self, digest: Digest) -> Session | None:
        row = await self._statements.row(SESSION, {"digest": digest})
        return None if row is None else Session(**row._mapping)

    async def of_peers(self, peer_ids: Sequence[PeerId]) -> dict[PeerId, list[Session]]:
        found: list[Session] = []
        for part in in_parts(peer_ids):
            rows = await self._statements.rows(SESSIONS_OF, {"peer_ids": part})
            found += [Session(**row._mapping) for row in rows]
        by_peer: dict[PeerId, list[Session]] = defaultdict(list)
        for session in sorted(found, key=lambda each: (each.token_made_at, each.id)):
            by_peer[session.peer_id].append(session)
        return dict(by_peer)

    async def end(self, session_id: SessionId) -> None:
        await self._statements.write(END_SESSION, {"session_id": session_id})

    async def end_of_peer(self, peer_id: PeerId) -> None:
        await self._statements.write(END_SESSIONS, {"peer_id": peer_id})


def token_of(row: AnyRow) -> EnrollmentToken:
    return EnrollmentToken(**row._mapping)
